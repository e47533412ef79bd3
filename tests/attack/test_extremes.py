from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attack.extremes import Attack
from tests.server.test_openai import Served


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def test_no_extreme_breaks_the_server(served: Served) -> None:
    report = Attack(f"http://127.0.0.1:{served.port}").run(120)
    assert not report.broken, report.broken[0]
    assert {200, 400} <= set(report.statuses)
