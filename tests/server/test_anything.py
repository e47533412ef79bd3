"""Requests drawn from the server's own description, in a short form; the whole is in
tests/attack/anything.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.attack.anything import Anything
from tests.server.test_openai import Served

# Cases of each route; REDRAFT_CASES=1000 makes it a long one.
CASES = int(os.environ.get("REDRAFT_CASES", "8"))
ROUTES = (
    ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/infill"), ("POST", "/v1/edits"),
    ("POST", "/tokenize"), ("GET", "/v1/models"), ("GET", "/v1/models/{name}"), ("GET", "/health"), ("GET", "/ready"),
    ("GET", "/v1/drafts/schema"),
    ("POST", "/v1/responses"), ("GET", "/v1/responses/{name}"), ("GET", "/v1/responses/{name}/input_items"),
    ("DELETE", "/v1/responses/{name}"), ("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"),
    ("POST", "/infill"), ("POST", "/completion"), ("POST", "/completions"), ("POST", "/detokenize"), ("GET", "/props"),
    ("GET", "/slots"), ("POST", "/v1/fim/completions"),
    ("POST", "/api/chat"), ("POST", "/api/generate"), ("POST", "/api/show"), ("GET", "/api/tags"), ("GET", "/api/ps"),
    ("GET", "/api/version"),
    ("POST", "/v1/sessions"), ("GET", "/v1/sessions"), ("GET", "/v1/sessions/{name}"), ("DELETE", "/v1/sessions/{name}"),
    ("POST", "/v1/sessions/{name}/edits"), ("POST", "/v1/sessions/{name}/undo"), ("POST", "/v1/sessions/{name}/redo"),
    ("GET", "/v1/pages"), ("GET", "/v1/pages/{title}"), ("PUT", "/v1/pages/{title}"), ("DELETE", "/v1/pages/{title}"),
    ("GET", "/play/config"), ("POST", "/play/sudoku"), ("POST", "/play/check"), ("POST", "/v1/audio/transcriptions"),
)  # fmt: skip


@pytest.fixture(scope="module")
def anything() -> Iterator[Anything]:
    server = Served()
    yield Anything(f"http://127.0.0.1:{server.port}")
    server.close()


def test_every_route_is_tried(anything: Anything) -> None:
    assert set(anything.operations) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_nothing_that_comes_in_breaks_it(anything: Anything, route: tuple[str, str]) -> None:
    anything.run(route, CASES)
    assert anything.seen(route) & {200, 400, 404}
