"""Requests drawn from the server's own description, of all dialects: whatever comes in, nothing
breaks and nothing hangs.

`python -m tests.attack.anything` starts a server and sends 10,000 requests. None may be answered
with a 5xx, against the description, or not at all. `--part 2/8` sends the second eighth of the
routes theirs, so that a long run can be made in pieces; `--seed` draws the same requests again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from typing import Any

import httpx2
import schemathesis
from hypothesis import HealthCheck, given, seed, settings, strategies
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.server_process import free_port, start_server

SECONDS = 60.0
# Routes that write nothing, or that read a file.
PLAIN = (
    "/tokenize", "/detokenize", "/v1/sessions", "/v1/pages/{title}", "/play/sudoku", "/api/show",
    "/v1/audio/transcriptions", "/v1/messages/count_tokens",
)  # fmt: skip
# Not that what the description allows is accepted: it cannot say that a span lies in its text.
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
# Small answers: what is tested is what comes in.
SMALL = {
    "max_tokens": 8, "max_completion_tokens": 8, "max_output_tokens": 8, "n_predict": 8, "n": 2, "max_candidates": 2,
    "best_of": 2,
}  # fmt: skip
# The limit of each route, where the body has none: null would write to the end of the context.
LIMITS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"max_tokens": 8},
    "/v1/completions": {"max_tokens": 8},
    "/v1/infill": {"max_tokens": 8},
    "/v1/responses": {"max_output_tokens": 8},
    "/v1/messages": {"max_tokens": 8},
    "/v1/fim/completions": {"max_tokens": 8},
    "/infill": {"n_predict": 8},
    "/completion": {"n_predict": 8},
    "/completions": {"n_predict": 8},
    "/api/chat": {"options": {"num_predict": 8}},
    "/api/generate": {"options": {"num_predict": 8}},
}
Key = tuple[str, str]


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def reaching(path: str, body: Any) -> Any:
    """The same body where it asks for the model that is there, and for little."""
    if not isinstance(body, dict):
        return body
    found = dict(body)
    if isinstance(body.get("model"), str):
        found["model"] = "small-text"
    if path in PLAIN:
        return found
    for name, limit in SMALL.items():
        if is_whole(body.get(name)):
            found[name] = min(body[name], limit)
    for name, limit in LIMITS.get(path, {}).items():
        if isinstance(limit, dict) and isinstance(body.get(name), dict):
            given = body[name]
            few = all(
                not is_whole(given.get(one)) or 0 <= given[one] <= most
                for one, most in limit.items()
            )
            found[name] = given | ({} if few and set(limit) <= set(given) else limit)
        elif body.get(name) is None or (is_whole(body[name]) and body[name] < 0):
            found[name] = limit
    return found | {"max_denoising_steps": 2}


class Anything:
    """Cases of the routes of one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        # By our own client: theirs gives up after ten seconds, too early on a busy machine.
        description = httpx2.get(f"{url}/openapi.json", timeout=SECONDS).json()
        schema = schemathesis.openapi.from_dict(description)
        schema.config.update(base_url=url)
        found = [one.ok() for one in schema.get_all_operations()]
        self.operations = {(one.method.upper(), one.path): one for one in found}
        self.statuses: Counter[str] = Counter()
        text = {"model": "small-text", "text": "some text"}
        self._session = self._begun("/v1/sessions", text)
        given = {
            "model": "small-text",
            "input": "hi",
            "max_output_tokens": 4,
            "max_denoising_steps": 2,
        }
        self._response = self._begun("/v1/responses", given)

    def _begun(self, path: str, body: dict[str, Any]) -> str:
        answer = httpx2.post(f"{self.url}{path}", json=body, timeout=SECONDS)
        return str(answer.json()["id"])

    def run(self, key: Key, cases: int, start: int | None = None) -> None:
        """Send `cases` requests to a route; an AssertionError where one breaks it.

        Args:
            start: seed of what is drawn; None for another one each time.
        """
        method, path = key

        @(lambda test: test if start is None else seed(start)(test))
        @given(case=self.operations[key].as_strategy(), known=strategies.booleans())
        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any, known: bool) -> None:
            case.body = reaching(path, case.body)
            if known and "{name}" in path and method != "DELETE":
                case.path_parameters = {"name": self._known(path)}
            if known and isinstance(case.query, dict) and "model" in case.query:
                case.query = case.query | {"model": "small-text"}
            answer = case.call(timeout=SECONDS)
            self.statuses[f"{method} {path} {answer.status_code}"] += 1
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, checks=CHECKS)

        send()

    def seen(self, key: Key) -> set[int]:
        """The statuses with which a route answered."""
        start = f"{key[0]} {key[1]} "
        return {int(one.removeprefix(start)) for one in self.statuses if one.startswith(start)}

    def _known(self, path: str) -> str:
        if path.startswith("/v1/models"):
            return "small-text"
        return self._response if path.startswith("/v1/responses") else self._session


def main() -> int:
    """Send all cases, print what was answered as JSON, and return 1 where one broke the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument(
        "--seed", type=int, help="of the requests; another one each time unless given"
    )
    parser.add_argument("--part", default="1/1", help="K/N: each Nth route, from the Kth on")
    args = parser.parse_args()
    first, parts = (int(number) for number in args.part.split("/"))
    port = free_port()
    process = start_server(port)
    broken: list[str] = []
    try:
        anything = Anything(f"http://127.0.0.1:{port}")
        each = max(1, args.cases // len(anything.operations))
        for key in list(anything.operations)[first - 1 :: parts]:
            try:
                anything.run(key, each, args.seed)
            except (AssertionError, BaseExceptionGroup) as error:
                broken.append(f"{key}: {error}"[:2000])
            print(*key, sum(anything.statuses.values()), file=sys.stderr, flush=True)
    finally:
        process.terminate()
        process.wait(120)
    print(json.dumps({"statuses": anything.statuses, "broken": broken}, indent=1))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
