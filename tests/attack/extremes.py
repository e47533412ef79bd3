"""Values at the ends of what JSON can say, in every field of every route: does any break the server?

`python -m tests.attack.extremes` starts a server and sends 20,000 bodies. None may be answered with
a 5xx, or not at all.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from redraft.config import GenerationConfig
from tests.server.server_process import free_port, start_server

SECONDS = 60.0


def deep() -> Any:
    """Return a value that is deeply nested."""
    found: Any = "x"
    for _ in range(300):
        found = [{"a": found}]
    return found


DEEP = object()  # stands for deep()
EXTREMES: list[Any] = [
    None, True, False, 0, -0.0, 1, -1, 2, 7, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**40, -(10**400),
    0.5, 1e-46, 5e-324, 1e39, 1.7e308, -1e308, float("inf"), float("-inf"), float("nan"),
    "", "x", "0", "-1", "1e999", "true", "null", "\x00", "\ud800", "\udfff\ud800", "\U0010ffff", "a\u0301" * 50,
    "<hole>", "<hole>" * 40, "<|tool_call>", "<bos><eos><pad>", "../../etc/passwd", "%s%n{}", "\u202e\ufeff",
    "9" * 5000, "a{" + "9" * 5000 + "}", [["9" * 5000, 1]], {"9" * 5000: 1}, {"$ref": "#/enum/" + "9" * 5000, "enum": []},
    "y" * 20_000, "[" * 5_000, "(a?){400}", "(a|b)*a(a|b){9}", "(?:" * 300 + ")" * 300, "start: start start | \"a\"",
    [], [[]], {}, {"": {}}, [None], [0] * 2000, ["x"] * 300, [{}] * 70, [[0, 0]], [[5, 1]], [[-1, 2**70]],
    {"type": "object"}, {"$ref": "#"}, {"type": ["null"], "minimum": 1e400}, {"allOf": [{"$ref": "#/$defs/x"}]},
    {"enum": []}, {"const": 10**30}, {"multipleOf": 1e-300, "type": "number"}, {"pattern": "\\", "type": "string"},
    {"maxItems": 10**9, "type": "array"}, {"type": "regex", "regex": "a{0,99999}"}, {"type": "grammar", "grammar": "\ud800"},
    {"role": "user", "content": [{"type": "text", "text": "\ud800"}]}, DEEP,
]  # fmt: skip
# Small answers: what is tested is what comes in.
SMALL: dict[str, Any] = {
    "model": "small-text", "max_tokens": 2, "max_denoising_steps": 1, "seed": 1, "timeout": 4.0
}  # fmt: skip
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
CHAT = SMALL | {"messages": [{"role": "user", "content": "hi"}]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "integer"}}}
HOLE = SMALL | {"max_candidates": 1}
RESPONSE = {name: value for name, value in SMALL.items() if name != "max_tokens"} | {
    "input": "hi",
    "max_output_tokens": 2,
}
OLLAMA = {
    "model": "small-text", "options": {"num_predict": 2, "seed": 1}, "timeout": 4.0, "max_denoising_steps": 1,
}  # fmt: skip
BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", CHAT | {"tools": [TOOL], "tool_choice": "auto"}),
    ("POST", "/v1/chat/completions", CHAT | {"response_format": SCHEMA}),
    ("POST", "/v1/chat/completions", CHAT | {"stream": True, "stream_options": {}}),
    ("POST", "/v1/completions", SMALL | {"prompt": "hi"}),
    ("POST", "/v1/completions", SMALL | {"prompt": "hi", "suffix": "there"}),
    ("POST", "/v1/infill", HOLE | {"template": "a<hole>b", "formats": [SCHEMA]}),
    ("POST", "/v1/edits", HOLE | {"text": "some text", "spans": [[0, 4]], "instruction": "x"}),
    ("POST", "/v1/completions", SMALL | {"prompt": ["hi", "ho"], "echo": True, "logprobs": 1}),
    ("POST", "/v1/responses", RESPONSE),
    ("POST", "/v1/messages", CHAT | {"system": "x", "stop_sequences": ["y"]}),
    ("POST", "/v1/messages/count_tokens", {"model": "small-text", "messages": CHAT["messages"]}),
    ("POST", "/infill", HOLE | {"input_prefix": "a", "input_suffix": "b", "n_predict": 2}),
    ("POST", "/completion", SMALL | {"prompt": "hi", "n_predict": 2}),
    ("POST", "/v1/fim/completions", SMALL | {"prompt": "hi", "suffix": "there"}),
    ("POST", "/api/chat", OLLAMA | {"messages": CHAT["messages"]}),
    ("POST", "/api/generate", OLLAMA | {"prompt": "hi", "suffix": "there"}),
    ("POST", "/api/generate", OLLAMA | {"prompt": "hi", "raw": True}),
    ("POST", "/tokenize", {"model": "small-text", "text": "hi"}),
    ("POST", "/v1/sessions", {"model": "small-text", "text": "some text"}),
    ("POST", "/v1/sessions/{name}/edits", HOLE | {"spans": [[0, 4]], "instruction": "x"}),
    ("POST", "/v1/sessions/{name}/undo", None),
    ("GET", "/v1/sessions/{name}", None),
    ("GET", "/v1/pages/{name}", None),
    ("PUT", "/v1/pages/{name}", {"model": "small-text", "text": "some text"}),
    ("DELETE", "/v1/pages/{name}", None),
    ("POST", "/play/sudoku", {"blanks": 3}),
]
MORE = [one.name for one in dataclasses.fields(GenerationConfig)]


@dataclass
class Report:
    """What the server answered. broken: requests with a 5xx, or without an answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest: float = 0.0


def fields_of(description: dict[str, Any]) -> dict[str, list[str]]:
    """Return the fields of each route's body, from the server's description of itself."""
    found: dict[str, list[str]] = {}
    schemas = description["components"]["schemas"]
    for path, operations in description["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            name = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            if name:
                found[path] = list(schemas[name.rsplit("/", 1)[1]]["properties"])
    return found


def changed(rng: random.Random, body: Any, fields: list[str]) -> Any:
    """Return a body with one to three extremes in it, at any depth."""
    body = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        drawn = rng.choice(EXTREMES)
        extreme = deep() if drawn is DEEP else copy.deepcopy(drawn)
        if rng.random() < 0.01:
            return extreme
        if rng.random() < 0.6:
            body[rng.choice(fields or ["x"])] = extreme
            continue
        parent, key = rng.choice(list(_places(body)))
        if rng.random() < 0.1:
            del parent[key]
        else:
            parent[key] = extreme
        if not body:
            break
    return body


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return the container and the key of every value inside one, but for very deep ones."""
    found: list[tuple[Any, Any]] = []
    left = [(value, 0)]
    for one, depth in left:
        keys = list(one) if isinstance(one, dict) else list(range(min(len(one), 3)))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list) and depth < 8:
                left.append((one[key], depth + 1))
    return found


class Attack:
    """Requests drawn from a seed, and what came back."""

    def __init__(self, url: str, seed: int = 1) -> None:
        self.url, self.seed = url, seed
        self.report, self._lock = Report(), threading.Lock()
        with httpx2.Client(timeout=SECONDS, trust_env=False) as client:
            self._fields = fields_of(client.get(f"{url}/openapi.json").json())
            text = {"model": "small-text", "text": "some text"}
            self._session = client.post(f"{url}/v1/sessions", json=text).json()["id"]

    def run(self, count: int, threads: int = 4) -> Report:
        """Send `count` requests."""

        def part(number: int) -> None:
            rng = random.Random(f"{self.seed} {number}")
            with httpx2.Client(timeout=SECONDS, trust_env=False) as client:
                for _ in range(number, count, threads):
                    self._send(client, *self._drawn(rng))

        runs = [threading.Thread(target=part, args=(number,)) for number in range(threads)]
        for one in runs:
            one.start()
        for one in runs:
            one.join()
        return self.report

    def _drawn(self, rng: random.Random) -> tuple[str, str, str | None]:
        """Return the method, the path and the body of a request."""
        method, path, body = rng.choice(BODIES)
        text = None
        if body is not None:
            # Generation settings are fields of all that write.
            more = MORE if "seed" in body else []
            text = json.dumps(changed(rng, body, self._fields.get(path, []) + more))
        usual = self._session if "sessions" in path else "a"
        name = str(rng.choice(EXTREMES))[:300] if rng.random() < 0.3 else usual
        quoted = quote(name.encode("utf-8", "replace"), safe="")
        return method, path.replace("{name}", quoted), text

    def _send(self, client: httpx2.Client, method: str, path: str, text: str | None) -> None:
        headers = {"content-type": "application/json"}
        began = time.perf_counter()
        try:
            answer = client.request(method, self.url + path, content=text or "", headers=headers)
            status, why = answer.status_code, answer.text[:300]
        except httpx2.HTTPError as error:
            status, why = 0, repr(error)
        with self._lock:
            self.report.statuses[status] += 1
            self.report.slowest = max(self.report.slowest, time.perf_counter() - began)
            # 507: the state is full, and says so.
            if status == 0 or (status >= 500 and status != 507):
                words = f"{status} {why} {method} {path[:80]} {(text or '')[:1000]}"
                self.report.broken.append(words)


def main() -> int:
    """Attack, print the report as JSON, and return 1 where anything broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="requests")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    port = free_port()
    process = start_server(port)
    try:
        report = Attack(f"http://127.0.0.1:{port}", args.seed).run(args.count)
    finally:
        process.terminate()
        process.wait(30)
    print(json.dumps(vars(report)))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
