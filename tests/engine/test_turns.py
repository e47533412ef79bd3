"""Groups of work get equal parts of the engine."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request
from redraft.engine.generation import Generation
from redraft.errors import ConfigError, MemoryLimitError
from redraft.events import Draft, Finished
from redraft.testing import tiny_model
from tests.cases import cases

LENGTH = 16  # the canvas of a tiny model


def request(seed: int, steps: int = 6, length: int = LENGTH) -> Request:
    """Return a request that takes all its steps."""
    config = GenerationConfig(
        max_new_tokens=length,
        max_denoising_steps=steps,
        entropy_bound=1e-9,
        confidence_threshold=1e-12,
        eos_token_id=(),
        seed=seed,
    )
    return Request((2, 151, seed % 100), config=config)


def add_group(engine: Engine, count: int) -> list[int]:
    """Queue requests of one group; return their numbers."""
    numbers: list[int] = []
    for seed in range(count):
        numbers.append(engine.add(request(seed), group=numbers[0] if numbers else None))
    return numbers


def drafts_by_step(engine: Engine) -> list[Counter[int]]:
    """Return which requests had a draft, step by step, until nothing is left to do."""
    found = []
    while engine.busy:
        found.append(Counter(one.request for one in engine.step() if isinstance(one, Draft)))
    return found


def check_that_another_enters(engine: Engine, group: list[int]) -> None:
    """Check that a request beside a group enters at once, and that all come to their end."""
    other = engine.add(request(50))
    engine.step()
    assert other in [work.number for work in engine._scheduler.running]
    ended = [event.request for event in engine.run() if isinstance(event, Finished)]
    assert sorted(ended) == sorted([*group, other])


def test_a_group_alone_takes_its_turns_in_order() -> None:
    engine = Engine(tiny_model(0), max_batch_size=8, group_positions=3 * LENGTH)
    add_group(engine, 5)
    steps = drafts_by_step(engine)
    assert all(sum(step.values()) <= 3 for step in steps)
    assert sum(steps, Counter()) == Counter(dict.fromkeys(range(5), 6))
    turns = {number: [at for at, step in enumerate(steps) if step[number]] for number in range(5)}
    # Two steps serve all five: nobody waits longer between its turns.
    assert all(
        later - earlier <= 2 for at in turns.values() for earlier, later in itertools.pairwise(at)
    )


def test_whoever_comes_beside_a_group_has_a_draft_in_its_first_step() -> None:
    engine = Engine(tiny_model(0), max_batch_size=8, group_positions=4 * LENGTH)
    add_group(engine, 12)
    for _ in range(3):
        engine.step()
    newcomer = engine.add(request(99))
    drafts = [one.request for one in engine.step() if isinstance(one, Draft)]
    assert newcomer in drafts
    assert len(drafts) == 3  # its own canvas, and of the group half of what it had alone
    assert [newcomer in step for step in drafts_by_step(engine)[:5]] == [True] * 5


def test_no_group_is_left_without_a_canvas() -> None:
    engine = Engine(tiny_model(0), max_batch_size=8, group_positions=1)
    for count in (3, 1, 2):
        add_group(engine, count)
    assert all(sum(step.values()) >= 1 for step in drafts_by_step(engine))


@pytest.mark.parametrize("seed", cases(6, 3))
def test_turns_change_no_bit_of_a_text(seed: int) -> None:
    rng = random.Random(seed)
    model = tiny_model(seed)
    sizes = [rng.randint(1, 6) for _ in range(3)]
    lengths = [rng.randint(1, 40) for _ in range(sum(sizes))]

    def texts(**options: Any) -> dict[int, list[Any]]:
        engine, found, at = Engine(model, **options), defaultdict(list), 0
        for size in sizes:
            first = None
            for _ in range(size):
                number = engine.add(request(at, steps=3, length=lengths[at]), group=first)
                first, at = (number if first is None else first), at + 1
            for event in engine.step():
                found[event.request].append(event)
        for event in engine.run():
            found[event.request].append(event)
        return {
            number: [
                one.tokens
                if isinstance(one, Finished)
                else (type(one), one.tokens, getattr(one, "entropy", None))
                for one in events
            ]
            for number, events in found.items()
        }

    expected = texts(max_batch_size=1)
    assert texts(max_batch_size=rng.randint(2, 8), group_positions=rng.randint(1, 64)) == expected


def test_the_last_place_is_kept_for_another_group() -> None:
    engine = Engine(tiny_model(0), max_batch_size=4)
    group = add_group(engine, 6)
    engine.step()
    assert [work.number for work in engine._scheduler.running] == group[:3]
    check_that_another_enters(engine, group)


def test_a_group_of_several_leaves_memory_for_another() -> None:
    model = tiny_model(0)
    needed = Engine(model).memory.needed
    one = Generation(request(0)).share(model.config)
    engine = Engine(model, max_batch_size=8, memory=needed([one] * 4))
    group = add_group(engine, 6)
    engine.step()
    running = len(engine._scheduler.running)
    assert 1 <= running < 4
    check_that_another_enters(engine, group)


def test_a_large_request_leaves_a_share_of_the_memory() -> None:
    model = tiny_model(0)
    large = Generation(request(0, length=120)).share(model.config)
    both = Engine(model).memory.needed([large, large])
    engine = Engine(model, max_batch_size=4, memory=both)
    first, second = (engine.add(request(seed, steps=1, length=120)) for seed in range(2))
    engine.step()
    assert [work.number for work in engine._scheduler.running] == [first]
    check_that_another_enters(engine, [first, second])


def test_an_engine_that_keeps_a_share_refuses_what_does_not_leave_it() -> None:
    model = tiny_model(0)
    alone = Generation(request(0, length=120)).share(model.config)
    memory = Engine(model).memory.needed([alone])
    engine = Engine(model, max_batch_size=4, memory=memory, keeps_share=True)
    with pytest.raises(MemoryLimitError, match="stays free"):
        engine.add(request(0, length=120))
    engine.add(request(0, length=60))
    # Where there is room for no two, no share is kept.
    one = Generation(request(0)).share(model.config)
    tight = Engine(model, memory=Engine(model).memory.needed([one]), keeps_share=True)
    tight.add(request(0))


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="group_positions"):
        Engine(tiny_model(0), group_positions=0)
