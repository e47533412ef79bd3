"""Latency of a server's routes: seconds from a request to the last byte of its answer, on one
connection that is kept open, as clients keep it.

The server is `redraft serve` in a process of its own. `--source` starts a second one from another
checkout; both get the same requests in turn. A floor that every route shares is a floor of the
connection, not of the work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx2
from measure import print_result
from mixed_load import MODEL, Server, compared

from redraft.editing.template import MARK

SMALL: dict[str, Any] = {"model": MODEL, "seed": 1, "max_denoising_steps": 1}
CHAT = SMALL | {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
HOLE = SMALL | {"template": f"a = [{MARK}]\n", "max_candidates": 1}
Ask = Callable[[httpx2.Client, str], httpx2.Response]
ROUTES: dict[str, Ask] = {
    "health": lambda client, url: client.get(f"{url}/health"),
    "models": lambda client, url: client.get(f"{url}/v1/models"),
    "sessions": lambda client, url: client.get(f"{url}/v1/sessions"),
    "error": lambda client, url: client.post(f"{url}/v1/chat/completions", json={"model": ""}),
    "chat": lambda client, url: client.post(f"{url}/v1/chat/completions", json=CHAT),
    "stream": lambda client, url: client.post(
        f"{url}/v1/chat/completions", json=CHAT | {"stream": True}
    ),
    "infill": lambda client, url: client.post(f"{url}/v1/infill", json=HOLE),
}


def measure(server: Server, route: str, count: int) -> list[float]:
    """Return the seconds of `count` requests on one connection; two more warm it."""
    found = []
    with httpx2.Client(timeout=600, trust_env=False) as client:
        for _ in range(count + 2):
            began = time.perf_counter()
            answer = ROUTES[route](client, server.url)
            found.append(time.perf_counter() - began)
            assert answer.is_success != (route == "error"), answer.text
    return found[2:]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    ninety_fifth = statistics.quantiles(seconds, n=20)[-1]
    return {"p50": 1000 * statistics.median(seconds), "p95": 1000 * ninety_fifth}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="small-text", help="folder or name of a checkpoint")
    parser.add_argument("--count", type=int, default=50, help="requests a route")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--source", help="the folder src of another checkout, to compare with")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    options = ["--model", args.model, "--name", MODEL]
    with compared(args.source, options, args.threads) as servers:
        found = {
            name: {route: percentiles(measure(server, route, args.count)) for route in ROUTES}
            for name, server in servers.items()
        }
    words = "; ".join(
        f"{name}: " + ", ".join(f"{route} {one['p50']:.1f} ms" for route, one in routes.items())
        for name, routes in found.items()
    )
    print_result("latency", args, words, milliseconds=found)


if __name__ == "__main__":
    main()
