"""State: what outlasts a restart, in one SQLite file: texts being edited, and pages that were written."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redraft.errors import ConfigError, RequestError

VERSION = 1
SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, instruction TEXT, done INTEGER NOT NULL, updated REAL NOT NULL
) STRICT;
CREATE TABLE edits (
    session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, number INTEGER NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE pages (
    model TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (model, title)
) STRICT;
"""
SESSION = """SELECT id, model, text, instruction, updated, done AS edits,
    (SELECT count(*) FROM edits WHERE session = id AND number > done) AS undone FROM sessions"""


class ConflictError(RequestError):
    """The text was changed by another meanwhile."""


class State:
    """The file, or memory alone where there is none. Every method is one transaction: it happened or it did not.

    Raises:
        ConfigError: the file is none of ours, or cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._file.row_factory = sqlite3.Row
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA foreign_keys = ON")
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            tables = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if version != VERSION and (version or tables):
                raise ConfigError(f"{path} holds something else than redraft's state of version {VERSION}: name another file")
            if not version:
                self._file.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be used to keep state: {error}") from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield self._file
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")

    def begin(self, model: str, text: str, instruction: str | None) -> dict[str, Any]:
        """A new session."""
        name = secrets.token_hex(12)
        with self._transaction() as file:
            file.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, 0, ?)", (name, model, text, instruction, time.time()))
            return self._session(file, name)

    def session(self, name: str) -> dict[str, Any]:
        """A session: id, model, text, instruction, edits, undone (how many of each), updated.

        Raises:
            KeyError: there is none of this name.
        """
        with self._transaction() as file:
            return self._session(file, name)

    def sessions(self) -> list[dict[str, Any]]:
        """All of them, the last changed first."""
        with self._transaction() as file:
            return [dict(row) for row in file.execute(f"{SESSION} ORDER BY updated DESC")]

    def forget(self, name: str) -> None:
        """End a session, for good; KeyError as above."""
        with self._transaction() as file:
            self._session(file, name)
            file.execute("DELETE FROM sessions WHERE id = ?", (name,))

    def edit(self, name: str, before: str, after: str) -> dict[str, Any]:
        """Make `after` of `before`; what was undone is forgotten.

        Raises:
            ConflictError: the text is no longer `before`. KeyError as above.
        """
        with self._transaction() as file:
            now = self._session(file, name)
            if now["text"] != before:
                raise ConflictError("the text was changed meanwhile: read the session again, and edit that")
            file.execute("DELETE FROM edits WHERE session = ? AND number > ?", (name, now["edits"]))
            file.execute("INSERT INTO edits VALUES (?, ?, ?, ?)", (name, now["edits"] + 1, before, after))
            return self._move(file, name, after, now["edits"] + 1)

    def undo(self, name: str) -> tuple[dict[str, Any], str]:
        """Take the last edit back; the session, and the text as it was until now.

        Raises:
            RequestError: there is none. KeyError as above.
        """
        with self._transaction() as file:
            now = self._session(file, name)
            row = self._edit(file, name, now["edits"], "undo")
            return self._move(file, name, row["before"], now["edits"] - 1), now["text"]

    def redo(self, name: str) -> tuple[dict[str, Any], str]:
        """Make the edit again that was taken back last; result and errors as above."""
        with self._transaction() as file:
            now = self._session(file, name)
            row = self._edit(file, name, now["edits"] + 1, "redo")
            return self._move(file, name, row["after"], now["edits"] + 1), now["text"]

    def page(self, model: str, title: str) -> dict[str, Any]:
        """A page: title, text, created.

        Raises:
            KeyError: there is none of this title.
        """
        with self._transaction() as file:
            query = "SELECT title, text, created FROM pages WHERE model = ? AND title = ?"
            if (row := file.execute(query, (model, title)).fetchone()) is None:
                raise KeyError(title)
            return dict(row)

    def pages(self, model: str) -> list[dict[str, Any]]:
        """Titles of all pages, and when they were written."""
        with self._transaction() as file:
            query = "SELECT title, created FROM pages WHERE model = ? ORDER BY created"
            return [dict(row) for row in file.execute(query, (model,))]

    def keep_page(self, model: str, title: str, text: str) -> None:
        """Keep a page, in place of one of the same title."""
        with self._transaction() as file:
            file.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", (model, title, text, time.time()))

    def forget_page(self, model: str, title: str) -> None:
        """Forget a page, where it is known."""
        with self._transaction() as file:
            file.execute("DELETE FROM pages WHERE model = ? AND title = ?", (model, title))

    @staticmethod
    def _session(file: sqlite3.Connection, name: str) -> dict[str, Any]:
        if (row := file.execute(f"{SESSION} WHERE id = ?", (name,)).fetchone()) is None:
            raise KeyError(name)
        return dict(row)

    @staticmethod
    def _edit(file: sqlite3.Connection, name: str, number: int, what: str) -> sqlite3.Row:
        row = file.execute("SELECT before, after FROM edits WHERE session = ? AND number = ?", (name, number)).fetchone()
        if row is None:
            raise RequestError(f"there is nothing to {what}")
        found: sqlite3.Row = row
        return found

    def _move(self, file: sqlite3.Connection, name: str, text: str, done: int) -> dict[str, Any]:
        file.execute("UPDATE sessions SET text = ?, done = ?, updated = ? WHERE id = ?", (text, done, time.time(), name))
        return self._session(file, name)
