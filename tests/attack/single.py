"""One request that asks for much: how long does another client's chat wait beside it?

`python -m tests.attack.single` sends one of each kind over and over, and measures each. Prompts of
60,000 tokens go to a checkpoint with random weights, whose context holds them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from redraft.testing import tiny_checkpoint
from tests.attack.bystander import Attacked, attacked, report

MESSAGES = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"
PROMPT = "a prompt of 60,000 tokens"
DEEP = '"DEEP"'  # stands for lists in lists
LONG: dict[str, Any] = {"max_denoising_steps": 2000, "confidence_threshold": 1e-12}
Kinds = dict[str, tuple[str, dict[str, Any]]]  # path and body, by name
Attack = Callable[[Attacked, str, str, dict[str, Any], float], int]
LINES = "".join(f"a{number} = {number}\n" for number in range(50_000))


def kinds() -> Kinds:
    """Return path and body of each kind of request."""
    word = "page " * 800_000
    return {
        "too many steps": (CHAT, {"messages": MESSAGES, "max_denoising_steps": 10**9}),
        "steps": (CHAT, LONG | {"messages": MESSAGES, "max_tokens": 256}),
        "steps of an accepter of nothing": (
            CHAT,
            LONG | {"messages": MESSAGES, "entropy_bound": 1e-30, "stability_threshold": 10**6},
        ),
        "stops": (CHAT, {"messages": MESSAGES, "stop": ["x"] * 380_000}),
        "fields": (CHAT, {"messages": MESSAGES} | {f"f{at}": at for at in range(125_000)}),
        "arguments": (CHAT, {"messages": [*MESSAGES, _calls(250), _RESULT], "max_tokens": 1}),
        "rows": (CHAT, LONG | {"messages": MESSAGES, "n": 16, "max_tokens": 3500}),
        "a long chat": (CHAT, {"messages": [{"role": "user", "content": word}]}),
        "many messages": (CHAT, {"messages": MESSAGES * 50_000}),
        "tokens to count": ("/tokenize", {"text": word}),
        "a text to edit": ("/v1/edits", {"text": LINES, "spans": [[4, 5]]}),
        "a hole in a long text": ("/v1/infill", {"template": f"{LINES}a = <hole>\n{LINES}"}),
        "holes": ("/v1/infill", {"template": "a = <hole>\n" * 20_000}),
        "candidates": ("/v1/infill", {"template": "a = <hole>\n" * 8, "max_candidates": 32}),
        "a list of prompts": ("/v1/completions", {"prompt": ["page " * 10] * 50_000}),
        "a schema": (CHAT, {"messages": MESSAGES, "response_format": _schema(4000)}),
        "tools": (CHAT, {"messages": MESSAGES, "tools": [_tool(number) for number in range(2000)]}),
        "a bias": (CHAT, {"messages": MESSAGES, "logit_bias": {str(at): 1 for at in range(10**5)}}),
        "deep JSON": (CHAT, {"messages": MESSAGES, "metadata": "DEEP"}),
    }


def _schema(count: int) -> dict[str, Any]:
    members = {f"name_{at}": {"type": "string", "maxLength": 40} for at in range(count)}
    schema = {"type": "object", "properties": members, "required": list(members)}
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}


_RESULT = {"role": "tool", "tool_call_id": "0", "content": "x"}


def _calls(count: int) -> dict[str, Any]:
    """Return a message whose calls have many values, each of them few."""
    function = {"name": "f", "arguments": '{"a": [%s1]}' % ("[]," * 5000)}
    calls = [{"id": str(at), "type": "function", "function": function} for at in range(count)]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _tool(number: int) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}


def send(server: Attacked, path: str, body: dict[str, Any], ended: threading.Event) -> Counter[str]:
    """Send a request over and over until told to end, leaving what takes long; return statuses."""
    found: Counter[str] = Counter()
    content = json.dumps({"model": server.model} | body).replace(DEEP, "[" * 2000 + "]" * 2000)
    headers = {"content-type": "application/json"}
    with httpx2.Client(timeout=20, trust_env=False, headers=headers) as client:
        while not ended.is_set():
            try:
                answer = client.post(server.url + path, content=content.encode())
                words = "" if answer.is_success else answer.text[:160]
                found[f"{answer.status_code} {words}"] += 1
            except httpx2.TimeoutException:
                found["left"] += 1
            except httpx2.TransportError as error:
                found[type(error).__name__] += 1
    return found


def attack(server: Attacked, name: str, path: str, body: dict[str, Any], seconds: float) -> int:
    """Send one kind for so long; print what another client saw."""
    ended, statuses = threading.Event(), Counter[str]()
    thread = threading.Thread(
        target=lambda: statuses.update(send(server, path, body, ended)), daemon=True
    )
    with server.bystander.watch() as seen:
        thread.start()
        time.sleep(seconds)
        ended.set()
    thread.join()
    seen.before = 0  # the caches of the first requests are not theirs to give back
    return report(name, seen, statuses=statuses)


def attack_by_prompt(seconds: float) -> int:
    """Send a prompt of 60,000 tokens; print what another client saw."""
    body = {"messages": [{"role": "user", "content": "a " * 30_000}], "max_tokens": 8}
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_checkpoint(Path(folder) / "tiny", 1, max_position_embeddings=131_072)
        with attacked(model=str(model)) as server:
            return attack(server, PROMPT, CHAT, body, seconds)


def attack_kinds(
    description: str | None, kinds: Kinds, attack: Attack
) -> tuple[argparse.Namespace, int]:
    """Read the options, and attack one server with each kind that they name.

    Returns:
        The options, and how many bars were missed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind")
    parser.add_argument("--only", help="one kind, by its name")
    args = parser.parse_args()
    missed = 0
    with attacked() as server:
        for name, (path, body) in kinds.items():
            if args.only in (None, name):
                missed += attack(server, name, path, body, args.seconds)
    return args, missed


def main() -> int:
    """Attack, print what another client saw of each kind, and return 1 where a bar is missed."""
    args, missed = attack_kinds(__doc__, kinds(), attack)
    if args.only in (None, PROMPT):
        missed += attack_by_prompt(3 * args.seconds)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
