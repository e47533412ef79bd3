"""Run a job: lines are asked for many at a time, and written in their order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from redraft.batch.files import JobFiles
from redraft.batch.lines import Defaults, Item, read_item
from redraft.batch.records import LineAnswer, bad_line, record_of

# Lines in hand for each that is worked on: a line that takes long holds up the writing of those
# behind it, and not their work.
LINES_PER_SLOT = 4
# Statuses of a machine that is busy, not of a bad line, and the seconds after which it is asked
# again.
PASSING = (429, 503)
PAUSES = (1.0, 4.0, 15.0)
DUPLICATE = "custom_id={!r} is that of an earlier line: each line needs its own"


class Engines(Protocol):
    """Something that answers requests.

    Attributes:
        slots: requests that it works on at a time.
    """

    slots: int

    async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
        """Return the answer to a request."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        done, total, failed: lines. here: those that this run has done. seconds: of this run.
    """

    done: int
    total: int
    failed: int
    here: int
    seconds: float

    @property
    def rate(self) -> float:
        """Lines a second; 0 before the first."""
        return self.here / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at this rate; None before the first line."""
        return (self.total - self.done) / self.rate if self.rate else None


async def run_job(
    files: JobFiles,
    engines: Engines,
    defaults: Defaults,
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """LineAnswer all lines that are left, and return where the job stands then.

    Args:
        report: is called after each line that was written.
    """
    began, before = time.monotonic(), files.done
    places = asyncio.Semaphore(engines.slots)
    waiting: deque[tuple[Item, asyncio.Task[LineAnswer]]] = deque()
    names = _earlier_names(files, defaults)

    async def ask(item: Item) -> LineAnswer:
        if item.problem:
            return bad_line(item.problem)
        assert item.body is not None
        async with places:
            for pause in PAUSES:
                answer = await engines.answer(item.url, item.body)
                if answer.status not in PASSING:
                    return answer
                await asyncio.sleep(pause)
            return await engines.answer(item.url, item.body)

    def progress() -> Progress:
        spent = time.monotonic() - began
        here = files.done - before
        return Progress(files.done, files.source.lines, files.failed, here, spent)

    async def write_next() -> None:
        item, task = waiting[0]
        answer = await task
        waiting.popleft()
        files.write(item.line, record_of(item, answer), failed=answer.failed)
        report(progress())

    try:
        for number, data in files.left():
            item = _once(read_item(number, data, defaults), names)
            waiting.append((item, asyncio.create_task(ask(item))))
            while len(waiting) >= engines.slots * LINES_PER_SLOT:
                await write_next()
        while waiting:
            await write_next()
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    return progress()


def _earlier_names(files: JobFiles, defaults: Defaults) -> set[str]:
    """Return the custom ids of the lines that are done."""
    names: set[str] = set()
    for number, data in files.source.numbered(after=0):
        if number > files.last:
            break
        if b'"custom_id"' in data:
            _once(read_item(number, data, defaults), names)
    return names


def _once(item: Item, names: set[str]) -> Item:
    """Return a line of OpenAI's, with a problem where its custom id was there before."""
    if not item.openai or item.problem:
        return item
    if item.name in names:
        return Item(item.line, True, item.name, problem=DUPLICATE.format(item.name))
    names.add(item.name)
    return item
