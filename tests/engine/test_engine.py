from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from redraft.api import Model, load
from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Share
from redraft.engine.generation import Generation, TextWork
from redraft.engine.logit_edits import logit_edits
from redraft.engine.row import CanvasInputs, Row
from redraft.engine.runner import Parts, Runner
from redraft.errors import (
    ConfigError,
    ContextLengthError,
    EmptyPromptError,
    NonFiniteError,
    RequestError,
    TokenRangeError,
)
from redraft.events import Committed, Draft, Failed, Finished
from redraft.network import DiffusionGemma
from redraft.network.segments import Clean
from redraft.ops.vocabulary import Picked, TokenClasses
from redraft.testing import byte_tokenizer, naive_generate, tiny_model
from redraft.testing.tiny import random_shape
from tests.cases import cases


def random_config(rng: random.Random, canvas_length: int) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=rng.randint(1, 2 * canvas_length + 5),
        max_denoising_steps=rng.randint(1, 6),
        entropy_bound=rng.choice((0.1, 2.0, 10.0)),
        stability_threshold=rng.choice((0, 1)),
        confidence_threshold=rng.choice((0.005, 3.0, 5.0)),
        eos_token_id=tuple(rng.sample(range(150), 2)),
        seed=rng.getrandbits(64),
        temperature=rng.choice((1.0, 1.0, 0.0, 1.5)),
        top_p=rng.choice((1.0, 1.0, 0.7)),
        min_p=rng.choice((0.0, 0.0, 0.05)),
        repetition_penalty=rng.choice((1.0, 1.0, 1.3)),
        logit_bias=rng.choice(({}, {}, {7: 3.0, 11: -5.0})),
        top_k=rng.choice((0, 0, 1, 20)),
        frequency_penalty=rng.choice((0.0, 0.0, 1.5, -0.5)),
        presence_penalty=rng.choice((0.0, 0.0, 2.0)),
    )


def run(model, requests: list[Request], batch: int, arrivals: list[int]) -> dict[int, list]:
    """Events by request, without figures that measure time; request i is added before step
    arrivals[i]."""
    engine, events, step = (
        Engine(model, max_batch_size=batch, prefill_chunk=24),
        defaultdict(list),
        0,
    )
    waiting = list(zip(arrivals, requests, strict=True))
    while waiting or engine.busy:
        while waiting and (waiting[0][0] <= step or not engine.busy):
            engine.add(waiting.pop(0)[1])
        for event in engine.step():
            kept = (
                (event.tokens, event.statistics.steps_per_canvas)
                if isinstance(event, Finished)
                else event
            )
            events[event.request].append(kept)
        step += 1
    return events


@pytest.mark.parametrize("case", cases(120, 25))
def test_a_row_does_not_depend_on_its_batch(case: int) -> None:
    """Every draft, its accepted positions, its entropies to the last bit, and the text: alone and
    in any company."""
    rng = random.Random(case)
    shape = {
        **random_shape(rng),
        "num_hidden_layers": 2,
        "layer_types": ("sliding_attention", "full_attention"),
    }
    if case % 2:
        shape["canvas_length"] = rng.randint(1, 40)
    model = tiny_model(case, vocab_size=150, **shape)
    requests = []
    for _ in range(rng.randint(2, 5)):
        prompt = [rng.randrange(2, 150) for _ in range(rng.randint(1, 40))]
        config = random_config(rng, model.config.canvas_length)
        frozen = {
            rng.randrange(model.config.canvas_length): rng.randrange(150)
            for _ in range(rng.choice((0, 0, 4)))
        }
        requests.append(
            Request.checked(prompt, config, model.config, stream=rng.randint(0, 2), frozen=frozen)
        )
    arrivals = sorted(rng.randint(0, 6) for _ in requests)
    together = run(model, requests, rng.randint(1, 5), arrivals)
    for number, request in enumerate(requests):
        alone = run(model, [request], 1, [0])[0]
        crowd = [
            e if isinstance(e, tuple) else type(e)(**{**vars(e), "request": 0})
            for e in together[number]
        ]
        assert crowd == alone


@pytest.mark.parametrize("seed", cases(15, 5))
def test_the_engine_is_the_naive_generate(seed: int) -> None:
    rng = random.Random(seed)
    model = tiny_model(seed, vocab_size=150, **random_shape(rng))
    plain = {
        "temperature": 1.0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "logit_bias": {},
        "top_k": 0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }
    config = random_config(rng, model.config.canvas_length).with_options({**plain, "seed": seed})
    prompt = [rng.randrange(2, 150) for _ in range(rng.randint(1, 40))]
    written, history = naive_generate(model, prompt, config, seed=seed)
    engine = Engine(model)
    engine.add(Request.checked(prompt, config, model.config))
    events = list(engine.run())
    drafts = [event for event in events if isinstance(event, Draft)]
    assert list(events[-1].tokens) == written
    assert [list(draft.tokens) for draft in drafts] == [
        step.tolist() for canvas in history for step in canvas
    ]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(
        tiny_model(1),
        byte_tokenizer(),
        None,
        GenerationConfig(max_denoising_steps=3, eos_token_id=(1,)),
    )


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33])
def test_max_new_tokens_is_exact(model: Model, count: int) -> None:
    for method in ("diffusion", "typewriter"):
        finished = model.generate(
            [2, 200, 201], max_new_tokens=count, seed=0, method=method, eos_token_id=()
        )
        assert len(finished.tokens) == finished.statistics.new_tokens == count
        assert finished.reason == "length"


def test_the_first_eos_ends_the_text_and_is_its_last_token(model: Model) -> None:
    free = model.generate([2, 200], max_new_tokens=40, seed=3, eos_token_id=())
    end = free.tokens[20]
    first = free.tokens.index(end)
    ended = model.generate([2, 200], max_new_tokens=40, seed=3, eos_token_id=(end,))
    assert ended.tokens == free.tokens[: first + 1]
    assert ended.reason == "stop"


def test_frozen_positions_survive_denoising(model: Model) -> None:
    frozen = {0: 165, 5: 170, 15: 180}
    events = list(model.stream([2, 200], frozen=frozen, max_new_tokens=32, seed=1, eos_token_id=()))
    for draft in (event for event in events if isinstance(event, Draft) and event.canvas == 0):
        for position, token in frozen.items():
            assert draft.tokens[position] == token
            assert draft.accepted[position]
            assert draft.entropy[position] == 0.0
    assert all(events[-1].tokens[position] == token for position, token in frozen.items())
    later = [event for event in events if isinstance(event, Draft) and event.canvas == 1]
    assert any(draft.tokens[0] != 165 for draft in later)


def test_frozen_tokens_are_what_the_others_see(model: Model) -> None:
    one = model.generate([2, 200], frozen={8: 165}, max_new_tokens=16, seed=1, eos_token_id=())
    other = model.generate([2, 200], frozen={8: 166}, max_new_tokens=16, seed=1, eos_token_id=())
    assert [a == b for a, b in zip(one.tokens, other.tokens, strict=True)].count(False) > 1


def test_a_canvas_that_is_all_frozen_takes_one_step(model: Model) -> None:
    frozen = {position: 140 + position for position in range(16)}
    finished = model.generate(
        [2, 200], frozen=frozen, max_new_tokens=16, seed=1, max_denoising_steps=9, eos_token_id=()
    )
    assert finished.statistics.steps_per_canvas == (1,)
    assert finished.tokens == tuple(frozen.values())


def test_events_come_in_order_and_add_up(model: Model) -> None:
    events = list(model.stream("hello", max_new_tokens=40, seed=5, eos_token_id=()))
    finished = events[-1]
    assert isinstance(finished, Finished)
    committed = [event for event in events if isinstance(event, Committed)]
    assert sum((event.tokens for event in committed), ()) == finished.tokens
    assert "".join(event.text for event in committed) == finished.text
    assert tuple(event.steps for event in committed) == finished.statistics.steps_per_canvas
    for canvas, commit in enumerate(committed):
        drafts = [event for event in events if isinstance(event, Draft) and event.canvas == canvas]
        assert [draft.step for draft in drafts] == list(range(1, commit.steps + 1))
        assert drafts[-1].tokens[: len(commit.tokens)] == commit.tokens
    figures = finished.statistics
    assert figures.forwards == sum(figures.steps_per_canvas)
    assert figures.encoder_passes == 0  # prompt and commits ride on a canvas's first step
    assert figures.tokens_per_forward == pytest.approx(40 / figures.forwards)
    assert 0 < figures.time_to_first_draft <= figures.time_to_first_commit <= figures.seconds


def test_the_last_canvas_is_not_encoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[list[int]] = []
    original = model.network.canvas_states

    def spy(canvas: Any, caches: Any, signal: Any, clean: Any = None) -> Any:
        encoded.append([len(part) for part in clean.tokens] if clean else [])
        return original(canvas, caches, signal, clean)

    monkeypatch.setattr(model.network, "canvas_states", spy)
    finished = model.generate([2, 200, 201], max_new_tokens=32, seed=1, eos_token_id=())
    first, second = finished.statistics.steps_per_canvas
    assert encoded == [[3], *[[]] * (first - 1), [16], *[[]] * (second - 1)]


def test_a_long_prompt_is_encoded_in_chunks_while_others_are_denoised(model: Model) -> None:
    engine = Engine(model.network, prefill_chunk=50)
    config = GenerationConfig(max_new_tokens=16, max_denoising_steps=3, eos_token_id=(), seed=1)
    engine.add(Request.checked([2, 3], config, model.config))
    engine.step()
    engine.add(Request.checked([2] * 120, config, model.config))
    kinds = [[(event.request, type(event).__name__) for event in engine.step()] for _ in range(5)]
    assert kinds[0] == [(0, "Draft")]
    assert (0, "Finished") in kinds[1]
    assert kinds[2] == [(1, "Draft")]
    assert (1, "Finished") in kinds[4]


def test_cancelling_frees_the_row_and_keeps_what_was_committed(model: Model) -> None:
    engine = Engine(model.network, max_batch_size=1)
    config = GenerationConfig(max_new_tokens=64, max_denoising_steps=2, eos_token_id=(), seed=1)
    first, second = (engine.add(Request.checked([2, 3], config, model.config)) for _ in range(2))
    for _ in range(3):
        engine.step()
    (finished,) = engine.cancel(first)
    assert finished.reason == "cancelled"
    assert len(finished.tokens) == 16
    assert engine.cancel(first) == []
    assert next(event for event in engine.run() if isinstance(event, Finished)).request == second


def test_seed_none_draws_a_seed_that_writes_the_text_again(model: Model) -> None:
    first, second = (model.generate([2, 200], max_new_tokens=20, eos_token_id=()) for _ in range(2))
    assert first.seed != second.seed
    again = model.generate([2, 200], max_new_tokens=20, eos_token_id=(), seed=first.seed)
    assert again.tokens == first.tokens != second.tokens


def test_many_prompts_are_written_in_one_batch_in_their_order(model: Model) -> None:
    prompts = ["one", "a longer second prompt", "3"]
    together = model.generate(prompts, max_new_tokens=20, seed=4)
    alone = [model.generate(prompt, max_new_tokens=20, seed=4) for prompt in prompts]
    assert [one.tokens for one in together] == [one.tokens for one in alone]


@pytest.mark.parametrize("seed", cases(10, 4))
def test_the_typewriter_is_greedy_decoding_by_hand_at_temperature_zero(seed: int) -> None:
    model = tiny_model(seed)
    prompt = [2, 140 + seed, 150]
    config = GenerationConfig(max_new_tokens=12, temperature=0.0, eos_token_id=(), seed=0)
    engine = Engine(model)
    engine.add(Request.checked(prompt, config, model.config, method="autoregressive"))
    events = list(engine.run())
    tokens = list(prompt)
    with torch.inference_mode():
        for _ in range(12):  # no cache: the whole text anew for each token
            states = model.encode([torch.tensor(tokens)], [model.new_cache(len(tokens))])[0]
            tokens.append(int(model.logits(states)[-1].argmax()))
    assert list(events[-1].tokens) == tokens[3:]
    assert sum(isinstance(event, Committed) for event in events) == 12
    assert events[-1].statistics.forwards == 12
    assert (
        events[-1].statistics.encoder_passes == 0
    )  # the prompt's pass gives the first token: it is one of the twelve


def test_typewriter_rows_end_apart_and_do_not_depend_on_each_other(model: Model) -> None:
    options = {
        "method": "typewriter",
        "seed": 9,
        "temperature": 0.9,
        "top_p": 0.9,
        "repetition_penalty": 1.2,
    }
    prompts = [[2, 150], [2, 160, 161, 162], [2, 170]]
    together = model.generate(prompts, max_new_tokens=25, max_batch_size=2, **options)
    assert [one.tokens for one in together] == [
        model.generate(prompt, max_new_tokens=25, **options).tokens for prompt in prompts
    ]


@pytest.mark.parametrize("method", ["diffusion", "autoregressive"])
def test_penalties_count_the_text_so_far_and_not_the_prompt(model: Model, method: str) -> None:
    options = {"method": method, "seed": 3, "temperature": 0.0, "eos_token_id": [],
               "max_new_tokens": 64, "logit_bias": {7: 3.0}}  # fmt: skip
    prompt = [2, *[7] * 40]
    plain = model.generate(prompt, **options)
    penalised = model.generate(prompt, frequency_penalty=2.0, presence_penalty=2.0, **options)
    first = model.config.canvas_length if method == "diffusion" else 1
    assert penalised.tokens[:first] == plain.tokens[:first]
    assert penalised.tokens != plain.tokens
    # The same as a bias that is worked out by hand.
    counts = Counter(plain.tokens[:first])
    bias = {7: 3.0}
    for token, count in counts.items():
        bias[token] = bias.get(token, 0.0) - 2.0 * count - 2.0
    edits = logit_edits(
        model.generation_config.with_options(
            {"logit_bias": {7: 3.0}, "frequency_penalty": 2.0, "presence_penalty": 2.0}
        ),
        prompt,
        torch.device("cpu"),
        plain.tokens[:first],
    )
    assert edits is not None
    assert edits.bias_tokens is not None
    assert edits.bias is not None
    found = dict(zip(edits.bias_tokens.tolist(), edits.bias.tolist(), strict=True))
    assert found == bias


@pytest.mark.parametrize(
    ("prompt", "options", "error", "said"),
    [
        ("", {}, EmptyPromptError, "no tokens"),
        ([], {}, EmptyPromptError, "no tokens"),
        ([2] * 500, {}, ContextLengthError, "500 tokens.*512"),
        ([2, 384], {}, TokenRangeError, "384.*384"),
        ([2, -1], {}, TokenRangeError, "-1"),
        ([2, 1.5], {}, TokenRangeError, "1.5"),
        ([2, True], {}, TokenRangeError, "True"),
        (5, {}, RequestError, "int"),
        (b"hi", {}, RequestError, "bytes"),
        ([2], {"frozen": {"0": 5}}, RequestError, "'0'"),
        ([2], {"frozen": {0.5: 5}}, RequestError, "0.5"),
        ([2], {"max_batch_size": 0}, ConfigError, "max_batch_size"),
        ([2], {"max_batch_size": "a"}, ConfigError, "max_batch_size"),
        ([2, "a"], {}, TokenRangeError, "'a'"),
        ([2], {"frozen": {16: 2}}, RequestError, "16"),
        ([2], {"frozen": {0: 999}}, TokenRangeError, "999"),
        ([2], {"logit_bias": {999: 1.0}}, ValueError, "999"),
        ([2], {"method": "telepathy"}, ValueError, "telepathy"),
        ([2], {"method": "typewriter", "frozen": {0: 5}}, RequestError, "left to right"),
        ([2], {"method": "autoregressive", "frozen": {0: 5}}, RequestError, "left to right"),
        ([2], {"messages": [{"role": "user", "content": "x"}]}, RequestError, "either"),
        (None, {}, RequestError, "either"),
    ],
)
def test_bad_requests_are_refused_before_any_work(
    model: Model, prompt, options, error, said, monkeypatch
) -> None:
    monkeypatch.setattr(model.network, "encode", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(error, match=said):
        model.stream(prompt, **options)


def test_ids_may_come_as_array_or_tensor(model: Model) -> None:
    plain = model.generate([2, 150, 151], max_new_tokens=5, seed=1).tokens
    for ids in (torch.tensor([2, 150, 151]), torch.tensor([2, 150, 151]).numpy(), (2, 150, 151)):
        assert model.generate(ids, max_new_tokens=5, seed=1).tokens == plain
    assert (
        model.generate(list(torch.tensor([2, 150, 151]).numpy()), max_new_tokens=5, seed=1).tokens
        == plain
    )


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(RequestError, match="tokenizer"):
        Model(tiny_model(0)).stream([2], stop="x")


def test_an_engine_that_could_never_run_is_refused() -> None:
    for wrong in ({"max_batch_size": 0}, {"prefill_chunk": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Engine(tiny_model(0), **wrong)


def test_requests_that_wait_hold_no_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = model.network.new_cache
    monkeypatch.setattr(
        model.network,
        "new_cache",
        lambda capacity, **how: made.append(capacity) or original(capacity, **how),
    )
    engine = Engine(model.network, max_batch_size=1)
    config = GenerationConfig(max_new_tokens=16, max_denoising_steps=2, eos_token_id=(), seed=1)
    for _ in range(5):
        engine.add(Request.checked([2, 3], config, model.config))
    engine.step()
    assert len(made) == 1
    assert len([event for event in engine.run() if isinstance(event, Finished)]) == 5
    assert len(made) == 5


def test_commits_of_others_do_not_keep_a_long_prompt_waiting(model: Model) -> None:
    engine = Engine(model.network, prefill_chunk=50)
    quick = {"max_denoising_steps": 1, "eos_token_id": (), "seed": 1}
    engine.add(Request.checked([2, 3], GenerationConfig(max_new_tokens=320, **quick), model.config))
    engine.step()
    engine.add(Request.checked([2] * 60, GenerationConfig(max_new_tokens=1, **quick), model.config))
    finished = [event.request for event in engine.run() if isinstance(event, Finished)]
    assert finished == [1, 0]


def test_an_image_token_is_refused() -> None:
    model = Model(tiny_model(0, image_token_id=9))
    with pytest.raises(TokenRangeError, match="image"):
        model.stream([2, 9])


@pytest.mark.parametrize("method", ["diffusion", "typewriter"])
def test_broken_weights_are_named_at_the_first_step(method: str) -> None:
    network = tiny_model(0)
    network.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(NonFiniteError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        next(Model(network).stream([2, 3, 4], method=method))


@pytest.mark.parametrize("threads", [1, 8, 16])
def test_a_row_whose_prompt_rides_along_does_not_depend_on_its_batch(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts that a pass encodes in front of its canvases, and as many threads as make products
    want more rows."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for case in range(4):
        model = tiny_model(case, vocab_size=150, canvas_length=16)
        requests = [
            Request.checked(
                torch.randint(
                    2, 150, (40,), generator=torch.Generator().manual_seed(10 * case + row)
                ).tolist(),
                GenerationConfig(
                    max_new_tokens=16, max_denoising_steps=3, seed=row, eos_token_id=()
                ),
                model.config,
            )
            for row in range(6)
        ]

        def written(some: list[Request], model: DiffusionGemma = model) -> list[list[object]]:
            engine, events = Engine(model, max_batch_size=6), defaultdict(list)
            for request in some:
                engine.add(request)
            for event in engine.run():
                if isinstance(event, Draft):
                    events[event.request].append((event.tokens, event.entropy))
            return [events[number] for number in range(len(some))]

        together = written(requests)
        assert [written([request])[0] for request in requests] == together


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_a_pass_that_fails_loses_nothing(fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interrupts a pass in its last layer, stepping again writes what would have been
    written."""
    model = tiny_model(2, vocab_size=150, canvas_length=16)
    request = Request.checked(
        list(range(2, 40)),
        GenerationConfig(max_new_tokens=32, max_denoising_steps=2, seed=3, eos_token_id=()),
        model.config,
    )
    whole = Engine(model, prefill_chunk=24)
    whole.add(request)
    expected = [event.tokens for event in whole.run() if isinstance(event, Finished)]
    engine, norm, passes = Engine(model, prefill_chunk=24), model.norm.forward, []

    def interrupted(x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        if len(passes) == fails_at:
            raise KeyboardInterrupt
        return norm(x)

    monkeypatch.setattr(model.norm, "forward", interrupted)
    engine.add(request)
    found, failures = [], 0
    while engine.busy:
        try:
            found += [event.tokens for event in engine.step() if isinstance(event, Finished)]
        except KeyboardInterrupt:
            failures += 1
    assert failures == 1
    assert found == expected


@pytest.mark.parametrize("method", ["diffusion", "typewriter"])
def test_history_has_what_each_position_held(method) -> None:
    model = Model(tiny_model(5, vocab_size=384, canvas_length=16), byte_tokenizer())
    options = {"max_new_tokens": 40, "max_denoising_steps": 5, "eos_token_id": (), "seed": 2}
    drafts: dict[int, list[Draft]] = defaultdict(list)
    for event in model.stream([2, 200, 201], method=method, **options):
        if isinstance(event, Draft):
            before = drafts[event.canvas][-1].tokens if drafts[event.canvas] else event.tokens
            assert event.revised == tuple(
                old != new for old, new in zip(before, event.tokens, strict=True)
            )
            assert all(0 < one <= 1 + 1e-6 for one in event.confidence)
            drafts[event.canvas].append(event)
    assert isinstance(event, Finished)
    assert len(event.history) == len(event.tokens) == 40
    for at, (token, held) in enumerate(zip(event.tokens, event.history, strict=True)):
        canvas = drafts[at // 16]
        assert held == (tuple(draft.tokens[at % 16] for draft in canvas) if canvas else (token,))
        assert held[-1] == token
    assert any(drafts.values()) == (method == "diffusion")


class Broken:
    """A constraint that fails at its third step."""

    span = slice(0, 16)

    def __init__(self) -> None:
        self.left = 2

    def classes(self, device: torch.device) -> TokenClasses:
        return TokenClasses.of(torch.zeros(384, dtype=torch.int64), 1)

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        self.left -= 1
        if self.left < 0:
            raise KeyError("a bug")
        zeros = torch.zeros(len(mass), dtype=torch.int64)
        return Picked(torch.ones(len(mass), 1), zeros, zeros, uniform)


def test_a_request_that_breaks_a_step_fails_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint)
    config = model.generation_config.with_options(
        {"max_new_tokens": 40, "seed": 3, "max_denoising_steps": 6}
    )
    requests = [Request.checked([2, 5, number], config, model.config) for number in (7, 8, 9)]
    alone = [finished(Engine(model.network, model.tokenizer), request) for request in requests]
    engine = Engine(model.network, model.tokenizer, prefill_chunk=2)
    numbers = [engine.add(request) for request in requests]
    start, broken = Generation.start_canvas, Broken()

    def breaking(work: Generation, resources: Any) -> CanvasInputs:
        canvas = start(work, resources)
        if work.number == numbers[1]:
            canvas.span_constraints = (broken,)
        return canvas

    monkeypatch.setattr(Generation, "start_canvas", breaking)
    events = list(engine.run())
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.request, str(failed.error)) == (numbers[1], "'a bug'")
    told = {event.request: event for event in events if isinstance(event, Finished)}
    assert set(told) == {numbers[0], numbers[2]}
    for number, expected in zip(numbers, alone, strict=True):
        if number in told:
            assert told[number].tokens == expected.tokens
    assert not engine.busy


def finished(engine: Engine, request: Request) -> Finished:
    engine.add(request)
    return next(event for event in engine.run() if isinstance(event, Finished))


def test_a_prompt_that_cannot_be_encoded_fails_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint)
    config = model.generation_config.with_options(
        {"max_new_tokens": 10, "seed": 3, "max_denoising_steps": 3}
    )
    engine = Engine(model.network, model.tokenizer, prefill_chunk=4)
    bad = engine.add(Request.checked([2] * 9, config, model.config))
    good = engine.add(Request.checked([2, 5], config, model.config))
    clean = Runner._clean

    def failing(runner: Runner, parts: Parts) -> Clean:
        if any(row.prompt == (2,) * 9 for row, _ in parts):
            raise MemoryError("no room")
        return clean(runner, parts)

    # Every pass with tokens to encode goes through it, also one that denoises beside.
    monkeypatch.setattr(Runner, "_clean", failing)
    told = [event for event in engine.run() if isinstance(event, Failed | Finished)]
    assert {(event.request, type(event)) for event in told} == {(bad, Failed), (good, Finished)}


def test_a_row_that_fails_when_it_is_committed_takes_no_other_along(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass was through: the rows beside it have their step, and take it once."""
    model = load(checkpoint)
    config = model.generation_config.with_options(
        {"max_new_tokens": 20, "seed": 3, "max_denoising_steps": 3}
    )
    requests = [Request.checked([2, 5, number], config, model.config) for number in (7, 8, 9)]
    alone = [finished(Engine(model.network, model.tokenizer), request) for request in requests]
    engine = Engine(model.network, model.tokenizer)
    numbers = [engine.add(request) for request in requests]
    commit = TextWork.commit

    def failing(work: TextWork, *arguments: Any, **named: Any) -> None:
        if work.number == numbers[1]:
            raise KeyError("a bug")
        commit(work, *arguments, **named)

    monkeypatch.setattr(TextWork, "commit", failing)
    events = list(engine.run())
    assert [event.request for event in events if isinstance(event, Failed)] == [numbers[1]]
    told = {event.request: event for event in events if isinstance(event, Finished)}
    for place in (0, 2):
        assert told[numbers[place]].tokens == alone[place].tokens
        assert (
            told[numbers[place]].statistics.steps_per_canvas
            == alone[place].statistics.steps_per_canvas
        )


@pytest.mark.parametrize("prefix_cache", [0, 1 << 30])
def test_what_is_read_again_becomes_the_same_bits(
    prefix_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also commits longer than what the prompt leaves of a block: each is read as a part of its
    own."""
    model = tiny_model(1, max_position_embeddings=4096, canvas_length=256)
    config = GenerationConfig(max_new_tokens=1024, max_denoising_steps=1, eos_token_id=(), seed=5)
    request = Request.checked([2 + number % 140 for number in range(700)], config, model.config)

    def entropies(breaks_at: int) -> list[tuple[float, ...]]:
        engine, denoise, passes = Engine(model, prefix_cache=prefix_cache), Runner.denoise, []

        def failing(runner: Runner, rows: list[Row], parts: Parts) -> Any:
            passes.append(parts)
            if len(passes) == breaks_at:
                raise RuntimeError("no room")
            return denoise(runner, rows, parts)

        monkeypatch.setattr(Runner, "denoise", failing)
        engine.add(request)
        found = [event.entropy for event in engine.run() if isinstance(event, Draft)]
        monkeypatch.setattr(Runner, "denoise", denoise)
        return found

    whole = entropies(0)
    assert len(whole) == 4
    assert [entropies(number) for number in (1, 3, 4)] == [whole] * 3


def test_a_cache_that_cannot_be_had_fails_its_request_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model(0, max_position_embeddings=2048)
    config = GenerationConfig(max_new_tokens=20, max_denoising_steps=3, eos_token_id=(), seed=5)
    requests = [Request.checked([3] * length, config, model.config) for length in (20, 900, 30)]
    engine = Engine(model)
    alone = [finished(engine, request).tokens for request in requests]
    begin = engine.prefixes.begin

    def failing(tokens: list[int], room: int, **how: Any) -> Any:
        if len(tokens) == 900:
            raise RuntimeError("out of memory")
        return begin(tokens, room, **how)

    monkeypatch.setattr(engine.prefixes, "begin", failing)
    first, bad, last = (engine.add(request) for request in requests)
    told = {event.request: event for event in engine.run() if isinstance(event, Failed | Finished)}
    assert isinstance(told[bad], Failed)
    assert [told[number].tokens for number in (first, last)] == [alone[0], alone[2]]  # type: ignore[union-attr]


def test_a_step_with_nobody_in_it_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(0)
    engine = Engine(model, memory=Engine(model).memory.needed([Share(1, 1, 40)]))
    assert engine.memory.take(-1, Share(1, 1, 40))
    engine.add(Request.checked([3] * 20, GenerationConfig(max_new_tokens=4, seed=5), model.config))
    monkeypatch.setattr(Runner, "run", lambda *_: pytest.fail("a pass was tried"))
    assert [engine.step() for _ in range(3)] == [[], [], []]
    monkeypatch.undo()
    engine.memory.release(-1)
    assert engine.step()


def test_a_short_prompt_passes_long_ones_and_none_waits_for_ever() -> None:
    """A chat that comes behind many long prompts, and a long prompt behind many chats."""
    model = tiny_model(0, max_position_embeddings=4096)
    config = GenerationConfig(max_new_tokens=4, max_denoising_steps=2, eos_token_id=())

    def first_drafts(prompts: list[int]) -> dict[int, int]:
        engine = Engine(model, max_batch_size=100, prefill_chunk=32)
        for length in prompts:
            engine.add(Request.checked([3] * length, config, model.config))
        found: dict[int, int] = {}
        for step in range(200):
            for event in engine.step():
                if isinstance(event, Draft):
                    found.setdefault(event.request, step)
        return found

    behind = first_drafts([300] * 10 + [5])
    assert behind[10] <= 2
    among = first_drafts([300] + [20] * 60)
    assert among[0] <= 10 * 8 + 12
    assert sorted(among) == list(range(61))
