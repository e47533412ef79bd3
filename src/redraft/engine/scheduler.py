"""Scheduler: which work runs. It enters at any step, and leaves at the step that ends it."""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum, auto
from functools import lru_cache

from redraft.engine.memory_budget import Memory, Share
from redraft.engine.work import Work
from redraft.network import DiffusionGemma

# From so many requests at a time on, the last place and share are kept for a group that has none.
MIN_WITH_RESERVE = 3


class Demand(Enum):
    """The memory that a request takes: at most the spare share, more, or so much that the spare
    share is not left."""

    USUAL = auto()
    LARGE = auto()
    ALL = auto()


class Scheduler:
    """Admits at most `max_batch_size` requests at a time, as long as there is memory for them.

    Of the groups that wait, the one with the fewest requests that run goes first; of equal ones
    the one that came first. A group of several takes neither the last place nor the last equal
    share of the memory, and one request that is larger leaves an equal share too: so the next group
    need not wait for the end of a text. What fits only without leaving it keeps its turn and runs
    when the others have left it room (an engine that `keeps_share` refuses it).

    Attributes:
        spare: the share that stays free; None where there is none.
    """

    def __init__(self, model: DiffusionGemma, max_batch_size: int, memory: Memory) -> None:
        self.model = model
        self.max_batch_size = max_batch_size
        self.memory = memory
        self.waiting: deque[Work] = deque()
        self.running: list[Work] = []
        shares = max_batch_size >= MIN_WITH_RESERVE
        self.spare = memory.spare_share(max_batch_size) if shares else None
        self._demand = lru_cache(maxsize=1024)(self._demand_of)

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    def admit(self) -> list[Work]:
        """Let waiting work in as far as there is memory; return what entered."""
        entered: list[Work] = []
        while self.waiting and (work := self._next()):
            self.waiting.remove(work)
            self.running.append(work)
            entered.append(work)
        return entered

    def _next(self) -> Work | None:
        """Return the work that enters next, its memory taken; None while none may."""
        places = self.max_batch_size - len(self.running)
        if not places:
            return None
        running = Counter(work.group for work in self.running)
        last_place = places == 1 and self.max_batch_size >= MIN_WITH_RESERVE
        first = self.memory.first_refused
        waiting = [work for work in self.waiting if first in (None, work.number)]
        too_large: set[Share] = set()  # choices of one request have equal shares
        for work in sorted(waiting, key=lambda work: running[work.group]):
            share, others = work.share(self.model.config), running[work.group] > 0
            demand = self._demand(share)
            if share in too_large:
                continue
            if others and last_place:
                return None
            spare = self.spare if others or demand is Demand.LARGE else None
            # Who waits for the end of a large one lets those pass that the spare share is for.
            waits = not others and not (demand is Demand.LARGE and self._runs_large())
            if self.memory.take(work.number, share, spare=spare, waits=waits):
                return work
            if waits:
                return None  # whoever waits for memory goes before all others
            too_large.add(share)
        return None

    def _runs_large(self) -> bool:
        return any(
            self._demand(work.share(self.model.config)) is not Demand.USUAL for work in self.running
        )

    def _demand_of(self, share: Share) -> Demand:
        if self.spare is None:
            return Demand.USUAL
        if not self.memory.fits(share, self.spare):
            return Demand.ALL
        return Demand.LARGE if self.memory.larger(share, self.spare) else Demand.USUAL

    def retire(self) -> None:
        """Let out the work that has ended."""
        for work in self.running:
            if work.ended:
                self.memory.release(work.number)
        self.running = [work for work in self.running if not work.ended]

    def remove(self, number: int) -> Work | None:
        """Take out the work of this number; None where it is not here."""
        for work in (*self.waiting, *self.running):
            if work.number == number:
                self.waiting = deque(other for other in self.waiting if other is not work)
                self.running = [other for other in self.running if other is not work]
                self.memory.release(number)
                return work
        return None
