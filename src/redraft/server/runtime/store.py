"""Store: edit sessions and pages, in one SQLite file."""

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
MAX_CHARACTERS = 1 << 20  # characters of a text that is kept
MAX_EDITS = 1000  # of a session; the oldest are forgotten
MAX_ROWS = 10_000  # sessions, and pages
SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, instruction TEXT,
    done INTEGER NOT NULL, updated REAL NOT NULL
) STRICT;
CREATE TABLE edits (
    session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, number INTEGER NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE pages (
    model TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (model, title)
) STRICT;
"""
FIGURES = """updated, (SELECT count(*) FROM edits WHERE session = id AND number <= done) AS edits,
    (SELECT count(*) FROM edits WHERE session = id AND number > done) AS undone"""


class ConflictError(RequestError):
    """Another request has changed the text meanwhile."""


class Store:
    """The state file, or memory alone. Every method is one transaction.

    Raises:
        ConfigError: the file is not a state file, or cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(
                path or ":memory:", check_same_thread=False, isolation_level=None
            )
            self._file.row_factory = sqlite3.Row
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA foreign_keys = ON")
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            tables = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if version != VERSION and (version or tables):
                raise ConfigError(
                    f"{path} is not a state file of version {VERSION}: name another file"
                )
            if not version:
                self._file.executescript(
                    f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                )
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be used to keep state: {error}") from None

    def close(self) -> None:
        """Close the file."""
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
        """Add a session.

        Raises:
            RequestError: there are too many.
        """
        name = secrets.token_hex(12)
        with self._transaction() as file:
            _check_count(file, "sessions")
            file.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, 0, ?)",
                (name, model, text, instruction, time.time()),
            )
            return self._session(file, name)

    def session(self, name: str) -> dict[str, Any]:
        """Return a session: id, model, text, instruction, edits, undone (how many of each),
        updated.

        Raises:
            KeyError: there is none of this name.
        """
        with self._transaction() as file:
            return self._session(file, name)

    def sessions(self) -> list[dict[str, Any]]:
        """Return all sessions without their texts, the last changed first."""
        with self._transaction() as file:
            query = f"SELECT id, model, instruction, {FIGURES} FROM sessions ORDER BY updated DESC"
            return [dict(row) for row in file.execute(query)]

    def forget(self, name: str) -> None:
        """Delete a session; KeyError as above."""
        with self._transaction() as file:
            self._session(file, name)
            file.execute("DELETE FROM sessions WHERE id = ?", (name,))

    def edit(self, name: str, before: str, after: str) -> dict[str, Any]:
        """Change a text from `before` to `after`; edits that were undone are dropped.

        Raises:
            ConflictError: the text is no longer `before`. RequestError: `after` is too long.
                KeyError as above.
        """
        if len(after) > MAX_CHARACTERS:
            raise RequestError(
                f"the text would have {len(after)} characters, and {MAX_CHARACTERS} can be kept"
            )
        with self._transaction() as file:
            now = self._session(file, name)
            if now["text"] != before:
                raise ConflictError(
                    "the text was changed meanwhile: read the session again, and edit that"
                )
            number = self._done(file, name) + 1
            kept = name, number, number - MAX_EDITS
            file.execute(
                "DELETE FROM edits WHERE session = ? AND (number >= ? OR number <= ?)", kept
            )
            file.execute("INSERT INTO edits VALUES (?, ?, ?, ?)", (name, number, before, after))
            return self._move(file, name, after, number)

    def undo(self, name: str) -> tuple[dict[str, Any], str]:
        """Undo the last edit; return the session, and the text before this call.

        Raises:
            RequestError: there is no edit. KeyError as above.
        """
        with self._transaction() as file:
            now, done = self._session(file, name), self._done(file, name)
            row = self._edit(file, name, done, "undo")
            return self._move(file, name, row["before"], done - 1), now["text"]

    def redo(self, name: str) -> tuple[dict[str, Any], str]:
        """Redo the edit that was undone last; result and errors as above."""
        with self._transaction() as file:
            now, done = self._session(file, name), self._done(file, name)
            row = self._edit(file, name, done + 1, "redo")
            return self._move(file, name, row["after"], done + 1), now["text"]

    def page(self, model: str, title: str) -> dict[str, Any]:
        """Return a page: title, text, created.

        Raises:
            KeyError: there is none of this title.
        """
        with self._transaction() as file:
            query = "SELECT title, text, created FROM pages WHERE model = ? AND title = ?"
            if (row := file.execute(query, (model, title)).fetchone()) is None:
                raise KeyError(title)
            return dict(row)

    def pages(self, model: str) -> list[dict[str, Any]]:
        """Return the titles of all pages, and when they were written."""
        with self._transaction() as file:
            query = "SELECT title, created FROM pages WHERE model = ? ORDER BY created"
            return [dict(row) for row in file.execute(query, (model,))]

    def keep_page(self, model: str, title: str, text: str) -> None:
        """Store a page, in place of one of the same title.

        Raises:
            RequestError: there are too many.
        """
        with self._transaction() as file:
            file.execute("DELETE FROM pages WHERE model = ? AND title = ?", (model, title))
            _check_count(file, "pages")
            file.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", (model, title, text, time.time()))

    def forget_page(self, model: str, title: str) -> None:
        """Delete a page, if there is one."""
        with self._transaction() as file:
            file.execute("DELETE FROM pages WHERE model = ? AND title = ?", (model, title))

    @staticmethod
    def _session(file: sqlite3.Connection, name: str) -> dict[str, Any]:
        query = f"SELECT id, model, text, instruction, {FIGURES} FROM sessions WHERE id = ?"
        if (row := file.execute(query, (name,)).fetchone()) is None:
            raise KeyError(name)
        return dict(row)

    @staticmethod
    def _done(file: sqlite3.Connection, name: str) -> int:
        """Return the number of the last edit that is not undone."""
        (done,) = file.execute("SELECT done FROM sessions WHERE id = ?", (name,)).fetchone()
        return int(done)

    @staticmethod
    def _edit(file: sqlite3.Connection, name: str, number: int, what: str) -> sqlite3.Row:
        row = file.execute(
            "SELECT before, after FROM edits WHERE session = ? AND number = ?", (name, number)
        ).fetchone()
        if row is None:
            raise RequestError(f"there is nothing to {what}")
        found: sqlite3.Row = row
        return found

    def _move(self, file: sqlite3.Connection, name: str, text: str, done: int) -> dict[str, Any]:
        file.execute(
            "UPDATE sessions SET text = ?, done = ?, updated = ? WHERE id = ?",
            (text, done, time.time(), name),
        )
        return self._session(file, name)


def _check_count(file: sqlite3.Connection, kind: str) -> None:
    (count,) = file.execute(f"SELECT count(*) FROM {kind}").fetchone()
    if count >= MAX_ROWS:
        raise RequestError(f"{count} {kind} are kept here, and no more can be: delete some first")
