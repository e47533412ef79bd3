"""A constraint's long inference takes several turns, and changes no bit."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request
from redraft.errors import ConstraintUnsatisfiedError
from redraft.events import Draft, Failed, Finished
from redraft.grammar import guide
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.grammar.tokens.token_transitions import VocabularyBytes
from redraft.testing import tiny_model
from tests.cases import cases

SIZE = 384  # the vocabulary of a tiny model


def dfa_of(pattern: str) -> TokenDFA:
    vocabulary = [bytes([97 + token % 26]) if 2 < token < 200 else None for token in range(SIZE)]
    return build_token_dfa(
        minimal_dfa(regex_fullmatch(pattern)), VocabularyBytes(vocabulary), [1], [0], SIZE
    )


def request(seed: int, dfa: TokenDFA | None = None, **options: Any) -> Request:
    """Return a request that takes all its steps."""
    config = GenerationConfig(
        max_new_tokens=16,
        max_denoising_steps=2,
        entropy_bound=1e-9,
        confidence_threshold=1e-12,
        eos_token_id=(1,),
        seed=seed,
        **options,
    )
    return Request((2, 151, seed % 100), config=config, dfa=dfa)


@pytest.fixture(scope="module")
def dfa() -> TokenDFA:
    return dfa_of("([a-m]{2,9}x|[n-w]{3,30}){1,3}")


def texts(
    engine: Engine, requests: list[Request], *, together: bool = False
) -> list[tuple[int, ...]]:
    """Return what an engine writes."""
    numbers: list[int] = []
    for one in requests:
        numbers.append(engine.add(one, group=numbers[0] if numbers and together else None))
    found = {event.request: event for event in engine.run() if isinstance(event, Finished)}
    return [tuple(found[number].tokens) for number in numbers]


@pytest.mark.parametrize("seed", cases(6, 3))
def test_turns_of_inference_change_no_bit(seed: int, dfa: TokenDFA) -> None:
    model = tiny_model(seed)
    options = ({}, {"top_k": 3}, {"min_p": 0.2})[seed % 3]
    asked = [request(seed, dfa, **options), request(seed + 1), request(seed + 2, dfa)]
    expected = texts(Engine(model, max_batch_size=1), asked)
    for limit in (60_000,):
        engine = Engine(model, group_inference=limit)
        assert texts(engine, asked, together=bool(seed % 2)) == expected


def test_a_step_holds_no_more_inference_than_a_turn(
    dfa: TokenDFA, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[int] = []
    whole = guide.inference

    def counted(*arguments: Any) -> Generator[int, None, Any]:
        steps = whole(*arguments)
        while True:
            try:
                work.append(next(steps))
            except StopIteration as end:
                return end.value
            yield work[-1]

    monkeypatch.setattr(guide, "inference", counted)
    engine = Engine(tiny_model(0), group_inference=30_000)
    slow = [engine.add(request(0, dfa), group=0) for _ in range(2)]
    for _ in range(5):
        work.clear()
        engine.step()
        assert sum(work) <= 30_000 + max(work, default=0)
    other = engine.add(request(9))
    for step in range(2):  # its canvas takes a step in each of the engine's
        work.clear()
        drafts = [one.request for one in engine.step() if isinstance(one, Draft)]
        assert other in drafts, step
        assert sum(work) <= 15_000 + max(work, default=0)
    ended = [one.request for one in engine.run() if isinstance(one, Finished)]
    assert sorted(ended) == slow  # the other has ended above


def test_a_long_inference_without_a_text_fails_alone(
    dfa: TokenDFA, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = guide.inference

    def failing(*arguments: Any) -> Generator[int, None, Any]:
        yield from whole(*arguments)
        raise ConstraintUnsatisfiedError("nothing fits")

    monkeypatch.setattr(guide, "inference", failing)
    engine = Engine(tiny_model(0), group_inference=30_000)
    broken, other = engine.add(request(0, dfa)), engine.add(request(1))
    events = list(engine.run())
    assert [one.request for one in events if isinstance(one, Failed)] == [broken]
    assert [one.request for one in events if isinstance(one, Finished)] == [other]
    assert not engine.busy


def test_a_long_inference_can_be_cancelled(dfa: TokenDFA) -> None:
    engine = Engine(tiny_model(0), group_inference=1)
    number = engine.add(request(0, dfa))
    for _ in range(4):
        assert not [one for one in engine.step() if isinstance(one, Draft)]
    (finished,) = engine.cancel(number)
    assert isinstance(finished, Finished)
    assert not engine.busy
