"""The thread of a model: who waits for whom, and what is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Share
from redraft.events import Finished
from redraft.network import DiffusionGemma
from redraft.server.runtime.event_queue import DeadlineError, Mail
from redraft.server.runtime.worker import BusyError, Task, Worker
from redraft.testing import tiny_model

LARGE = 3000


@pytest.fixture(scope="module")
def model() -> DiffusionGemma:
    return tiny_model(0, max_position_embeddings=4096)


def asked(model: DiffusionGemma, prompt: int, tokens: int = 4) -> Request:
    config = GenerationConfig(max_new_tokens=tokens, max_denoising_steps=3, eos_token_id=(), seed=5)
    return Request.checked([3] * prompt, config, model.config)


def short() -> Iterator[None]:
    for _ in range(20):
        time.sleep(0.001)
        yield None


@pytest.mark.parametrize("large", ["row", "task"])
def test_small_ones_of_the_other_queue_do_not_keep_a_large_one_waiting(
    model: DiffusionGemma, large: str
) -> None:
    whole = Engine(model).memory.needed([Share(1, 1, LARGE)])
    worker = Worker(Engine(model, memory=whole), max_batch_size=4)

    async def small(over: asyncio.Event, after: float) -> None:
        await asyncio.sleep(after)
        while not over.is_set():
            rows = (
                worker.events([asked(model, 100, 60)])
                if large == "task"
                else worker.run(Task(short, Share(1, 1, 100)))
            )
            async for _ in rows:
                pass

    async def all_of_them() -> None:
        over = asyncio.Event()
        others = [asyncio.create_task(small(over, number * 0.007)) for number in range(4)]
        await asyncio.sleep(0.1)
        rows = worker.run(Task(short, Share(1, 1, LARGE)), 5.0)
        async for _ in worker.events([asked(model, LARGE - 1)], 5.0) if large == "row" else rows:
            pass
        over.set()
        await asyncio.gather(*others)

    try:
        asyncio.run(all_of_them())
        assert (worker.load, worker.engine.memory._held, worker.engine.memory._refused) == (
            0,
            {},
            {},
        )
    finally:
        worker.close()


def test_what_belongs_to_an_admitted_request_is_let_in_where_there_is_no_room(
    model: DiffusionGemma,
) -> None:
    worker = Worker(Engine(model), max_batch_size=1, max_waiting=0)
    task = Task(lambda: iter(["told"]), Share(1, 1, 10))

    async def told() -> list[Any]:
        first = worker.events([asked(model, 20, 200)])
        await anext(first)
        with pytest.raises(BusyError):
            await anext(worker.run(task))
        found = [item async for item in worker.run(task, follows=True)]
        assert [event async for _, event in first if isinstance(event, Finished)]
        return found

    try:
        assert asyncio.run(told()) == ["told"]
        assert worker.load == 0
    finally:
        worker.close()


def test_a_task_that_cannot_begin_gives_back_its_place_and_share(model: DiffusionGemma) -> None:
    worker = Worker(Engine(model), max_batch_size=1)

    def broken() -> Iterator[Any]:
        raise KeyError("a bug")

    async def told() -> None:
        with pytest.raises(KeyError):
            await anext(worker.run(Task(broken, Share(1, 1, 10))))

    try:
        asyncio.run(told())
        assert (worker.load, worker.engine.memory._held, worker._tasks) == (0, {}, {})
    finally:
        worker.close()


def test_the_error_of_a_task_holds_nothing_that_the_task_held(model: DiffusionGemma) -> None:
    worker = Worker(Engine(model))

    def passes() -> Iterator[Any]:
        large = bytearray(1000)
        yield None
        raise ValueError(len(large))

    async def told() -> BaseException:
        with pytest.raises(ValueError, match="1000") as caught:
            await anext(worker.run(Task(passes, Share(1, 1, 10))))
        return caught.value

    try:
        trace, kept = asyncio.run(told()).__traceback__, list[str]()
        while trace is not None:
            kept += trace.tb_frame.f_locals if trace.tb_frame.f_code is passes.__code__ else ()
            trace = trace.tb_next
        assert kept == []
    finally:
        worker.close()


def test_mail_that_is_there_is_not_read_after_its_time() -> None:
    async def read() -> None:
        mail = Mail(0.05, lambda _: False)
        mail.put(1)
        assert await mail.get() == 1
        mail.put(2)
        await asyncio.sleep(0.06)
        with pytest.raises(DeadlineError):
            await mail.get()
        with pytest.raises(DeadlineError):
            await Mail(0.01, lambda _: False).get()

    asyncio.run(read())
