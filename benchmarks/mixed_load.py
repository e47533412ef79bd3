"""A mixed load on a server: holes to infill and chats, all sent at once; requests a second.

The server is `redraft serve` in a process of its own; its clients ask over sockets. `--source`
starts a second server, from another checkout. Both get the same requests in turn, and each round
gives one ratio, so that a change of the machine's speed meets both alike. Every request has a seed,
so both servers should give the same texts: `equal_answers` is true if they did.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from measure import median_ratio, print_result

from redraft.editing import Template
from redraft.editing.template import MARK
from redraft.tasks import Infill, Task, ToDo, Wiki

SOURCE = Path(__file__).parent.parent / "src"
SERVE = "import sys; from redraft.cli.app import main; sys.argv[0] = 'redraft'; main()"
STARTING_SECONDS = 120.0
CHAT_TOKENS = 160
CANDIDATES = 6
KINDS = ("infill", "chat")
MODEL = "model"  # its name in requests


@dataclass(frozen=True)
class Post:
    """A request to the server: its kind (of KINDS), its path and its body."""

    kind: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Load:
    """The answers to all requests of a round, and their times.

    Attributes:
        texts: of each request, in the order of the requests.
        latencies: seconds from the sending of a request to the last byte of its answer, by kind.
        seconds: from the first request to the last answer.
        cpu_seconds: processor time that the server used meanwhile; 0 on systems without /proc.
    """

    texts: list[str]
    latencies: dict[str, list[float]]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Server:
    """A running server: its address and its process."""

    url: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the processor time used so far; 0 on systems without /proc."""
        path = Path(f"/proc/{self.process.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text().rpartition(")")[2].split()  # those behind the command's name
        user, system = fields[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def posts(args: argparse.Namespace, number: int) -> list[Post]:
    """Draw the requests of round `number`, in an order that mixes both kinds.

    Holes are spans and lines of small functions and records. Of the chats every other one asks for
    a page of the wiki, the rest for an edit of a to-do page.
    """
    rng = random.Random(f"mixed load {number}")
    found = []
    for _ in range(args.holes):
        example = Infill().draw(rng)
        template = Template.around(example.answer, example.holes)
        body: dict[str, Any] = {
            "template": MARK.join(template.texts),
            "instruction": example.prompt,
            "max_candidates": args.candidates,
        }
        found.append(Post("infill", "/v1/infill", body))
    tasks: tuple[Task, ...] = (Wiki(), ToDo())
    for at in range(args.chats):
        message = {"role": "user", "content": tasks[at % len(tasks)].draw(rng).prompt}
        body = {"messages": [message], "max_tokens": CHAT_TOKENS}
        found.append(Post("chat", "/v1/chat/completions", body))
    rng.shuffle(found)
    for post in found:
        post.body.update(model=MODEL, seed=rng.randrange(1 << 31))
        if args.steps is not None:
            post.body["max_denoising_steps"] = args.steps
    return found


def send(server: Server, requests: Sequence[Post]) -> Load:
    """Send all requests at once, each over a connection of its own, and wait for all answers."""

    async def ask(client: httpx2.AsyncClient, post: Post) -> tuple[str, float]:
        began = time.perf_counter()
        answer = await client.post(server.url + post.path, json=post.body)
        answer.raise_for_status()
        body = answer.json()
        text = body["text"] if post.kind == "infill" else body["choices"][0]["message"]["content"]
        return text, time.perf_counter() - began

    async def ask_all() -> tuple[list[tuple[str, float]], float]:
        async with httpx2.AsyncClient(timeout=3600, trust_env=False) as client:
            began = time.perf_counter()
            answers = await asyncio.gather(*(ask(client, post) for post in requests))
            return answers, time.perf_counter() - began

    before = server.cpu_seconds()
    answers, seconds = asyncio.run(ask_all())
    used = server.cpu_seconds() - before
    latencies: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for post, (_, latency) in zip(requests, answers, strict=True):
        latencies[post.kind].append(latency)
    return Load([text for text, _ in answers], latencies, seconds, used)


@contextmanager
def started(source: Path, options: Sequence[str], threads: int) -> Iterator[Server]:
    """Run `redraft serve` from the sources in `source`; yield it once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(source.resolve()),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
    }
    command = [sys.executable, "-c", SERVE, "serve", "--port", str(port), *options]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        running = Server(f"http://127.0.0.1:{port}", process)
        wait_until_ready(running)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def compared(
    other: str | None, options: Sequence[str], threads: int
) -> Iterator[dict[str, Server]]:
    """Run `redraft serve` from these sources and from those in `other`, where it is given."""
    sources = {"redraft": SOURCE} | ({} if other is None else {"other": Path(other)})
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(started(source, options, threads))
            for name, source in sources.items()
        }


def wait_until_ready(server: Server) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: it ended, or gave no answer within STARTING_SECONDS.
    """
    process, ends = server.process, time.monotonic() + STARTING_SECONDS
    with httpx2.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < ends:
            try:
                client.get(f"{server.url}/ready").raise_for_status()
            except httpx2.HTTPError:
                time.sleep(0.1)
            else:
                return
    raise RuntimeError(f"no server at {server.url}: {process.returncode=}, {process.args=}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="small-text", help="folder or name of a checkpoint")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--holes", type=int, default=8, help="infill requests a round")
    parser.add_argument("--chats", type=int, default=8, help="chat requests a round")
    parser.add_argument(
        "--candidates", type=int, default=CANDIDATES, help="max_candidates of an infill request"
    )
    parser.add_argument("--steps", type=int, help="max_denoising_steps; the model's where left out")
    parser.add_argument("--batch", type=int, default=8, help="the servers' --batch")
    parser.add_argument("--source", help="the folder src of another checkout, to compare with")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    options = ["--model", args.model, "--name", MODEL, "--dtype", args.dtype]
    options += ["--batch", str(args.batch)]
    with compared(args.source, options, args.threads) as servers:
        loads: dict[str, list[Load]] = {name: [] for name in servers}
        for number in range(args.rounds + 1):  # round 0 warms
            requests = posts(args, number)
            # Every other round begins with the other server.
            for name in list(servers)[:: 1 if number % 2 else -1]:
                loads[name].append(send(servers[name], requests))
    report(args, loads)


def report(args: argparse.Namespace, loads: dict[str, list[Load]]) -> None:
    """Print the figures of all rounds but the first, which warmed.

    Rates and latencies are medians; `ratio` is the median of the rounds' own ratios.
    """
    measured = {name: rounds[1:] for name, rounds in loads.items()}
    count = args.holes + args.chats
    rates, latencies = {}, {}
    for name, rounds in measured.items():
        rates[name] = count / statistics.median(load.seconds for load in rounds)
        latencies[name] = {
            kind: _median([load.latencies[kind] for load in rounds]) for kind in KINDS
        }
    times = {name: [load.seconds for load in rounds] for name, rounds in measured.items()}
    ratio = median_ratio(times, "other", "redraft")
    cpu = {name: [load.cpu_seconds for load in rounds] for name, rounds in measured.items()}
    cpu_ratio = median_ratio(cpu, "other", "redraft") if min(map(min, cpu.values())) else None
    equal = None
    if "other" in loads:
        pairs = zip(loads["redraft"], loads["other"], strict=True)
        equal = all(one.texts == other.texts for one, other in pairs)
    words = [
        f"{name}: {rates[name]:.2f} requests/s, "
        + ", ".join(f"{kind} {value:.2f} s" for kind, value in latencies[name].items() if value)
        for name in rates
    ]
    if ratio is not None:
        words.append(f"{ratio:.2f} times the other's requests/s")
    print_result(
        "mixed_load",
        args,
        "; ".join(words),
        seconds=times,
        requests_per_second=rates,
        latency=latencies,
        ratio=ratio,
        cpu_seconds=cpu,
        cpu_ratio=cpu_ratio,
        equal_answers=equal,
    )


def _median(rounds: Sequence[Sequence[float]]) -> float | None:
    """Return the median of all values; None where there are none."""
    values = [value for one in rounds for value in one]
    return statistics.median(values) if values else None


if __name__ == "__main__":
    main()
