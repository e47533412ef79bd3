"""What comes before the engine has threads, processes, a queue and a time of its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from redraft.errors import ConstraintError, ConstraintLimitError, ConstraintTimeoutError
from redraft.grammar import JsonSchema, Regex, TokenDFA
from redraft.server.errors import error_response
from redraft.server.runtime import compiler
from redraft.server.runtime.compilers import Compilers
from redraft.server.runtime.lanes import LONG as LONG_REQUEST
from redraft.server.runtime.lanes import LONGEST, THREADS, Lane, note_size
from redraft.server.runtime.preparing import Preparing
from redraft.server.runtime.worker import BusyError, ShuttingDownError
from redraft.testing import byte_tokenizer

TOKENIZER = byte_tokenizer()
EOS = TOKENIZER.vocab_size
# Takes some seconds.
LONG = "((a?b?){40}c?){40}"


def compiling(pattern: str) -> Callable[[], TokenDFA | None]:
    return lambda: Regex(pattern).compile(TOKENIZER, [EOS], EOS, EOS + 1)


def waiting() -> None:
    time.sleep(0.3)


Steps = Callable[[Preparing], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def shared() -> Iterator[Compilers]:
    found = Compilers()
    yield found
    found.close()


def run(steps: Steps, shared: Compilers | None = None) -> None:
    async def whole() -> None:
        preparing = Preparing(4, shared)
        try:
            await steps(preparing)
        finally:
            if shared is None:
                preparing.close()

    asyncio.run(whole())


def start(preparing: Preparing, pattern: str, seconds: float | None = None) -> asyncio.Future[Any]:
    return asyncio.ensure_future(preparing.run(compiling(pattern), seconds, constrained=True))


def process(preparing: Preparing) -> subprocess.Popen[bytes]:
    """The process that compiles."""
    found = preparing._compilers._first._process
    assert found is not None
    return found._process


def test_a_constraint_that_takes_long_holds_no_other_up(shared: Compilers) -> None:
    async def steps(preparing: Preparing) -> None:
        assert (await start(preparing, "a|b")) is not None  # the process has started
        long = [start(preparing, f"{LONG}{number}") for number in range(3)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert (await start(preparing, "c|d")) is not None
        assert time.monotonic() - began < 10
        assert not all(one.done() for one in long)
        for one in long:
            one.cancel()

    run(steps, shared)


def test_it_gives_what_compiling_here_gives(shared: Compilers) -> None:
    async def steps(preparing: Preparing) -> None:
        found = await start(preparing, "(new|old) [0-9]{2}")
        here = Regex("(new|old) [0-9]{2}").compile(byte_tokenizer(), [EOS], EOS, EOS + 1)
        assert (found.token_class == here.token_class).all()  # type: ignore[union-attr]
        assert found.min_tokens == here.min_tokens  # type: ignore[union-attr]
        assert await start(preparing, r"(.|\s)*") is None
        with pytest.raises(ConstraintError, match="lookahead"):
            await start(preparing, "a(?=b)")
        with pytest.raises(ConstraintError, match="minimum"):
            await preparing.run(
                lambda: JsonSchema({"type": "integer", "minimum": "x"}).compile(
                    TOKENIZER, [EOS], EOS, EOS + 1
                ),
                None,
                constrained=True,
            )

    run(steps, shared)


def test_who_leaves_ends_the_work(shared: Compilers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(preparing: Preparing) -> None:
        running = start(preparing, LONG)
        await asyncio.sleep(0.5)
        running.cancel()
        assert (await asyncio.wait_for(start(preparing, "e|f"), 30)) is not None
        assert preparing.lanes["short"].constrained.load == 0

    monkeypatch.setattr(shared._first, "_seconds", 60.0)
    run(steps, shared)


def test_the_time_of_the_request_ends_it(shared: Compilers) -> None:
    async def steps(preparing: Preparing) -> None:
        with pytest.raises(ConstraintTimeoutError, match="time"):
            await start(preparing, LONG, 0.2)

    run(steps, shared)


def test_more_than_may_wait_are_told_so() -> None:
    async def steps(preparing: Preparing) -> None:
        running = [
            asyncio.ensure_future(preparing.run(waiting, None, constrained=True))
            for _ in range(THREADS["short"] + 4)
        ]
        await asyncio.sleep(0.05)
        assert preparing.lanes["short"].constrained.full
        with pytest.raises(BusyError, match="try again"):
            await preparing.run(waiting, None, constrained=True)
        # A request without a constraint waits for none.
        assert await preparing.run(lambda: "done", None, constrained=False) == "done"
        assert not all(task.done() for task in running)
        await asyncio.gather(*running, return_exceptions=True)
        assert not preparing.lanes["short"].constrained.full

    run(steps)


def test_a_process_that_dies_is_an_error_of_the_constraint_and_another_takes_its_place(
    shared: Compilers,
) -> None:
    async def steps(preparing: Preparing) -> None:
        await start(preparing, "g|h")
        running = start(preparing, LONG)
        await asyncio.sleep(0.1)
        process(preparing).kill()
        with pytest.raises(ConstraintLimitError, match="memory") as raised:
            await running
        assert error_response(raised.value)[0] == 400
        assert (await start(preparing, "i|j")) is not None

    run(steps, shared)


def test_a_process_that_does_not_give_way_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(preparing: Preparing) -> None:
        await start(preparing, "k|l")
        stopped = process(preparing)
        stopped.send_signal(signal.SIGSTOP)
        with pytest.raises(ConstraintTimeoutError):
            await start(preparing, "m|n", 0.5)
        assert (await asyncio.wait_for(start(preparing, "o|p"), 30)) is not None
        assert stopped.poll() is not None

    monkeypatch.setattr(compiler, "PATIENCE", 0.1)
    run(steps)


def test_no_process_is_an_error_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(preparing: Preparing) -> None:
        with pytest.raises(compiler.CompilerUnavailableError) as raised:
            await start(preparing, "q|r")
        assert error_response(raised.value)[0] == 503

    def none(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    run(steps)


def test_closing_ends_the_processes_and_tells_who_waits() -> None:
    async def steps(preparing: Preparing) -> None:
        running = start(preparing, f"{LONG}z")
        await asyncio.sleep(0.5)
        running_in = process(preparing)
        preparing.close()
        with pytest.raises(ShuttingDownError):
            await running
        assert running_in.poll() is not None
        with pytest.raises(ShuttingDownError):
            await start(preparing, "s|t")

    run(steps)


def test_what_was_refused_is_refused_at_once_the_second_time(
    shared: Compilers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(preparing: Preparing) -> None:
        with pytest.raises(ConstraintError):
            await start(preparing, "a(?=c)")
        monkeypatch.setattr(compiler.CompilerProcess, "compile", lambda *_: None)
        with pytest.raises(ConstraintError, match="lookahead"):
            await start(preparing, "a(?=c)")

    run(steps, shared)


def test_a_process_that_compiles_loads_no_torch() -> None:
    code = "import sys, redraft.grammar.compiler_process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_it_ends_with_its_parent() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", compiler.MODULE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def test_long_requests_hold_up_neither_short_ones_nor_those_with_pictures() -> None:
    """As many as there are threads, and more, wait for their end; a short one is prepared."""
    leave = threading.Event()

    async def long(preparing: Preparing, size: int, pictures: bool) -> bool:
        note_size(size)
        return await preparing.run(leave.wait, None, constrained=False, pictures=pictures)

    async def short(preparing: Preparing, size: int, pictures: bool) -> str:
        note_size(size)
        making = preparing.run(lambda: "made", None, constrained=False, pictures=pictures)
        return await asyncio.wait_for(making, 20)

    async def steps(preparing: Preparing) -> None:
        kinds: dict[Lane, tuple[int, bool]] = {
            "long": (LONG_REQUEST + 1, False),
            "longest": (LONGEST + 1, False),
            "pictures": (10, True),
            "short": (10, False),
        }
        for blocked in kinds:
            held = [
                asyncio.ensure_future(long(preparing, *kinds[blocked]))
                for _ in range(THREADS[blocked] + 2)
            ]
            await asyncio.sleep(0.1)
            for free in kinds.keys() - {blocked}:
                assert await asyncio.ensure_future(short(preparing, *kinds[free])) == "made"
            assert not any(one.done() for one in held)
            leave.set()
            assert all(await asyncio.gather(*held))
            leave.clear()

    run(steps)
