"""ChatAnswer: text is free, calls are their tools', a final answer is what was asked for."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from redraft.api import Model, load
from redraft.errors import ConstraintError, RequestError
from redraft.grammar import (
    ChatAnswer,
    JsonSchema,
    Regex,
    ToolCalls,
    as_constraint,
    behind_thoughts,
)
from redraft.grammar.language.charset import FIRST_SPECIAL
from redraft.testing import byte_tokenizer, tiny_checkpoint
from redraft.text import read_answer
from redraft.text.tool_calls import ToolCall
from tests.grammar.cases import drawn_symbols

TOKENIZER = byte_tokenizer()
QUICK = {"max_denoising_steps": 4}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 5}, "days": {"enum": [1, 2]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
STRICT: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS, "strict": True},
}
LAX: dict[str, Any] = {"type": "function", "function": {"name": "note", "parameters": PARAMETERS}}
CALL = '<|tool_call>call:weather{city:<|"|>Rome<|"|>,days:2}<tool_call|>'
WRONG = "<|tool_call>call:weather{days:3}<tool_call|>"
THOUGHT = f"<|channel>thought\nperhaps {WRONG} é<channel|>"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(tiny_checkpoint(Path(tmp_path_factory.mktemp("tiny")), canvas_length=32))


def accepts(constraint: ChatAnswer, text: str) -> bool:
    """Whether a constraint accepts a text, special tokens as their symbols."""
    special = re.compile(r'<\|"\|>|<\|[a-z_]+>|<[a-z_]+\|>')
    symbols: list[int] = []
    at = 0
    for found in special.finditer(text):
        symbols += map(ord, text[at : found.start()])
        token = TOKENIZER.token_id(found[0])
        assert token is not None
        symbols.append(FIRST_SPECIAL + token)
        at = found.end()
    symbols += map(ord, text[at:])
    return constraint.character_dfa(TOKENIZER).accepts(symbols)


FINAL = JsonSchema({"type": "integer"})
FREE = ChatAnswer([STRICT, LAX])


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        (
            FREE,
            ["", "hello {x}", CALL, f"so {CALL}{CALL} then", f"{THOUGHT}{CALL} ok {THOUGHT}",
             '<|tool_call>call:note{a:<|"|>x<|"|>, b:[}<tool_call|>', "<|channel>thought\nno end"],
            [WRONG, f"so {WRONG}", "<|tool_call>call:other{}<tool_call|>", CALL[:-12],
             '<|"|>', "<tool_call|>", f"{THOUGHT}<channel|>"],
        ),
        (
            ChatAnswer([STRICT], max_calls=1),
            ["hello", f"so {CALL} then"], [CALL + CALL],
        ),
        (
            ChatAnswer([STRICT], final=FINAL),
            ["7", CALL, CALL + CALL], ["", "x", f"7{CALL}", f"{CALL}7", WRONG, f"{THOUGHT}7"],
        ),
        (
            ChatAnswer([STRICT], final=FINAL, thinking=True),
            ["7", f"{THOUGHT}7", f"{THOUGHT}{CALL}"], [THOUGHT, "x", f"7{THOUGHT}"],
        ),
        (
            ChatAnswer([STRICT], final=FINAL, opened=True),
            ["<channel|>7", f"well {WRONG} <channel|>{CALL}"], ["7", "well", CALL],
        ),
        (ChatAnswer([STRICT], opened=True), ["well", f"well<channel|>ok {CALL}"], [f"well<channel|>{WRONG}"]),
        (ChatAnswer([STRICT, LAX], required=True), [CALL], ["", "x", f"x{CALL}", '<|tool_call>call:note{a:[}<tool_call|>']),
        (ChatAnswer(final=FINAL, opened=True), ["so<channel|>7"], ["7", f"so<channel|>{CALL}"]),
    ],
)  # fmt: skip
def test_a_turn_is_what_it_may_be(constraint: ChatAnswer, yes: list[str], no: list[str]) -> None:
    for text in yes:
        assert accepts(constraint, text), text
    for text in no:
        assert not accepts(constraint, text), text


ANY_OBJECT: dict[str, Any] = {"name": "note", "strict": True, "parameters": {"type": "object"}}


@pytest.mark.parametrize("tool", [LAX, ANY_OBJECT])
def test_beside_a_final_answer_every_call_can_be_read(tool: dict[str, Any]) -> None:
    constraint = ChatAnswer([tool], final=Regex("no"))
    dfa, rng = constraint.character_dfa(TOKENIZER), random.Random(5)
    assert not accepts(constraint, '<|tool_call>call:note{a:<|"|>x<|"|>, b:[}<tool_call|>')
    twice = "<|tool_call>call:note{a:1,a:[]}<tool_call|>"
    assert accepts(constraint, twice)
    texts = [TOKENIZER.encode(twice, bos=False)]
    for _ in range(200):
        texts.append(tokens_of(drawn_symbols(rng, dfa, 60)))
    for tokens in texts:
        answer = read_answer(tokens, TOKENIZER)
        assert not answer.unreadable, answer
        assert answer.calls or answer.content == "no"


def tokens_of(symbols: list[int]) -> list[int]:
    found: list[int] = []
    for symbol in symbols:
        special = symbol >= FIRST_SPECIAL
        found += [symbol - FIRST_SPECIAL] if special else TOKENIZER.encode(chr(symbol), bos=False)
    return found


def valid(call: ToolCall) -> bool:
    return jsonschema.Draft202012Validator(PARAMETERS).is_valid(call.arguments)


@pytest.mark.parametrize("method", ["diffusion", "autoregressive"])
def test_arguments_match_wherever_a_model_calls(tiny: Model, method: str) -> None:
    # On a canvas a call competes with all texts of its length, so its opening weighs more there.
    weight = 4.0 if method == "autoregressive" else 320.0
    opening = tiny.tokenizer.token_id("<|tool_call>")  # type: ignore[union-attr]
    # In a thought an opening is text.
    thought = tiny.tokenizer.token_id("<|channel>")  # type: ignore[union-attr]
    count = texts = 0
    for seed in range(2 if method == "autoregressive" else 4):
        finished = tiny.generate(
            "x", constraint=ChatAnswer([STRICT]), method=method, max_new_tokens=50, seed=seed,
            logit_bias={opening: weight, thought: -1e6}, eos_token_id=[1], **QUICK,
        )  # fmt: skip
        answer = read_answer(finished.tokens, tiny.tokenizer)  # type: ignore[arg-type]
        assert not answer.unreadable
        assert all(valid(call) and call.name == "weather" for call in answer.calls)
        assert finished.parsed == (list(answer.calls) or answer.content)
        count, texts = count + len(answer.calls), texts + bool(answer.content.strip())
    assert count
    assert texts


def test_a_final_answer_or_calls(tiny: Model) -> None:
    opening = tiny.tokenizer.token_id("<|tool_call>")  # type: ignore[union-attr]
    seen = set()
    for seed in range(4):
        finished = tiny.generate(
            "x", constraint=ChatAnswer([STRICT], final=JsonSchema(PARAMETERS)), seed=seed,
            max_new_tokens=48, logit_bias={opening: -400.0 if seed % 2 else 400.0}, **QUICK,
        )  # fmt: skip
        if isinstance(finished.parsed, list):
            assert finished.parsed
            assert all(map(valid, finished.parsed))
        else:
            assert jsonschema.Draft202012Validator(PARAMETERS).is_valid(finished.parsed)
        seen.add(type(finished.parsed))
    assert seen == {list, dict}


def test_a_stop_string_may_end_a_free_text(tiny: Model) -> None:
    tiny.generate("x", constraint=FREE, stop=["e"], max_new_tokens=8, seed=1, **QUICK)
    with pytest.raises(RequestError, match="stop strings"):
        tiny.generate("x", constraint=ChatAnswer([STRICT], final=FINAL), stop=["e"])


def test_what_cannot_be_a_turn_is_refused() -> None:
    with pytest.raises(ConstraintError, match="no tools"):
        ChatAnswer(required=True)
    with pytest.raises(ConstraintError, match="is a text"):
        ChatAnswer([STRICT], final=ToolCalls([STRICT]))
    with pytest.raises(ConstraintError, match="tool f"):
        ChatAnswer([{"name": "f", "strict": True, "parameters": {"type": "string"}}])
    ChatAnswer([{"name": "f", "parameters": {"type": "string"}}])
    assert ChatAnswer([STRICT], final=Regex("a")).key != ChatAnswer([STRICT], final=Regex("b")).key


def test_a_constraint_binds_the_answer_behind_the_thoughts(tiny: Model) -> None:
    assert tiny.tokenizer is not None
    thinking = tiny.tokenizer.encode("<|think|>x")
    opened = tiny.tokenizer.encode("<|channel>thought\n")
    final: Any = {"enum": ["yes", "no"]}
    for prompt in (thinking, opened):
        for constraint in (final, ToolCalls([STRICT])):
            behind = behind_thoughts(as_constraint(constraint), prompt, tiny.tokenizer)
            finished = tiny.generate(
                prompt, constraint=behind, max_new_tokens=50, seed=2, eos_token_id=[1], **QUICK
            )
            if constraint is final:
                assert finished.parsed in ("yes", "no")
                assert finished.text == f'"{finished.parsed}"'
            else:
                (call,) = finished.parsed
                assert valid(call)
    plain = as_constraint(final)
    assert behind_thoughts(plain, tiny.tokenizer.encode("x"), tiny.tokenizer) is plain
