"""The state file: bounds, locks, old files, damaged files, full disks."""

from __future__ import annotations

import random
import sqlite3
import stat
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.server.runtime import database
from redraft.server.runtime.database import (
    StateBusyError,
    StateFullError,
    changed_span,
)
from redraft.server.runtime.store import Store

VERSION_1 = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
    instruction TEXT, done INTEGER NOT NULL, updated REAL NOT NULL) STRICT;
CREATE TABLE edits (session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    number INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    PRIMARY KEY (session, number)) STRICT;
CREATE TABLE pages (model TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    created REAL NOT NULL, PRIMARY KEY (model, title)) STRICT;
PRAGMA user_version = 1;
"""


@given(st.text("ab\n", max_size=30), st.text("ab\n", max_size=30))
def test_a_changed_span_is_all_that_differs(before: str, after: str) -> None:
    start, removed, added = changed_span(before, after)
    assert before[start : start + len(removed)] == removed
    assert before[:start] + added + before[start + len(removed) :] == after
    # The naive form: nothing in common is left at either end.
    assert not removed or not added or removed[0] != added[0]
    assert not removed or not added or removed[-1] != added[-1]


def test_undo_and_redo_give_every_text_again() -> None:
    rng, state = random.Random(3), Store()
    name = state.begin("m", "", None)["id"]
    texts = [""]
    for _ in range(60):
        text = texts[-1]
        first, last = sorted(rng.choices(range(len(text) + 1), k=2))
        change = "".join(rng.choices("ab\0é\U0001f600\n", k=rng.randint(0, 8)))
        texts.append(text[:first] + change + text[last:])
        state.edit(name, text, texts[-1])
    for now, before in zip(texts[::-1], texts[-2::-1], strict=False):
        found, left = state.undo(name)
        assert (found["text"], left) == (before, now)
    for before, now in pairwise(texts):
        found, left = state.redo(name)
        assert (found["text"], left) == (now, before)


def test_small_edits_of_a_long_text_stay_small_and_space_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = Store(path)
    text = "x" * 1_000_000
    name = state.begin("m", text, None)["id"]
    for number in range(40):
        after = text[:number] + "y" + text[number + 1 :]
        state.edit(name, text, after)
        text = after
    state.close()
    assert path.stat().st_size < 1_300_000
    state = Store(path)
    assert state.undo(name)[0]["text"] == text[:39] + "x" * 999_961
    state.forget(name)
    state.close()
    assert path.stat().st_size < 100_000


def test_the_oldest_edits_are_forgotten_beyond_a_number_of_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redraft.server.runtime.store.MAX_EDIT_CHARACTERS", 100)
    state = Store()
    name = state.begin("m", "", None)["id"]
    text = ""
    for number in range(6):
        after = f"{number}" * 30
        found = state.edit(name, text, after)
        text = after
    # 60 characters an edit: with the one before they are more than 100.
    assert found["edits"] == 1
    assert state.undo(name)[0]["text"] == "4" * 30


def test_sessions_are_listed_in_pages() -> None:
    state = Store()
    names = [state.begin("m", "text", None)["id"] for _ in range(7)]
    found: list[str] = []
    while page := state.sessions(3, after=found[-1] if found else None):
        assert all("text" not in one for one in page)
        found += [one["id"] for one in page]
    assert found == [one["id"] for one in state.sessions()]
    assert sorted(found) == sorted(names)
    with pytest.raises(KeyError):
        state.sessions(3, after="none")


def test_a_full_state_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    for path in (None, tmp_path / "state.db"):
        state = Store(path, max_bytes=400_000)
        name = state.begin("m", "a" * 100_000, None)["id"]
        with pytest.raises(StateFullError, match="limit"):
            state.begin("m", "b" * 400_000, None)
        with pytest.raises(StateFullError):
            state.edit(name, "a" * 100_000, "c" * 300_000)
        assert state.session(name)["text"] == "a" * 100_000
        assert state.edit(name, "a" * 100_000, "a" * 99_999 + "b")["edits"] == 1
        state.forget(name)
        assert state.begin("m", "d" * 300_000, None)["edits"] == 0
        state.close()


def test_another_programs_lock_stops_writers_and_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    path = tmp_path / "state.db"
    state = Store(path)
    name = state.begin("m", "text", None)["id"]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert state.session(name)["text"] == "text"
    with pytest.raises(StateBusyError, match="lock"):
        state.edit(name, "text", "new")
    other.execute("ROLLBACK")
    assert state.edit(name, "text", "new")["text"] == "new"


def test_readers_do_not_wait_for_a_writer_of_this_process(tmp_path: Path) -> None:
    state = Store(tmp_path / "state.db")
    name = state.begin("m", "text", None)["id"]
    with state._database.write_transaction() as file:
        file.execute("UPDATE sessions SET text = 'changed'")
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.append(state.session(name)["text"]))
        reader.start()
        reader.join(10)
        assert found == ["text"]
    assert state.session(name)["text"] == "changed"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_its_owner_alone_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = Store(path)
    state.begin("m", "text", None)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    state.close()
    path.chmod(0o644)
    Store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as file:
        file.executescript(VERSION_1)
        file.execute("INSERT INTO sessions VALUES ('s', 'm', 'three', NULL, 2, 5.0)")
        file.execute("INSERT INTO pages VALUES ('m', 'title', 'page', 1.0)")
        rows = [("s", 1, "one", "two"), ("s", 2, "two", "three"), ("s", 3, "three", "")]
        file.executemany("INSERT INTO edits VALUES (?, ?, ?, ?)", rows)
    file.close()
    state = Store(path)
    assert state.redo("s")[0]["text"] == ""
    assert [state.undo("s")[0]["text"] for _ in range(3)] == ["three", "two", "one"]
    assert state.page("m", "title")["text"] == "page"
    state.close()
    Store(path).close()


def test_a_file_that_does_not_know_whose_a_response_is_is_brought_up_to_date(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    with sqlite3.connect(path) as file:
        file.executescript(
            "DROP INDEX responses_by_owner; ALTER TABLE responses DROP COLUMN owner;"
            "INSERT INTO responses VALUES ('r', NULL, '[]', '{\"output\": []}', 17, 1.0);"
            "PRAGMA user_version = 3;"
        )
    file.close()
    state = Store(path)
    assert state.responses.response("r") == {"output": []}
    kept = {"id": "s", "previous_response_id": "r", "output": []}
    state.responses.keep(kept, [], "alice")
    assert state.responses.response("s") == kept
    state.close()
    Store(path).close()


def test_foreign_half_made_and_damaged_files_are_refused_and_stay_as_they_are(
    tmp_path: Path,
) -> None:
    foreign, half = tmp_path / "foreign", tmp_path / "half"
    newer, less = tmp_path / "newer", tmp_path / "less"
    for path, script in (
        (foreign, "CREATE TABLE mine (x)"),
        (half, "CREATE TABLE sessions (id TEXT); PRAGMA user_version = 2"),
        (newer, f"{VERSION_1} PRAGMA user_version = 5"),
        (less, f"{VERSION_1} PRAGMA user_version = 3"),
    ):
        with sqlite3.connect(path) as file:
            file.executescript(script)
        file.close()
    damaged, text = tmp_path / "damaged", tmp_path / "text"
    state = Store(damaged)
    for number in range(50):
        state.begin("m", f"{number}" * 1000, None)
    state.close()
    content = bytearray(damaged.read_bytes())
    content[5000:50_000] = bytes(45_000)
    damaged.write_bytes(content)
    text.write_text("no database" * 100)
    for path in (foreign, half, newer, less, damaged, text):
        path.chmod(0o640)
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=path.name):
            Store(path)
        assert path.read_bytes() == before
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
