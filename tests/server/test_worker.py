"""The thread of a model: who waits for whom, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Share
from redraft.engine.row import LastState, Part, Row
from redraft.events import Completed, Failed, Finished
from redraft.network import DiffusionGemma
from redraft.server.runtime.event_queue import DeadlineError, EventQueue
from redraft.server.runtime.worker import BusyError, Worker
from redraft.testing import tiny_model
from tests.engine.probe import Probe

LARGE = 3000


@pytest.fixture(scope="module")
def model() -> DiffusionGemma:
    return tiny_model(0, max_position_embeddings=4096)


def text_request(model: DiffusionGemma, prompt: int, tokens: int = 4) -> Request:
    config = GenerationConfig(max_new_tokens=tokens, max_denoising_steps=3, eos_token_id=(), seed=5)
    return Request.checked([3] * prompt, config, model.config)


def reading(passes: int, share: Share) -> Probe:
    """Work of so many passes that writes no text."""

    def course(resources: Any) -> Iterator[Any]:
        row = Row(resources.prefixes, passes)
        for _ in range(passes):
            row.append(Part((3,), LastState()))
            yield [row]
        return "done"

    return Probe(course, share)


@pytest.mark.parametrize("large", ["text", "reading"])
def test_small_requests_do_not_keep_a_large_one_waiting(model: DiffusionGemma, large: str) -> None:
    whole = Engine(model).memory.needed([Share(1, 1, LARGE)])
    worker = Worker(Engine(model, memory=whole, max_batch_size=4), max_batch_size=4)

    async def small(over: asyncio.Event, after: float, number: int) -> None:
        await asyncio.sleep(after)
        while not over.is_set():
            text = text_request(model, 100, 60) if number % 2 else reading(20, Share(1, 1, 100))
            async for _ in worker.events([text]):
                pass

    async def all_of_them() -> None:
        over = asyncio.Event()
        others = [asyncio.create_task(small(over, number * 0.007, number)) for number in range(4)]
        await asyncio.sleep(0.1)
        one = reading(20, Share(1, 1, LARGE))
        async for _ in worker.events(
            [text_request(model, LARGE - 1) if large == "text" else one], 9
        ):
            pass
        over.set()
        await asyncio.gather(*others)

    try:
        asyncio.run(all_of_them())
        memory = worker.engine.memory
        assert (worker.load, memory._held, memory._refused) == (0, {}, {})
    finally:
        worker.close()


def test_a_follow_up_of_an_admitted_request_is_admitted_where_there_is_no_room(
    model: DiffusionGemma,
) -> None:
    worker = Worker(Engine(model), max_batch_size=1, max_waiting=0)

    async def results() -> list[Any]:
        first = worker.events([text_request(model, 20, 200)])
        await anext(first)
        with pytest.raises(BusyError):
            await anext(worker.events([reading(1, Share(1, 1, 10))]))
        follow_up = worker.events([reading(1, Share(1, 1, 10))], follow_up=True)
        found = [event async for _, event in follow_up]
        assert [event async for _, event in first if isinstance(event, Finished)]
        return found

    try:
        (completed,) = asyncio.run(results())
        assert isinstance(completed, Completed)
        assert completed.result == "done"
        assert worker.load == 0
    finally:
        worker.close()


def test_work_that_cannot_begin_gives_back_its_place_and_its_memory(model: DiffusionGemma) -> None:
    worker = Worker(Engine(model), max_batch_size=1)

    def broken(_: Any) -> Iterator[Any]:
        raise KeyError("a bug")
        yield

    async def error() -> Exception:
        ((_, failed),) = [event async for event in worker.events([Probe(broken)])]
        assert isinstance(failed, Failed)
        return failed.error

    try:
        assert isinstance(asyncio.run(error()), KeyError)
        assert (worker.load, worker.engine.memory._held, worker._callers) == (0, {}, {})
    finally:
        worker.close()


def test_the_error_of_work_holds_nothing_that_the_work_held(model: DiffusionGemma) -> None:
    worker = Worker(Engine(model))

    def course(resources: Any) -> Iterator[Any]:
        large = bytearray(1000)
        row = Row(resources.prefixes, 1)
        row.append(Part((3,), LastState()))
        yield [row]
        raise ValueError(len(large))

    async def error() -> BaseException:
        found = [event async for _, event in worker.events([Probe(course)])]
        assert isinstance(found[-1], Failed)
        assert str(found[-1].error) == "1000"
        return found[-1].error

    try:
        trace, kept = asyncio.run(error()).__traceback__, list[str]()
        while trace is not None:
            kept += trace.tb_frame.f_locals if trace.tb_frame.f_code is course.__code__ else ()
            trace = trace.tb_next
        assert kept == []
    finally:
        worker.close()


def test_work_whose_caller_has_left_ends(model: DiffusionGemma) -> None:
    worker = Worker(Engine(model))

    async def leave() -> None:
        events = worker.events([reading(10**6, Share(1, 1, 10)), text_request(model, 20, 400)])
        await anext(events)
        await events.aclose()
        while worker.load:
            await asyncio.sleep(0.01)

    try:
        asyncio.run(asyncio.wait_for(leave(), 20))
        assert (worker.engine.busy, worker.engine.memory._held, worker._callers) == (False, {}, {})
    finally:
        worker.close()


def test_an_event_is_not_read_after_its_time() -> None:
    async def read() -> None:
        queue: EventQueue[int] = EventQueue(0.05, lambda _: False)
        queue.put(1)
        assert await queue.get() == 1
        queue.put(2)
        await asyncio.sleep(0.06)
        with pytest.raises(DeadlineError):
            await queue.get()
        late: EventQueue[int] = EventQueue(0.01, lambda _: False)
        with pytest.raises(DeadlineError):
            await late.get()

    asyncio.run(read())
