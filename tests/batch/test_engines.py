"""A line means what the same request means to the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import redraft
from redraft.batch.engines import LocalEngines
from tests.batch.jobs import read_lines, write_lines

TIMES = ("seconds", "cached_tokens", "prompt_tokens_details")
LINES: list[dict[str, Any]] = [
    {"id": 1, "messages": [{"role": "user", "content": "calc 17+25-03"}], "seed": 1},
    {"prompt": "calc 1+1", "max_tokens": 8},
    {"template": "1 + <hole> = 3", "max_candidates": 2, "max_tokens": 4},
    {"text": "1 + 1 = 3", "spans": [[8, 9]], "max_tokens": 2, "max_candidates": 2},
    {"prompt": "calc 2+2", "max_tokens": 8, "logprobs": 1, "n": 2},
    {"id": "bad", "messages": [{"role": "user", "content": "x"}], "no_such_option": 1},
]


def timeless(value: Any) -> Any:
    """Return an answer without what differs between two runs."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name not in TIMES}
    return [timeless(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def model() -> redraft.Model:
    return redraft.load("small")


def answers(model: redraft.Model, folder: Path, batch: int, name: str) -> tuple[list[Any], ...]:
    from redraft.batch.files import Input, JobFiles
    from redraft.batch.lines import Defaults
    from redraft.batch.run import run_job

    source = write_lines(folder / "in.jsonl", LINES)

    async def answered() -> None:
        with JobFiles(Input.of(source), folder / f"{name}.jsonl", {}) as files:
            async with LocalEngines({"small": model}, batch=batch) as engines:
                await run_job(files, engines, Defaults("small", 0, folder))

    asyncio.run(answered())
    files = (folder / f"{name}.jsonl", folder / f"{name}.errors.jsonl")
    return tuple(timeless(read_lines(path)) for path in files)


def test_many_at_a_time_answer_as_one_at_a_time(model: redraft.Model, tmp_path: Path) -> None:
    many, errors = answers(model, tmp_path, 8, "many")
    one, _ = answers(model, tmp_path, 1, "one")
    assert many == one
    assert [line["kind"] for line in many] == ["chat", "completion", "infill", "edit", "completion"]
    written = model.generate(messages=LINES[0]["messages"], seed=1).text
    assert many[0]["text"] == written
    assert len(many[4]["texts"]) == 2
    assert errors[0]["status"] == 400
    assert "no_such_option" in errors[0]["error"]["message"]
