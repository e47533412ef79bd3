"""`redraft plan` against the truth: steps and tokens a second of this machine's server.

Rounds of `redraft bench` and of a server under 1, 4 and 8 users take turns, so that noise meets
both. The server is `redraft serve` in a process of its own. Users ask for whole canvases in a fixed
number of steps, each again as soon as it is answered. Seconds are the wall's or, where other load
shares the machine, the processor time of the process (`--clock processor`), as both are one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import torch
from measure import print_result

import redraft
from redraft.capacity.costs import Measured
from redraft.capacity.measure import UNSETTLED, measure
from redraft.capacity.queueing import Load, flow
from redraft.cli.bench import REQUEST_SECONDS

SERVE = "import sys; from redraft.cli.app import main; sys.argv[0] = 'redraft'; main()"
USERS = (1, 4, 8)
STARTING_SECONDS = 600.0


def start(model: str, port: int) -> subprocess.Popen[bytes]:
    """Return a server once it answers."""
    command = [sys.executable, "-c", SERVE, "serve", "-m", model, "--name", "m"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    began = time.monotonic()
    while time.monotonic() - began < STARTING_SECONDS:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/health")
            return process
        except httpx2.TransportError:
            time.sleep(0.5)
    process.kill()
    raise SystemExit("the server does not answer")


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time of the server so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load_of(args: argparse.Namespace, canvas: int, users: int) -> Load:
    """Return the load of a number of users."""
    answer = canvas * args.canvases
    return Load(users=users, prompt=args.prompt, answer=answer, steps=args.steps, batch=8)


async def under(url: str, load: Load, requests: int, vocab_size: int) -> tuple[int, int]:
    """Return the answers and tokens of users who ask so many times each.

    Raises:
        SystemExit: a request was refused.
    """
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": load.answer,
        "max_denoising_steps": int(load.steps),
        "eos_token_id": [],
        **UNSETTLED,
    }
    tokens = 0

    async def user(client: httpx2.AsyncClient, number: int) -> None:
        nonlocal tokens
        for again in range(requests):
            places = (number * 97 + again * 31 + at * 7 for at in range(load.prompt))
            prompt = [vocab_size // 3 + place % (vocab_size // 2) for place in places]
            answer = await client.post(url, json=body | {"prompt": prompt, "seed": number})
            if not answer.is_success:
                raise SystemExit(answer.text)
            tokens += answer.json()["usage"]["completion_tokens"]

    async with httpx2.AsyncClient(timeout=None) as client:
        await asyncio.gather(*(user(client, number) for number in range(load.users)))
    return load.users * requests, tokens


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--canvases", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--requests", type=int, default=4, help="of each user in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = redraft.load(args.model, vision=False)
    canvas, vocab_size = model.config.canvas_length, model.config.vocab_size
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start(args.model, port)
    url = f"http://127.0.0.1:{port}/v1/completions"
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    found: list[Measured] = []
    truth: dict[int, list[float]] = {users: [] for users in USERS}
    try:
        asyncio.run(under(url, load_of(args, canvas, 2), 1, vocab_size))  # warm
        for _ in range(args.rounds):
            found.append(
                measure(model, args.model, rounds=1, steps=args.steps, request=0.0, clock=clock)
            )
            for users in USERS:
                load = load_of(args, canvas, users)
                began, used = time.perf_counter(), processor_seconds(server)
                _, tokens = asyncio.run(under(url, load, args.requests, vocab_size))
                wall, processor = time.perf_counter() - began, processor_seconds(server) - used
                truth[users].append(tokens / (wall if args.clock == "wall" else processor))
    finally:
        server.terminate()
        server.wait()
    constants = {
        name: statistics.median(getattr(one, name) for one in found)
        for name in ("fixed", "row", "seen", "prompt", "token_fixed", "token_row")
    }
    costs = replace(found[0], **constants, request=REQUEST_SECONDS)
    report: dict[str, Any] = {}
    for users in USERS:
        load = load_of(args, canvas, users)
        planned, seen = flow(costs, load), statistics.median(truth[users])
        # Each answer of so many tokens is so many steps of its row, whatever shares its passes.
        steps = seen / load.answer * args.canvases * args.steps / planned.rows
        report[str(users)] = {
            "tokens_per_second": seen,
            "planned_tokens_per_second": planned.tokens_per_second,
            "steps_per_second": steps,
            "planned_steps_per_second": planned.passes_per_second,
            "ratio": planned.tokens_per_second / seen,
        }
    worst = max(abs(one["ratio"] - 1) for one in report.values())
    summary = ", ".join(
        f"{users} users: {one['planned_tokens_per_second']:.0f} planned, "
        f"{one['tokens_per_second']:.0f} tokens/s"
        for users, one in report.items()
    )
    print_result("capacity", args, f"{summary}; {worst:.0%} off at most", users=report, worst=worst)


if __name__ == "__main__":
    main()
