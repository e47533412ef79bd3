"""`redraft batch` by Ray with one worker, against the same engines in process.

What Ray adds to a line is measured with requests that the application refuses at once, one at a
time and 64 at a time; the engines add nothing to these. The lines themselves are then answered by
both, and `equal_answers` is true if both wrote the same texts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import Any

import torch
from measure import print_result

from redraft.batch.lines import URLS
from redraft.batch.models import ModelsToLoad
from redraft.cluster.batch import RayEngines
from redraft.tasks import Arithmetic

REFUSED: dict[str, Any] = {"model": "small", "messages": []}
TOGETHER = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", default="local", help="address of a cluster")
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--refused", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    models = ModelsToLoad(paths={"small": "small"}, device="cpu", memory=1 << 30)
    local = asyncio.run(measured(models.engines(models.load()), args))
    ray = asyncio.run(measured(RayEngines(models, args.ray, replicas=1, cpus=args.threads), args))
    alone = ray["alone"] - local["alone"]
    together = ray["together"] - local["together"]
    print_result(
        "batch_ray",
        args,
        f"Ray adds {alone * 1e3:.1f} ms to a line alone, {together * 1e3:.2f} ms of many; "
        f"{ray['rate']:.1f} lines/s against {local['rate']:.1f} in process",
        added_seconds=alone,
        added_seconds_together=together,
        ray=ray["rate"],
        local=local["rate"],
        equal_answers=ray["texts"] == local["texts"],
    )


async def measured(engines: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return seconds of a refused request, and texts and rate of lines."""
    url = URLS[0]
    bodies = [sum_of(number) for number in range(args.lines)]
    async with engines:
        await engines.answer(url, bodies[0])
        alone = [await timed(engines.answer(url, REFUSED)) for _ in range(args.refused // 4)]
        rounds = [
            await timed(asyncio.gather(*(engines.answer(url, REFUSED) for _ in range(TOGETHER))))
            for _ in range(args.refused // TOGETHER)
        ]
        began = time.perf_counter()
        answers = await asyncio.gather(*(engines.answer(url, one) for one in bodies))
        rate = len(bodies) / (time.perf_counter() - began)
    return {
        "alone": statistics.median(alone),
        "together": statistics.median(rounds) / TOGETHER,
        "rate": rate,
        "texts": [one.body["choices"][0]["message"]["content"] for one in answers],
    }


async def timed(work: Any) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def sum_of(number: int) -> dict[str, Any]:
    """Draw a chat with a seed."""
    said = [{"role": "user", "content": Arithmetic().draw(random.Random(number)).prompt}]
    return {"model": "small", "messages": said, "seed": number}


if __name__ == "__main__":
    main()
