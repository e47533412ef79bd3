"""Whole texts under constraints: always valid and complete, whatever the model knows."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import lark
import pytest
import torch
from pydantic import BaseModel, field_validator

import redraft
from redraft import Model
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise
from redraft.editing import Hole
from redraft.engine import Engine, Request
from redraft.errors import ConfigError, ConstraintError, ConstraintUnsatisfiedError, RequestError
from redraft.events import Committed, Draft, Finished
from redraft.grammar import Choice, Grammar, JsonSchema, Regex, ToolCalls
from redraft.grammar.guide import Guide
from redraft.grammar.language.charset import ANY_CHARACTER, FIRST_SPECIAL, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.expression import Repeat, Symbol
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_transitions import VocabularyBytes
from redraft.testing import tiny_model
from tests.grammar.cases import pattern, schema

# Random (constraint, seed) cases on random weights; REDRAFT_CASES=1000 makes it a long one.
CASES = int(os.environ.get("REDRAFT_CASES", "40"))
QUICK = {"max_denoising_steps": 3}


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> Model:
    return redraft.load(checkpoint)


@pytest.fixture(scope="module")
def small() -> Model:
    return redraft.load("small-text")


def valid(given: Any, text: str) -> bool:
    if isinstance(given, str):
        return re.fullmatch(given, text) is not None
    return jsonschema.Draft202012Validator(given).is_valid(json.loads(text))


def case(number: int) -> tuple[Any, Any, int]:
    """A pattern or a schema, as it is and as a constraint, and a budget that may be too small."""
    rng = random.Random(number)
    try:
        if rng.random() < 0.4:
            source = pattern(rng)
            return source, Regex(source), rng.randint(1, 50)
        given = schema(rng)
        return given, JsonSchema(given), rng.randint(1, 80)
    except ConstraintError as error:
        if "too large" not in str(error):
            raise
        return case(number + 1_000_000)


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_no_text_is_ever_invalid(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    written = 0
    for number in range(CASES if name == "tiny" else CASES // 4):
        given, constraint, budget = case(number)
        options: dict[str, Any] = {"max_new_tokens": budget, "seed": number, **QUICK}
        if number % 3 == 0:
            options["temperature"] = random.Random(number).choice([0.0, 1.0, 3.0])
        method = "typewriter" if number % 5 == 0 else "diffusion"
        try:
            finished = model.generate("hello", constraint=constraint, method=method, **options)
        except ConstraintUnsatisfiedError:
            dfa = model.processor.compile(constraint, model.generation_config)
            assert dfa is not None
            assert int(dfa.tokens_to_final[dfa.start]) > budget
            continue
        assert valid(given, finished.text), (given, finished.text)
        assert len(finished.tokens) <= budget
        written += 1
    assert written > CASES // 6


def test_every_draft_is_a_valid_text_too(tiny: Model) -> None:
    """Drafts of earlier canvases are only prefixes of valid texts."""
    given = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "yy"]}},
        "required": ["a", "b"],
    }
    drafts = list(tiny.stream("hi", constraint=JsonSchema(given), max_new_tokens=36, seed=5))
    committed = ""
    last = max(event.canvas for event in drafts if isinstance(event, Draft))
    assert last >= 1
    for event in drafts:
        if isinstance(event, Draft) and event.canvas == last:
            assert valid(given, committed + event.text)
        elif isinstance(event, Committed):
            committed += event.text


def test_a_text_that_ends_inside_a_structure_goes_on_in_it(tiny: Model) -> None:
    source = r"\{(\"[a-z]{3,9}\": [0-9]{2}, ){6}\}"
    finished = tiny.generate("hi", constraint=Regex(source), max_new_tokens=120, seed=1, **QUICK)
    assert len(finished.statistics.steps_per_canvas) > 4
    assert valid(source, finished.text)


def test_the_same_seed_writes_the_same_alone_and_in_a_crowd(tiny: Model) -> None:
    constraints = [
        Regex("[a-z]{5,40}"),
        None,
        Choice(["yes", "no"]),
        JsonSchema({"type": "array", "items": {"type": "null"}}),
    ]
    prompts = ["one", "two", "three", "four"]
    options: dict[str, Any] = {"seed": 9, "max_new_tokens": 40, "max_denoising_steps": 10}
    together = tiny.generate(prompts, constraint=constraints, max_batch_size=3, **options)
    for prompt, constraint, finished in zip(prompts, constraints, together, strict=True):
        alone = tiny.generate(prompt, constraint=constraint, **options)
        assert (alone.tokens, alone.statistics.steps_per_canvas) == (
            finished.tokens,
            finished.statistics.steps_per_canvas,
        )
    assert [finished.parsed is None for finished in together] == [False, True, False, False]


def test_a_constraint_that_admits_everything_changes_nothing(tiny: Model, small: Model) -> None:
    for model in (tiny, small):
        for seed in range(2):
            free = model.generate("hello", seed=seed, max_new_tokens=40, **QUICK)
            bound = model.generate(
                "hello", seed=seed, max_new_tokens=40, constraint=Regex("(?s).*"), **QUICK
            )
            assert (bound.tokens, bound.parsed) == (free.tokens, free.text)


def test_the_inference_itself_changes_nothing_where_everything_is_admitted() -> None:
    """One state that every token leads back to: the steps are those of a canvas without a
    constraint."""
    network = tiny_model(4)
    size, length = network.vocab_size, network.config.canvas_length
    everything = Symbol(ANY_CHARACTER | Charset(((FIRST_SPECIAL, FIRST_SPECIAL + size - 1),)))
    dfa = build_token_dfa(
        minimal_dfa(Repeat(everything)), VocabularyBytes([None] * size), [], [], size
    )
    cache = network.new_cache(8)
    network.encode_prompt([2, 7, 9], cache)

    def steps(constraints: Any) -> list[Any]:
        noise = Noise.of([(3, 0, 0)])
        start = DenoisingState.start(
            Canvas.free(noise.initial(length, size)), network.config.hidden_size, network.dtype
        )
        options = DenoisingOptions.of(
            [redraft.GenerationConfig(max_denoising_steps=12)], span_constraints=constraints
        )
        return [step for step, _ in denoise(network, start, [cache], options, noise)]

    with torch.inference_mode():
        free, bound = steps(None), steps([[Guide(dfa, length).on_canvas(length)]])
    assert len(free) == len(bound) > 3
    for one, other in zip(free, bound, strict=True):
        assert torch.equal(one.argmax_canvas, other.argmax_canvas)
        assert torch.equal(one.canvas, other.canvas)
        assert torch.equal(one.accepted, other.accepted)
        assert torch.allclose(one.entropy, other.entropy, atol=1e-4)
        assert torch.allclose(one.confidence, other.confidence, atol=1e-4)


def test_frozen_tokens_are_part_of_the_text(tiny: Model) -> None:
    first = tiny.tokenizer.encode("x", bos=False)[0]  # type: ignore[union-attr]
    finished = tiny.generate(
        "hi", constraint=Regex("[a-z]{10}"), frozen={3: first, 7: first}, max_new_tokens=12, seed=2
    )
    assert re.fullmatch("[a-z]{3}x[a-z]{3}x[a-z]{2}", finished.text)
    with pytest.raises(ConstraintUnsatisfiedError, match="no text"):
        tiny.generate("hi", constraint=Regex("[a-w]{10}"), frozen={3: first}, max_new_tokens=12)
    with pytest.raises(ConstraintUnsatisfiedError, match="frozen tokens leave no text"):
        tiny.generate(
            "hi", constraint=Regex("[a-w]{3}x{0,1}"), frozen={0: first}, max_new_tokens=12
        )


def test_a_banned_token_stays_banned(tiny: Model) -> None:
    def ids(text: str) -> list[int]:
        return tiny.tokenizer.encode(text, bos=False)  # type: ignore[union-attr]

    bias = dict.fromkeys(ids("abef"), -1e9) | {1: 1000.0}
    for temperature in (0.0, 1.0, 0.01):
        options: dict[str, Any] = {
            "max_new_tokens": 8,
            "seed": 1,
            "temperature": temperature,
            **QUICK,
        }
        assert (
            tiny.generate("hi", constraint=Regex("ab|cd|ef"), logit_bias=bias, **options).text
            == "cd"
        )


def test_a_class_that_refuses_what_its_schema_admits_costs_no_text(tiny: Model) -> None:
    class Never(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def refuse(cls, value: int) -> int:
            raise ValueError("not today")

    refused, free = tiny.generate(
        ["a", "b"], constraint=[Never, None], max_new_tokens=30, seed=1, **QUICK
    )
    assert json.loads(refused.text).keys() == {"x"}
    assert refused.parsed is None
    assert "not today" in str(refused.parse_error)
    assert free.parse_error is None


class Point(BaseModel):
    x: int
    label: str | None = None


def test_what_a_text_says_comes_back_parsed(tiny: Model) -> None:
    options: dict[str, Any] = {"max_new_tokens": 60, "seed": 3, **QUICK}
    point = tiny.generate("hi", constraint=Point, **options)
    assert isinstance(point.parsed, Point)
    assert point.parsed == Point.model_validate_json(point.text)
    assert tiny.generate("hi", constraint={"type": "null"}, **options).text == "null"
    assert Choice(text for text in ("a", "b")).texts == ("a", "b")
    listed = tiny.generate(
        "hi", constraint=JsonSchema('{"enum": [[1, 2], {"a": null}]}'), **options
    )
    assert listed.parsed in ([1, 2], {"a": None})
    assert tiny.generate("hi", constraint=Choice(["one, two", "three"]), **options).parsed in (
        "one, two",
        "three",
    )


def test_grammars_write_what_they_derive(tiny: Model) -> None:
    source = 'start: sum\nsum: item ("+" item)*\nitem: /[0-9]{1,2}/ | "(" sum ")"'
    parser = lark.Lark(source, parser="earley", lexer="dynamic_complete")
    for seed in range(6):
        parser.parse(
            tiny.generate(
                "hi", constraint=Grammar(source), max_new_tokens=20, seed=seed, **QUICK
            ).text
        )


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                    "city": {"type": "string", "minLength": 1},
                    "units": {
                        "type": "object",
                        "properties": {"kind": {"enum": ["C", "F"]}},
                        "required": ["kind"],
                    },
                    "hours": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
                },
                "required": ["city", "days", "units"],
            },
        },
    },
    {"name": "stop_now"},
]


def test_tool_calls_have_arguments_by_their_schemas(tiny: Model) -> None:
    parameters: Any = TOOLS[0]["function"]["parameters"]  # type: ignore[index]
    seen = set()
    constraint = ToolCalls(TOOLS, max_calls=2)
    for seed in range(8):
        bias = {tiny.tokenizer.token_id('<|"|>'): 3.0}  # type: ignore[union-attr]
        finished = tiny.generate(
            "x", constraint=constraint, max_new_tokens=90, seed=seed, logit_bias=bias, **QUICK
        )
        assert 1 <= len(finished.parsed) <= 2
        for call in finished.parsed:
            seen.add(call.name)
            if call.name == "weather":
                assert jsonschema.Draft202012Validator(parameters).is_valid(call.arguments)
                assert list(call.arguments) == sorted(call.arguments)
            else:
                assert call.arguments == {}
    only = tiny.generate("x", constraint=ToolCalls(TOOLS[:1]), max_new_tokens=90, seed=1, **QUICK)
    assert [call.name for call in only.parsed] == ["weather"]


def test_a_hole_is_a_text_of_its_constraint(tiny: Model, small: Model) -> None:
    template = ["x = ", Hole(1, 12, Regex("[a-z_]+")), " + ", Hole(1, 6, Regex("[0-9]{2,3}")), "\n"]
    for model in (tiny, small):
        for seed in range(2):
            filled = model.infill(template, seed=seed, max_candidates=3, **QUICK)
            assert re.fullmatch("x = [a-z_]+ \\+ [0-9]{2,3}\n", filled.text)
            for candidate in filled.candidates:
                assert re.fullmatch("[a-z_]+", candidate.fills[0])
                assert re.fullmatch("[0-9]{2,3}", candidate.fills[1])


def test_a_hole_with_a_constraint_may_be_wider_than_a_canvas(tiny: Model) -> None:
    given = {"type": "array", "items": {"enum": ["alpha", "beta"]}, "minItems": 6, "maxItems": 6}
    filled = tiny.infill(
        ["x = ", Hole(40, 80, JsonSchema(given)), "\ny"], seed=1, max_candidates=2, **QUICK
    )
    for candidate in filled.candidates:
        assert valid(given, candidate.fills[0])


def test_what_does_not_go_with_a_constraint_is_told_before_any_work(
    tiny: Model, checkpoint: Path
) -> None:
    constraint = Regex("[a-z]+")
    for options, words in [
        ({"stop": "x"}, "stop strings"),
        ({"eos_token_id": []}, "token that ends the text"),
        ({"constraint": [constraint]}, "1 constraints for 2 prompts"),
        ({"constraint": "[a-z]+"}, "is no constraint"),
    ]:
        with pytest.raises(RequestError, match=words):
            tiny.stream(["a", "b"], **({"constraint": constraint} | options))
    with pytest.raises(ConstraintError, match="is text"):
        tiny.stream("a", constraint=constraint, eos_token_id=tiny.tokenizer.encode("x", bos=False))  # type: ignore[union-attr]
    quote = tiny.tokenizer.token_id('<|"|>')  # type: ignore[union-attr]
    with pytest.raises(ConstraintError, match="stands inside"):
        tiny.stream("a", constraint=ToolCalls(TOOLS), eos_token_id=[1, quote])
    with pytest.raises(ConstraintError, match="cannot be a hole's"):
        Hole(1, 8, ToolCalls(TOOLS))
    with pytest.raises(ConstraintError, match="is no constraint"):
        Hole(1, 8, "[a-z]+")
    with pytest.raises(RequestError, match="needs a tokenizer"):
        Model(tiny.network).stream([2, 3], constraint=constraint)
    with pytest.raises(ConstraintUnsatisfiedError, match=r"has 9 tokens, there is room for 4"):
        tiny.stream("a", constraint=Regex("a{9}"), max_new_tokens=4)
    with pytest.raises(RequestError, match="autoregressive method cannot fill holes"):
        tiny.infill(["a", Hole(constraint=constraint), "b"], method="typewriter")
    with pytest.raises(ConstraintUnsatisfiedError, match="hole 1 has 30 tokens"):
        tiny.infill(["a", Hole(1, 8, Regex("a{30}")), "b"])
    for wrong in ([], "yes", ["a", 1], 5, ["\ud800"]):
        with pytest.raises(ConstraintError):
            Choice(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConstraintError):
        Regex(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        JsonSchema({}, depth=-1)
    odd = {"type": "object", "properties": {"x y": {}}}
    wrong_tools = [[], 5, {}, [{"parameters": {}}], ["x"], [{"name": "a b"}], [{"name": "a"}] * 2]
    for tools in (*wrong_tools, [{"name": "a", "parameters": odd}]):
        with pytest.raises(ConstraintError):
            ToolCalls(tools)  # type: ignore[arg-type]


def test_a_constraint_is_compiled_once_for_a_vocabulary(tiny: Model) -> None:
    config = tiny.generation_config
    one = tiny.processor.compile(JsonSchema({"type": "integer"}), config)
    assert tiny.processor.compile(JsonSchema({"type": "integer"}), config) is one
    assert tiny.processor.compile(JsonSchema({"type": "number"}), config) is not one


def test_an_unfinished_text_is_not_parsed(tiny: Model) -> None:
    engine = Engine(tiny.network, tiny.tokenizer)
    dfa = tiny.processor.compile(Regex("[a-z]{60}"), tiny.generation_config)
    config = tiny.generation_config.with_options({"max_new_tokens": 80, "seed": 1, **QUICK})
    number = engine.add(Request.checked([2, 5], config, tiny.config, dfa=dfa))
    for event in iter(engine.step, None):
        if any(isinstance(one, Committed) for one in event):
            break
    (finished,) = engine.cancel(number)
    assert isinstance(finished, Finished)
    assert re.fullmatch("[a-z]{16}", finished.text)
    assert finished.parsed is None
