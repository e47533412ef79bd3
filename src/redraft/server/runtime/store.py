"""Store: edit sessions and pages, in the state file."""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path
from typing import Any

from redraft.errors import RequestError
from redraft.server.runtime.database import MAX_BYTES, Database, changed_span
from redraft.server.runtime.kept_responses import Responses

MAX_CHARACTERS = 1 << 20  # characters of a text that is kept
MAX_EDITS = 1000  # of a session; the oldest are forgotten
MAX_EDIT_CHARACTERS = 4 << 20  # of the edits of a session; the oldest are forgotten
MAX_TITLE, MAX_SHOWN = 500, 200  # characters of a title, and of an instruction in a list
MAX_ROWS = 10_000  # sessions, and pages
FIGURES = """updated, (SELECT count(*) FROM edits WHERE session = id AND number <= done) AS edits,
    (SELECT count(*) FROM edits WHERE session = id AND number > done) AS undone"""
# The newest edits of a session that exceed the limit on characters, and all older ones.
FORGET = """DELETE FROM edits WHERE session = ? AND number <= (SELECT max(number) FROM (
    SELECT number, sum(size) OVER (ORDER BY number DESC) AS total FROM edits WHERE session = ?
) WHERE total > ?)"""


class ConflictError(RequestError):
    """Another request has changed the text meanwhile."""


class Store:
    """Sessions and pages. Every method is one transaction.

    Args:
        path: the file; None for memory.
        max_bytes: limit on the size of everything.

    Raises:
        ConfigError: the file is not a state file, is damaged, or cannot be opened. StateBusyError,
            StateFullError, StateFileError: of every method; nothing was changed.
    """

    def __init__(self, path: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._database = Database(path, max_bytes)
        self._responses = Responses(self._database)

    @property
    def responses(self) -> Responses:
        """Responses, kept for those that follow them."""
        return self._responses

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def begin(self, model: str, text: str, instruction: str | None) -> dict[str, Any]:
        """Add a session.

        Raises:
            RequestError: there are too many.
        """
        name = secrets.token_hex(12)
        with self._database.write_transaction() as file:
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
        with self._database.read_transaction() as file:
            return self._session(file, name)

    def sessions(self, limit: int = MAX_ROWS, after: str | None = None) -> list[dict[str, Any]]:
        """Return sessions without their texts, the last changed first, with the start of their
        instructions.

        Args:
            limit: the greatest number to return.
            after: id of the session behind which the list goes on; None for the beginning.

        Raises:
            KeyError: there is no session `after`.
        """
        with self._database.read_transaction() as file:
            where, values = "", tuple[Any, ...]()
            if after is not None:
                values = self._session(file, after)["updated"], after
                where = "WHERE (updated, id) < (?, ?)"
            shown = f"substr(instruction, 1, {MAX_SHOWN}) AS instruction"
            query = f"SELECT id, model, {shown}, {FIGURES} FROM sessions {where}"
            query += " ORDER BY updated DESC, id DESC LIMIT ?"
            return [dict(row) for row in file.execute(query, (*values, limit))]

    def forget(self, name: str) -> None:
        """Delete a session; KeyError as above."""
        with self._database.write_transaction() as file:
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
        start, removed, added = changed_span(before, after)
        with self._database.write_transaction() as file:
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
            values = name, number, start, removed, added, len(removed) + len(added)
            file.execute("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", values)
            file.execute(FORGET, (name, name, MAX_EDIT_CHARACTERS))
            return self._move(file, name, after, number)

    def undo(self, name: str) -> tuple[dict[str, Any], str]:
        """Undo the last edit; return the session, and the text before this call.

        Raises:
            RequestError: there is no edit. KeyError as above.
        """
        with self._database.write_transaction() as file:
            text, done = self._session(file, name)["text"], self._done(file, name)
            row = self._edit(file, name, done, "undo")
            before = _replaced(text, row["start"], row["added"], row["removed"])
            return self._move(file, name, before, done - 1), text

    def redo(self, name: str) -> tuple[dict[str, Any], str]:
        """Redo the edit that was undone last; result and errors as above."""
        with self._database.write_transaction() as file:
            text, done = self._session(file, name)["text"], self._done(file, name)
            row = self._edit(file, name, done + 1, "redo")
            after = _replaced(text, row["start"], row["removed"], row["added"])
            return self._move(file, name, after, done + 1), text

    def page(self, model: str, title: str) -> dict[str, Any]:
        """Return a page: title, text, created.

        Raises:
            KeyError: there is none of this title.
        """
        with self._database.read_transaction() as file:
            query = "SELECT title, text, created FROM pages WHERE model = ? AND title = ?"
            if (row := file.execute(query, (model, title)).fetchone()) is None:
                raise KeyError(title)
            return dict(row)

    def pages(self, model: str) -> list[dict[str, Any]]:
        """Return the titles of all pages, and when they were written."""
        with self._database.read_transaction() as file:
            query = "SELECT title, created FROM pages WHERE model = ? ORDER BY created"
            return [dict(row) for row in file.execute(query, (model,))]

    def keep_page(self, model: str, title: str, text: str) -> None:
        """Store a page, in place of one of the same title.

        Raises:
            RequestError: there are too many, or the title is too long.
        """
        if len(title) > MAX_TITLE:
            raise RequestError(f"a title has {MAX_TITLE} characters at most, not {len(title)}")
        with self._database.write_transaction() as file:
            file.execute("DELETE FROM pages WHERE model = ? AND title = ?", (model, title))
            _check_count(file, "pages")
            file.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", (model, title, text, time.time()))

    def forget_page(self, model: str, title: str) -> None:
        """Delete a page, if there is one."""
        with self._database.write_transaction() as file:
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
            "SELECT start, removed, added FROM edits WHERE session = ? AND number = ?",
            (name, number),
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


def _replaced(text: str, start: int, old: str, new: str) -> str:
    assert text[start : start + len(old)] == old
    return text[:start] + new + text[start + len(old) :]


def _check_count(file: sqlite3.Connection, kind: str) -> None:
    (count,) = file.execute(f"SELECT count(*) FROM {kind}").fetchone()
    if count >= MAX_ROWS:
        raise RequestError(f"{count} {kind} are kept here, and no more can be: delete some first")
