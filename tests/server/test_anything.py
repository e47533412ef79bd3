"""Requests drawn from the server's own description: whatever comes in, nothing breaks and nothing hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.test_openai import Served

# Cases of each route; REDRAFT_CASES=1000 makes it a long one.
CASES = int(os.environ.get("REDRAFT_CASES", "25"))
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/infill", "/v1/edits", "/tokenize", "/v1/models", "/health", "/ready")
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
    whole = {name: body[name] for name in SMALL if isinstance(body.get(name), int) and body[name] is not True}
    bounded = {name: min(value, SMALL[name]) for name, value in whole.items()}
    asked = {"model": "small-text"} if isinstance(body.get("model"), str) else {}
    lengths = {"max_tokens": 8} if "max_tokens" not in body and "text" not in body else {}
    return body | bounded | asked | lengths | {"max_denoising_steps": 2}


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_that_comes_in_breaks_it(served: Served, route: str) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
    (operation,) = [one.ok() for one in schema.get_all_operations() if one.ok().path == route]
    seen: set[int] = set()

    @given(case=operation.as_strategy())
    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def run(case: Any) -> None:
        if route != "/tokenize":
            case.body = reaching(case.body)
        elif isinstance(case.body, dict):
            case.body = case.body | {"model": "small-text"}
        answer = case.call(timeout=60)
        seen.add(answer.status_code)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CHECKS)

    run()
    assert seen & {200, 400}
