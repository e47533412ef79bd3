"""`redraft batch` in process: lines a second of a mixed file, against one request at a time.

Chats, completions, infills and constrained lines for both models that ship, in redraft's form and
in OpenAI's. Each round answers lines many at a time, and a sample of the same lines one at a
time, with the same engines; `equal_answers` is true if both wrote the same texts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import print_result

import redraft
from redraft.batch.engines import LocalEngines
from redraft.batch.files import Input, JobFiles
from redraft.batch.lines import Defaults
from redraft.batch.run import run_job
from redraft.editing import Template
from redraft.editing.template import MARK
from redraft.tasks import Arithmetic, Infill, Rewrite, Sudoku, Wiki

PAGE_TOKENS = 64


def line(rng: random.Random, number: int) -> dict[str, Any]:
    """Draw a line; its kind goes by its number."""

    def chat(task: Any, model: str) -> dict[str, Any]:
        said = [{"role": "user", "content": task.draw(rng).prompt}]
        return {"model": model, "messages": said}

    match number % 8:
        case 0 | 1:
            return {"id": number} | chat(Arithmetic(), "small")
        case 2:
            return chat(Sudoku(), "small")
        case 3:
            return chat(Wiki(), "small-text") | {"max_tokens": PAGE_TOKENS}
        case 4:
            example = Infill().draw(rng)
            marked = MARK.join(Template.around(example.answer, example.holes).texts)
            body = {"template": marked, "instruction": example.prompt, "max_candidates": 3}
            return {"model": "small-text"} | body
        case 5:
            prompt = Rewrite().draw(rng).prompt
            return {"model": "small-text", "prompt": prompt, "max_tokens": 32}
        case 6:
            form = {"constraint": {"regex": "[0-9+*=;-]{1,60}"}}
            return chat(Arithmetic(), "small") | form
    body = chat(Arithmetic(), "small")
    url = "/v1/chat/completions"
    return {"custom_id": f"o{number}", "method": "POST", "url": url, "body": body}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", type=int, default=80, help="lines one at a time in each round")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    models = {name: redraft.load(name) for name in ("small", "small-text")}
    rng, count = random.Random(5), args.lines // args.rounds
    rates: dict[str, list[float]] = {"many": [], "one": []}
    cpu: dict[str, list[float]] = {"many": [], "one": []}
    equal = True
    with tempfile.TemporaryDirectory() as place:
        for number in range(args.rounds):
            records = [line(rng, at) for at in range(count)]
            texts: dict[str, list[Any]] = {}
            for name, part, slots in (("many", records, None), ("one", records[: args.alone], 1)):
                folder = Path(place) / f"{name}{number}"
                folder.mkdir()
                began, used = time.perf_counter(), time.process_time()
                texts[name] = asyncio.run(answered(models, part, folder, args.batch, slots))
                rates[name].append(len(part) / (time.perf_counter() - began))
                cpu[name].append(len(part) / (time.process_time() - used))
            equal = equal and texts["many"][: args.alone] == texts["one"]
    pairs = {"wall": rates, "processor": cpu}
    ratios = {
        clock: statistics.median(a / b for a, b in zip(of["many"], of["one"], strict=True))
        for clock, of in pairs.items()
    }
    many, one = (statistics.median(rates[name]) for name in ("many", "one"))
    print_result(
        "batch_file",
        args,
        f"{many:.1f} lines/s, {ratios['wall']:.2f} times {one:.1f} one at a time "
        f"({ratios['processor']:.2f} by the processor's own seconds)",
        lines_per_second=many,
        alone=one,
        ratio=ratios["wall"],
        processor_ratio=ratios["processor"],
        equal_answers=equal,
    )


async def answered(
    models: dict[str, redraft.Model],
    records: list[dict[str, Any]],
    folder: Path,
    batch: int,
    slots: int | None,
) -> list[Any]:
    """Answer lines with fresh engines, `slots` at a time; return the texts."""
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    with JobFiles(Input.of(source), folder / "out.jsonl", {}) as files:
        async with LocalEngines(models, batch=batch) as engines:
            engines.slots = slots or engines.slots
            done = await run_job(files, engines, Defaults(None, 0, folder))
    if done.failed:
        raise SystemExit((folder / "out.errors.jsonl").read_text(encoding="utf-8")[:2000])
    text = (folder / "out.jsonl").read_text(encoding="utf-8")
    return [text_of(json.loads(one)) for one in text.split("\n") if one]


def text_of(answer: dict[str, Any]) -> Any:
    """Return the text of an answer in either form."""
    if "response" in answer:
        return answer["response"]["body"]["choices"][0]["message"]["content"]
    return answer["text"]


if __name__ == "__main__":
    main()
