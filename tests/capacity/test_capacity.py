"""A plan follows from its constants: the queue against a simulation, the roofline against what was
measured on an H100."""

from __future__ import annotations

import heapq
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redraft.capacity.cards import CARDS, MEASURED_EIGHT, MEASURED_STEPS
from redraft.capacity.costs import Measured, Roofline
from redraft.capacity.measure import nonnegative
from redraft.capacity.plan import last_that, make_plan, rows_that_fit
from redraft.capacity.queueing import Load, flow
from redraft.config.presets import PRESETS
from redraft.errors import ConfigError

COSTS = Measured(
    model="m", machine="x", dtype="float32", canvas=64, fixed=0.002, row=0.003, seen=1e-6,
    prompt=2e-5, token_fixed=0.002, token_row=0.0005, request=0.001, steps=10.0,
)  # fmt: skip


def simulated(load: Load, answers: int) -> float:
    """Return the tokens a second of users who are served pass by pass: the naive form."""
    rng, now, done = random.Random(1), 0.0, 0
    thinking = [(rng.random() * (load.think + 0.1), user) for user in range(load.users)]
    heapq.heapify(thinking)
    waiting: list[int] = []
    rows: list[int] = []  # steps that are left
    while done < answers:
        while thinking and thinking[0][0] <= now:
            waiting.append(heapq.heappop(thinking)[1])
        while waiting and len(rows) < load.batch:
            waiting.pop()
            now += COSTS.read(load.prompt) + COSTS.request
            rows.append(int(load.steps) * -(-load.answer // COSTS.canvas))
        if not rows:
            now = thinking[0][0]
            continue
        now += COSTS.step(len(rows), load.prompt + load.answer / 2)
        rows = [left - 1 for left in rows]
        for _ in range(rows.count(0)):
            done += 1
            heapq.heappush(thinking, (now + load.think, done))
        rows = [left for left in rows if left]
    return done * load.answer / now


@pytest.mark.parametrize(
    ("users", "think"), [(1, 0.0), (4, 0.0), (8, 0.0), (30, 0.0), (6, 0.5), (60, 2.0)]
)
def test_the_queue_is_what_a_simulation_finds(users: int, think: float) -> None:
    load = Load(users=users, prompt=100, answer=64, steps=10, think=think, batch=8)
    # Users who think come in bunches; the queue knows the mean of its rows alone.
    most = 0.06 if think == 0 else 0.12
    assert flow(COSTS, load).tokens_per_second == pytest.approx(simulated(load, 3000), rel=most)


def test_users_beyond_the_batch_wait() -> None:
    load = Load(users=80, prompt=100, answer=64, steps=10, batch=8)
    full, over = flow(COSTS, Load(**vars(load) | {"users": 8})), flow(COSTS, load)
    assert over.tokens_per_second == pytest.approx(full.tokens_per_second)
    assert over.wait == pytest.approx(9 * full.answer_seconds)
    assert over.per_user == pytest.approx(full.per_user / 10)
    assert over.first_text > over.first_draft > over.wait


def test_the_roofline_gives_back_the_measured_steps() -> None:
    config, card = PRESETS["26b"], CARDS["h100"]
    for kind, seconds in MEASURED_STEPS.items():
        assert Roofline(config, card, kind).step(1, 1024) == pytest.approx(seconds, rel=1e-6)
    assert Roofline(config, card, "bf16").step(8, 1024) == pytest.approx(MEASURED_EIGHT, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "users", "canvases", "tokens"),
    [("bf16", 1, 3, 645), ("int4", 1, 3, 691), ("int8", 1, 3, 619), ("fp8", 1, 3, 594),
     ("nvfp4", 1, 2, 581), ("bf16", 8, 2, 1354)],
)  # fmt: skip
def test_texts_take_as_long_as_on_the_card(
    kind: str, users: int, canvases: int, tokens: int
) -> None:
    """Whole texts were measured too, and are no constants: docs/benchmarks-cuda.md."""
    costs = Roofline(PRESETS["26b"], CARDS["h100"], kind, request=0.0)
    load = Load(users=users, prompt=1024, answer=256 * canvases, steps=16)
    assert flow(costs, load).tokens_per_second == pytest.approx(tokens, rel=0.2)


def test_left_to_right_gets_cheaper_where_batches_are_large() -> None:
    costs = Roofline(PRESETS["26b"], CARDS["h100"], "bf16")
    load = Load(users=1, prompt=1000, answer=512, steps=16, batch=256)
    plan = make_plan(costs, load, per_user=20.0, price=3.6)
    one, many = plan.curve[0], plan.curve[-1]
    assert one.diffusion.tokens_per_second > 1.5 * one.autoregressive.tokens_per_second
    assert many.autoregressive.tokens_per_second > many.diffusion.tokens_per_second
    assert plan.cheaper_from is not None
    assert 1 < plan.cheaper_from < 256
    assert plan.cost == pytest.approx(3.6 / 3600 / plan.diffusion.tokens_per_second * 1e6)


def test_users_held_is_the_last_that_gets_its_rate() -> None:
    load = Load(users=1, prompt=100, answer=64, steps=10, batch=8)
    for rate in (5.0, 50.0, 400.0, 1e9):
        held = make_plan(COSTS, load, per_user=rate).users_held
        rates = [
            flow(COSTS, Load(**vars(load) | {"users": n})).per_user for n in range(1, held + 2)
        ]
        assert [one >= rate for one in rates] == [True] * held + [False]


def test_the_batch_is_what_the_memory_holds() -> None:
    assert rows_that_fit(lambda rows: 10 + 3 * rows, 40) == 10
    assert rows_that_fit(lambda rows: 100, 40) == 1
    assert [last_that(lambda n, most=most: n <= most) for most in range(9)] == [*range(9)]
    load = Load(users=50, prompt=100, answer=64, steps=10, batch=64)
    plan = make_plan(COSTS, load, per_user=1, memory=lambda rows: 10 * rows, memory_limit=75)
    assert (plan.load.batch, plan.memory) == (7, 70)


def test_constants_survive_their_file(tmp_path: Path) -> None:
    COSTS.write(tmp_path / "bench.json")
    assert Measured.read_from(tmp_path / "bench.json") == COSTS
    given = json.loads((tmp_path / "bench.json").read_text())
    bad: list[dict[str, Any]] = [
        given | {"row": -1}, given | {"version": 9}, given | {"more": 1}, given | {"canvas": 0},
        given | {"row": "x"}, {}, given | {"fixed": float("nan")},
    ]  # fmt: skip
    for one in bad:
        (tmp_path / "bad.json").write_text(json.dumps(one))
        with pytest.raises(ConfigError, match=r"bad\.json"):
            Measured.read_from(tmp_path / "bad.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Measured.read_from(tmp_path / "none.json")


@pytest.mark.parametrize(
    "wrong", [{"users": 0}, {"prompt": -1}, {"answer": 0}, {"steps": 0.5}, {"think": -1.0}]
)
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Load(**{"users": 1, "prompt": 1, "answer": 1, "steps": 1.0} | wrong)


@pytest.mark.parametrize("number", range(5))
def test_constants_are_never_negative(number: int) -> None:
    rng = np.random.default_rng(number)
    matrix = rng.random((8, 3))
    known = np.array([0.5, 0.0, 2.0])
    assert nonnegative(matrix, matrix @ known) == pytest.approx(known, abs=1e-9)
    found = nonnegative(matrix, matrix @ np.array([1.0, -3.0, 1.0]))
    assert (found >= 0).all()
    for _ in range(200):  # nothing near it is better
        other = np.abs(found + rng.normal(0, 0.05, 3))
        target = matrix @ np.array([1.0, -3.0, 1.0])
        ours, theirs = (((matrix @ one - target) ** 2).sum() for one in (found, other))
        assert ours <= theirs + 1e-12
