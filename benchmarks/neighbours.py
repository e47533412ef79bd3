"""First drafts beside one other request: how long a chat waits for its first draft, alone and
beside another client's request of each kind.

The server is `redraft serve` in a process of its own. `--source` starts a second one from another
checkout, and measures it too. Milliseconds are medians; a ratio is that beside over that alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from measure import print_result
from mixed_load import MODEL, Server, compared

from redraft.editing.template import MARK

CHAT = "/v1/chat/completions"


def message(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def neighbours(tokens: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return path and body of one large request of each kind.

    Args:
        tokens: about so many tokens has the longest prompt.
    """
    steps = {"max_denoising_steps": 48, "confidence_threshold": 1e-12}
    prompt = "page " * tokens
    return {
        "choices": (CHAT, steps | {"messages": message("page"), "n": 16, "max_tokens": 256}),
        "long text": (CHAT, steps | {"messages": message("page"), "max_tokens": 1024}),
        "long prompt": (CHAT, {"messages": message(prompt), "max_tokens": 8}),
        "long prompts": (CHAT, {"messages": message(prompt), "n": 16, "max_tokens": 64}),
        "candidates": (
            "/v1/infill",
            {"template": f"a = [{MARK}]\nb = [{MARK}]\n", "max_candidates": 32},
        ),
    }


def first_draft(client: httpx2.Client, url: str, seed: int) -> float:
    """Return the seconds from a chat to its first draft."""
    body = {"model": MODEL, "messages": message("Hello"), "seed": seed, "max_tokens": 8}
    body |= {"stream": True, "stream_options": {"include_drafts": True}}
    began = time.perf_counter()
    with client.stream("POST", url + CHAT, json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {") and json.loads(line[6:]).get("draft"):
                return time.perf_counter() - began
    raise AssertionError("the chat had no draft")


@contextmanager
def beside(url: str, path: str, body: dict[str, Any]) -> Iterator[None]:
    """Send a request over and over while the block runs."""
    ended = threading.Event()
    failures: list[str] = []

    def send() -> None:
        with httpx2.Client(timeout=600, trust_env=False) as client:
            while not ended.is_set() and not failures:
                answer = client.post(url + path, json={"model": MODEL, "seed": 1} | body)
                if not answer.is_success:
                    failures.append(answer.text)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(1.0)
    yield
    ended.set()
    thread.join()
    assert not failures, failures[0]


def measure(server: Server, count: int, tokens: int) -> dict[str, float]:
    """Return the median milliseconds to a chat's first draft, alone and beside each neighbour."""
    with httpx2.Client(timeout=600, trust_env=False) as client:

        def median() -> float:
            found = [first_draft(client, server.url, seed) for seed in range(count)]
            return 1000 * statistics.median(found)

        median()
        found = {"alone": median()}
        for name, (path, body) in neighbours(tokens).items():
            with beside(server.url, path, body):
                found[name] = median()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="small-text", help="folder or name of a checkpoint")
    parser.add_argument("--count", type=int, default=15, help="chats beside each neighbour")
    parser.add_argument("--tokens", type=int, default=1500, help="tokens of the longest prompt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--source", help="the folder src of another checkout, to compare with")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    args = parser.parse_args()
    options = ["--model", args.model, "--name", MODEL, "--dtype", "float32"]
    with compared(args.source, options, args.threads) as servers:
        found = {name: measure(one, args.count, args.tokens) for name, one in servers.items()}
    ratios = {
        name: {kind: value / one["alone"] for kind, value in one.items() if kind != "alone"}
        for name, one in found.items()
    }
    words = "; ".join(
        f"{name}: alone {found[name]['alone']:.0f} ms, "
        + ", ".join(f"{kind} {ratio:.1f} x" for kind, ratio in one.items())
        for name, one in ratios.items()
    )
    print_result("neighbours", args, words, milliseconds=found, ratio=ratios)


if __name__ == "__main__":
    main()
