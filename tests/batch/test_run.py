"""A job answers each line once and in order, however often it is killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from redraft.batch.files import Input, JobFiles
from redraft.batch.records import LineAnswer
from redraft.batch.run import Progress
from redraft.errors import ConfigError, DataError
from tests.batch.jobs import SETTINGS, EchoEngines, infills, read_lines, run, write_lines


def test_answers_come_in_order_many_at_a_time(tmp_path: Path) -> None:
    source, engines = write_lines(tmp_path / "in.jsonl", infills(60)), EchoEngines(6, 0.001)
    progress = run(source, tmp_path / "out.jsonl", engines)
    found = read_lines(tmp_path / "out.jsonl")
    assert [one["id"] for one in found] == list(range(60))
    assert [one["line"] for one in found] == list(range(1, 61))
    assert all(f"a{one['id']} <hole>" in one["text"] for one in found)
    assert (progress.done, progress.failed, engines.most) == (60, 0, 6)
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_bad_lines_are_reported_beside_the_output(tmp_path: Path) -> None:
    records = [*infills(3), b"{nonsense", b"\xff", b"[1]", {"id": "x"}, {"template": "", "fail": 1}]
    source = write_lines(tmp_path / "in.jsonl", [records[0], b"", b"  ", *records[1:]])
    progress = run(source, tmp_path / "out.jsonl", EchoEngines())
    assert [one["line"] for one in read_lines(tmp_path / "out.jsonl")] == [1, 4, 5]
    errors = read_lines(tmp_path / "out.errors.jsonl")
    assert [one["line"] for one in errors] == [6, 7, 8, 9, 10]
    words = ["no JSON", "no UTF-8", "JSON list", "messages (a chat)", "it fails"]
    for error, word in zip(errors, words, strict=True):
        assert word in error["error"]["message"]
    assert errors[3]["id"] == "x"
    assert (progress.done, progress.total, progress.failed) == (8, 8, 5)


def _endless(source: Path, output: Path) -> None:
    run(source, output, EchoEngines(4, 0.002))


@pytest.mark.parametrize("number", range(3))
def test_a_killed_job_goes_on_where_it_was(tmp_path: Path, number: int) -> None:
    rng = random.Random(number)
    records: list[Any] = infills(80)
    for at in rng.sample(range(80), 20):
        records[at]["fail"] = True
    source = write_lines(tmp_path / "in.jsonl", records)
    run(source, tmp_path / "whole.jsonl", EchoEngines())
    output = tmp_path / "out.jsonl"
    kills = 0
    for _ in range(4):
        process = multiprocessing.get_context("fork").Process(
            target=_endless, args=(source, output)
        )
        process.start()
        before = output.stat().st_size if output.exists() else 0
        while process.is_alive() and (not output.exists() or output.stat().st_size == before):
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
        with output.open("ab") as file:
            file.write(b'{"line": 81, "half of a li')  # as a kill in the middle of a write
    assert kills > 0
    engines = EchoEngines()
    progress = run(source, output, engines)
    assert progress.done == 80
    for ending in (".jsonl", ".errors.jsonl"):
        ours, whole = (tmp_path / f"{name}{ending}" for name in ("out", "whole"))
        assert ours.read_bytes() == whole.read_bytes()


def test_a_gap_that_a_loss_of_power_left_is_filled(tmp_path: Path) -> None:
    records: list[Any] = infills(10)
    records[7]["fail"] = True
    source, output = write_lines(tmp_path / "in.jsonl", records), tmp_path / "out.jsonl"
    run(source, output, EchoEngines())
    whole, errors = output.read_bytes(), (tmp_path / "out.errors.jsonl").read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]) + b"\0\0\0\0")
    assert run(source, output, EchoEngines()).here == 5
    assert output.read_bytes() == whole
    assert (tmp_path / "out.errors.jsonl").read_bytes() == errors


def test_a_finished_job_asks_nothing(tmp_path: Path) -> None:
    source, engines = write_lines(tmp_path / "in.jsonl", infills(5)), EchoEngines()
    run(source, tmp_path / "out.jsonl", EchoEngines())
    run(source, tmp_path / "out.jsonl", engines)
    assert engines.asked == []


def test_lines_that_were_added_are_answered(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", infills(5))
    run(source, tmp_path / "out.jsonl", EchoEngines())
    write_lines(source, infills(8))
    assert run(source, tmp_path / "out.jsonl", EchoEngines()).here == 3
    assert [one["id"] for one in read_lines(tmp_path / "out.jsonl")] == list(range(8))


def test_another_input_or_setting_is_refused(tmp_path: Path) -> None:
    source, output = write_lines(tmp_path / "in.jsonl", infills(5)), tmp_path / "out.jsonl"
    run(source, output, EchoEngines())
    with pytest.raises(ConfigError, match=r"seed=0, and this is 1.*delete"):
        run(source, output, EchoEngines(), SETTINGS | {"seed": 1})
    write_lines(source, infills(5)[::-1])
    with pytest.raises(ConfigError, match="is not what"):
        run(source, output, EchoEngines())


def test_a_file_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", infills(2))
    (tmp_path / "mine.jsonl").write_text("precious\n")
    with pytest.raises(ConfigError, match="no job was begun"):
        run(source, tmp_path / "mine.jsonl", EchoEngines())
    with pytest.raises(ConfigError, match="is the input"):
        run(source, source, EchoEngines())
    assert (tmp_path / "mine.jsonl").read_text() == "precious\n"
    with pytest.raises(DataError, match="cannot be read"):
        run(tmp_path / "none.jsonl", tmp_path / "out.jsonl", EchoEngines())


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", infills(2))
    with (
        JobFiles(Input.of(source), tmp_path / "out.jsonl", SETTINGS),
        pytest.raises(ConfigError, match="another process"),
    ):
        JobFiles(Input.of(source), tmp_path / "out.jsonl", SETTINGS)


def test_an_engine_that_breaks_leaves_the_job_to_be_resumed(tmp_path: Path) -> None:
    class Broken(EchoEngines):
        async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
            if len(self.asked) > 12:
                raise RuntimeError("the engine is gone")
            return await super().answer(url, body)

    source, output = write_lines(tmp_path / "in.jsonl", infills(40)), tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError, match="gone"):
        run(source, output, Broken())
    written = len(read_lines(output))
    assert 0 < written < 40
    assert run(source, output, EchoEngines()).here == 40 - written
    assert [one["id"] for one in read_lines(output)] == list(range(40))


def test_lines_of_openai_are_answered_in_their_form(tmp_path: Path) -> None:
    def line(name: Any, **fields: Any) -> dict[str, Any]:
        body = {"model": "m", "messages": []} | fields
        return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}

    records = [line("a"), line("b", fail=True), line("a"), line(3), line("c") | {"url": "/v1/x"}]
    records += [line("d") | {"method": "GET"}, line("e", stream=True), line("f", seed=5)]
    source = write_lines(tmp_path / "in.jsonl", records)
    engines = EchoEngines()
    run(source, tmp_path / "out.jsonl", engines)
    first, last = read_lines(tmp_path / "out.jsonl")
    assert first["custom_id"] == "a"
    assert first["response"]["status_code"] == 200
    assert first["error"] is None
    assert json.loads(last["response"]["body"]["text"].split(" ", 1)[1])["seed"] == 5
    errors = read_lines(tmp_path / "out.errors.jsonl")
    assert [one["custom_id"] for one in errors] == ["b", "a", 3, "c", "d", "e"]
    words = ["it fails", "earlier line", "must be a string", "must be one of", "POST", "no streams"]
    for error, word in zip(errors, words, strict=True):
        assert error["response"]["status_code"] == 400
        assert word in error["response"]["body"]["error"]["message"]


def test_progress_tells_the_time_that_is_left() -> None:
    progress = Progress(done=30, total=100, failed=0, here=20, seconds=10.0)
    assert (progress.rate, progress.seconds_left) == (2.0, 35.0)
    assert Progress(done=0, total=5, failed=0, here=0, seconds=0.0).seconds_left is None


def test_seeds_follow_from_the_job_and_the_line(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [{"template": "<hole>"}, {"template": "<hole>"}])
    first, second = EchoEngines(), EchoEngines()
    run(source, tmp_path / "a.jsonl", first)
    run(source, tmp_path / "b.jsonl", second)
    seeds = [one["seed"] for one in first.asked]
    assert seeds == [one["seed"] for one in second.asked]
    assert len(set(seeds)) == 2


def test_half_of_a_surrogate_pair_and_line_ends_survive(tmp_path: Path) -> None:
    records = [{"id": "\ud800\u2028\x85", "template": "<hole>"}]
    source = write_lines(tmp_path / "in.jsonl", records)
    run(source, tmp_path / "out.jsonl", EchoEngines())
    assert read_lines(tmp_path / "out.jsonl")[0]["id"] == "\ud800\u2028\x85"


def test_a_stop_leaves_whole_lines(tmp_path: Path) -> None:
    source, output = write_lines(tmp_path / "in.jsonl", infills(40)), tmp_path / "out.jsonl"

    async def stopped() -> None:
        from redraft.batch.lines import Defaults
        from redraft.batch.run import run_job

        with JobFiles(Input.of(source), output, SETTINGS) as files:
            job = run_job(files, EchoEngines(2, 0.005), Defaults("m", 0, tmp_path))
            task = asyncio.ensure_future(job)
            while not files.done:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(stopped())
    assert 0 < len(read_lines(output)) < 40
    run(source, output, EchoEngines())
    assert [one["id"] for one in read_lines(output)] == list(range(40))


def test_a_job_that_wrote_nothing_may_begin_otherwise(tmp_path: Path) -> None:
    source, output = write_lines(tmp_path / "in.jsonl", infills(3)), tmp_path / "out.jsonl"
    with JobFiles(Input.of(source), output, SETTINGS):
        pass
    assert run(source, output, EchoEngines(), SETTINGS | {"seed": 1}).done == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_engine_is_asked_again(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(EchoEngines):
        async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
            known = len(self.asked)
            found = await super().answer(url, body)
            return LineAnswer(status, {"error": {"message": "busy"}}) if known < 3 else found

    monkeypatch.setattr("redraft.batch.run.PAUSES", (0.0, 0.0, 0.0))
    source = write_lines(tmp_path / "in.jsonl", infills(1))
    engines = Busy()
    assert run(source, tmp_path / "out.jsonl", engines).failed == 0
    assert len(engines.asked) == 4
