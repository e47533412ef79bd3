"""Jobs for tests: engines that answer at once, and a job in a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from redraft.batch.files import Input, JobFiles
from redraft.batch.lines import Defaults
from redraft.batch.records import LineAnswer
from redraft.batch.run import Progress, run_job

SETTINGS = {"models": ["m"], "seed": 0}


class EchoEngines:
    """Answers with the request, after a time that depends on it; `fail` makes an error of it."""

    def __init__(self, slots: int = 4, seconds: float = 0.0) -> None:
        self.slots, self.seconds = slots, seconds
        self.running = self.most = 0
        self.asked: list[dict[str, Any]] = []

    async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
        self.running += 1
        self.most = max(self.most, self.running)
        self.asked.append(body)
        await asyncio.sleep(self.seconds * (body["seed"] % 7))
        self.running -= 1
        if body.get("fail"):
            return LineAnswer(400, {"error": {"message": "it fails", "type": "x"}})
        return LineAnswer(
            200, {"id": "random", "text": f"{url} {json.dumps(body, sort_keys=True)}"}
        )


def run(
    source: Path, output: Path, engines: Any, settings: dict[str, Any] | None = None
) -> Progress:
    """Run a job to its end."""
    with JobFiles(Input.of(source), output, settings or SETTINGS) as files:
        return asyncio.run(run_job(files, engines, Defaults("m", 0, source.parent)))


def infills(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "template": f"a{number} <hole>"} for number in range(count)]


def write_lines(path: Path, records: list[Any]) -> Path:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
