"""Plan: a table of users, for diffusion and for the same weights from left to right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from redraft.capacity.costs import Costs
from redraft.capacity.queueing import Flow, Load, flow

# Users of the curves, and of the search for those that a server holds.
USERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MAX_USERS = 1 << 20
SECONDS_OF_AN_HOUR, MILLION = 3600, 1e6


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """Both ways of writing for a number of users."""

    users: int
    diffusion: Flow
    autoregressive: Flow


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """Figures of a machine under a load.

    Attributes:
        load: what was asked for. diffusion, autoregressive: what comes of it. users_held: the most
            users each of whom gets `per_user` tokens a second; 0 where one does not. cost,
            autoregressive_cost: of a million tokens; None without a price. cheaper_from: users from
            which the autoregressive model writes more in all, and so costs less; None where it
            never does. memory: bytes with all rows; None for measured machines.
    """

    load: Load
    diffusion: Flow
    autoregressive: Flow
    per_user: float
    users_held: int
    cost: float | None
    autoregressive_cost: float | None
    cheaper_from: int | None
    memory: int | None
    memory_limit: int | None
    estimated: bool
    curve: tuple[PlanRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return asdict(self)


def make_plan(
    costs: Costs,
    load: Load,
    *,
    per_user: float,
    price: float | None = None,
    memory: Callable[[int], int] | None = None,
    memory_limit: int | None = None,
) -> CapacityPlan:
    """Return what comes of a load, and of other numbers of users.

    Args:
        per_user: tokens a second that a user should get. price: of an hour of the machine.
        memory: the bytes of a batch. memory_limit: those of the machine.
    """
    if memory is not None and memory_limit is not None:
        load = replace(load, batch=min(load.batch, rows_that_fit(memory, memory_limit)))

    def at(users: int, *, autoregressive: bool = False) -> Flow:
        return flow(costs, replace(load, users=users), autoregressive=autoregressive)

    diffusion, other = at(load.users), at(load.users, autoregressive=True)
    held = last_that(lambda users: at(users).per_user >= per_user)

    def is_cheaper(users: int) -> bool:
        return (
            at(users, autoregressive=True).tokens_per_second > at(users).tokens_per_second * 1.0001
        )

    crossing = next((users for users in range(1, load.batch + 1) if is_cheaper(users)), None)
    return CapacityPlan(
        load=load,
        diffusion=diffusion,
        autoregressive=other,
        per_user=per_user,
        users_held=held,
        cost=cost_of(diffusion, price),
        autoregressive_cost=cost_of(other, price),
        cheaper_from=crossing,
        memory=None if memory is None else memory(min(load.batch, load.users)),
        memory_limit=memory_limit,
        estimated=costs.estimated,
        curve=tuple(
            PlanRow(users=users, diffusion=at(users), autoregressive=at(users, autoregressive=True))
            for users in USERS
        ),
    )


def cost_of(found: Flow, price: float | None) -> float | None:
    """Return the cost of a million tokens at a price of an hour."""
    if price is None:
        return None
    return price / SECONDS_OF_AN_HOUR / found.tokens_per_second * MILLION


def rows_that_fit(memory: Callable[[int], int], limit: int) -> int:
    """Return the largest batch that a memory holds; at least 1, which may not fit."""
    return max(1, last_that(lambda rows: memory(rows) <= limit))


def last_that(holds: Callable[[int], bool]) -> int:
    """Return the largest number for which something holds that ends once; 0 for none."""
    if not holds(1):
        return 0
    low, high = 1, 2
    while high < MAX_USERS and holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
