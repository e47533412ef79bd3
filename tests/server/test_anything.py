"""Requests drawn from the server's own description: whatever comes in, nothing breaks and nothing
hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.test_openai import Served

# Cases of each route; REDRAFT_CASES=1000 makes it a long one.
CASES = int(os.environ.get("REDRAFT_CASES", "12"))
ROUTES = (
    ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/infill"), ("POST", "/v1/edits"),
    ("POST", "/tokenize"), ("GET", "/v1/models"), ("GET", "/health"), ("GET", "/ready"),
    ("POST", "/v1/sessions"), ("GET", "/v1/sessions"), ("GET", "/v1/sessions/{name}"), ("DELETE", "/v1/sessions/{name}"),
    ("POST", "/v1/sessions/{name}/edits"), ("POST", "/v1/sessions/{name}/undo"), ("POST", "/v1/sessions/{name}/redo"),
    ("GET", "/v1/pages"), ("GET", "/v1/pages/{title}"), ("PUT", "/v1/pages/{title}"), ("DELETE", "/v1/pages/{title}"),
    ("GET", "/play/config"), ("POST", "/play/sudoku"), ("POST", "/v1/audio/transcriptions"),
)  # fmt: skip
PLAIN = (
    "/tokenize",
    "/v1/sessions",
    "/v1/pages/{title}",
    "/play/sudoku",
    "/v1/audio/transcriptions",
)  # nothing is written
# Not that what the description allows is accepted: it cannot say that a span lies in its text.
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
# Small answers: what is tested is what comes in.
SMALL = {"max_tokens": 8, "max_completion_tokens": 8, "n": 2, "max_candidates": 2}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def reaching(body: Any) -> Any:
    """The same body where it asks for the model that is there, and for little."""
    if not isinstance(body, dict):
        return body
    whole = {
        name: body[name]
        for name in SMALL
        if isinstance(body.get(name), int) and body[name] is not True
    }
    bounded = {name: min(value, SMALL[name]) for name, value in whole.items()}
    asked = {"model": "small-text"} if isinstance(body.get("model"), str) else {}
    # Null is no limit: a chat would write to the end of the context.
    no_limit = body.get("max_tokens") is None and "text" not in body
    lengths = {"max_tokens": 8} if no_limit else {}
    return body | bounded | asked | lengths | {"max_denoising_steps": 2}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_that_comes_in_breaks_it(served: Served, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{served.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = {
        (one.ok().method.upper(), one.ok().path): one.ok() for one in schema.get_all_operations()
    }
    assert set(operations) == set(ROUTES)
    begun = httpx2.post(
        f"{url}/v1/sessions", json={"model": "small-text", "text": "some text"}
    ).json()["id"]
    seen: set[int] = set()

    @given(case=operations[method, path].as_strategy(), known=strategies.booleans())
    @settings(
        max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def run(case: Any, known: bool) -> None:
        if path not in PLAIN:
            case.body = reaching(case.body)
        elif isinstance(case.body, dict) and "model" in case.body:
            case.body = case.body | {"model": "small-text"}
        if known and "{name}" in path and method != "DELETE":
            case.path_parameters = {"name": begun}
        if known and isinstance(case.query, dict) and "model" in case.query:
            case.query = case.query | {"model": "small-text"}
        answer = case.call(timeout=60)
        seen.add(answer.status_code)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CHECKS)

    run()
    assert seen & {200, 400, 404}
