"""The page shows what the last runs of the clients came to."""

from __future__ import annotations

import json

from tests.clients.table import ABILITIES, CANNOT, FURTHER, KEPT, PAGE, tables


def test_the_page_has_the_tables_of_the_last_runs() -> None:
    results = json.loads(KEPT.read_text(encoding="utf-8"))
    assert tables(results) in PAGE.read_text(encoding="utf-8")


def test_every_client_tried_everything_and_fails_at_nothing() -> None:
    for found in json.loads(KEPT.read_text(encoding="utf-8")).values():
        assert set(found) == {"version", *ABILITIES, *FURTHER}
        assert all(
            not why or why.startswith(CANNOT) for one, why in found.items() if one != "version"
        )
