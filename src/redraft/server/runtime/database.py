"""Database: the SQLite file of the state, opened, checked, and locked for one transaction.

Readers never wait for a writer (write-ahead log). A text of an edit is stored as the one span that
it changed, so that a small edit of a long text is small.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redraft.editing.diff import common_prefix
from redraft.errors import ConfigError, RedraftError

VERSION = 4
MAX_BYTES = 1 << 30  # of all sessions and pages together
WAIT_SECONDS = 5.0  # for another program that holds the file's lock
LOG_BYTES = 16 << 20  # to which the write-ahead log shrinks
SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, instruction TEXT,
    done INTEGER NOT NULL, updated REAL NOT NULL
) STRICT;
CREATE TABLE edits (
    session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, number INTEGER NOT NULL,
    start INTEGER NOT NULL, removed TEXT NOT NULL, added TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE pages (
    model TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (model, title)
) STRICT;
"""
RESPONSES = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, previous TEXT, input TEXT NOT NULL, response TEXT NOT NULL,
    size INTEGER NOT NULL, created REAL NOT NULL, owner TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE items (
    id TEXT PRIMARY KEY, response TEXT NOT NULL REFERENCES responses ON DELETE CASCADE,
    item TEXT NOT NULL
) STRICT;
CREATE INDEX items_of_response ON items (response);
CREATE INDEX responses_by_age ON responses (created);
"""
OWNERS = """
CREATE INDEX responses_by_owner ON responses (owner, created, size);
"""
# Version 3 did not know whose a response is.
OWNER = "ALTER TABLE responses ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
TABLES, NEWER_TABLES = frozenset(("sessions", "edits", "pages")), {"responses", "items"}


class StateBusyError(RedraftError):
    """Another program holds the lock of the state file."""


class StateFullError(RedraftError):
    """The state file has reached its limit, or the disk is full. Nothing was changed."""


class StateFileError(RedraftError):
    """The state file cannot be read or written."""


class Database:
    """The state file, or memory alone.

    Args:
        path: the file; None for memory.
        max_bytes: limit on its size.

    Raises:
        ConfigError: the file is not a state file, is damaged, or cannot be opened.
    """

    def __init__(self, path: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._write_lock = threading.Lock()
        self._read_lock = self._write_lock
        try:
            if path is not None:
                # A new file is for its owner alone.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = self._reader = _connect(path)
            self._prepare(path)
            if path is not None:
                with suppress(PermissionError):  # another user's file, who decides
                    path.chmod(0o600)
                self._reader, self._read_lock = _connect(path), threading.Lock()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path} cannot be used to keep state: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._writer.close()

    @contextmanager
    def read_transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a snapshot of the file; a writer does not disturb it.

        Raises:
            StateBusyError, StateFileError: it cannot be read.
        """
        with self._read_lock, _transaction(self._reader, "BEGIN") as file:
            yield file

    @contextmanager
    def write_transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the file for changes, which are kept all together or not at all.

        Raises:
            StateBusyError, StateFullError, StateFileError: nothing was changed.
        """
        with self._write_lock, _transaction(self._writer, "BEGIN IMMEDIATE") as file:
            yield file

    def _prepare(self, path: Path | None) -> None:
        file = self._writer
        (version,) = file.execute("PRAGMA user_version").fetchone()
        found = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
        needed = TABLES | NEWER_TABLES if version in (3, VERSION) else TABLES
        known = version in (1, 2, 3, VERSION) and found >= needed
        if not known and (version or found):
            raise ConfigError(f"{path} is not a state file of version {VERSION}: name another file")
        if known and [tuple(row) for row in file.execute("PRAGMA quick_check(1)")] != [("ok",)]:
            raise ConfigError(f"{path} is damaged: restore a copy of it, or name another file")
        if not known:
            file.execute("PRAGMA auto_vacuum = FULL")  # what is deleted is given back
        # A foreign file has been refused, and is as it was.
        file.execute("PRAGMA journal_mode = WAL")
        # An answered edit is on the disk.
        file.execute("PRAGMA synchronous = FULL")
        file.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        if not known:
            new = f"{SCHEMA} {RESPONSES} {OWNERS} PRAGMA user_version = {VERSION};"
            file.executescript(f"BEGIN; {new} COMMIT;")
        if known and version == 1:
            _migrate(file)
        if known and version != VERSION:
            new = f"{OWNER if version == 3 else RESPONSES} {OWNERS}"
            new += f" PRAGMA user_version = {VERSION};"
            file.executescript(f"BEGIN IMMEDIATE; {new} COMMIT;")
        (page_size,) = file.execute("PRAGMA page_size").fetchone()
        file.execute(f"PRAGMA max_page_count = {max(1, self._max_bytes // page_size)}")


def changed_span(before: str, after: str) -> tuple[int, str, str]:
    """Return the first index that differs, the text that was removed there, and the text added."""
    shorter = min(len(before), len(after))
    start = common_prefix(before, after, shorter)
    end = common_prefix(before[::-1], after[::-1], shorter - start)
    return start, before[start : len(before) - end], after[start : len(after) - end]


def _connect(path: Path | None) -> sqlite3.Connection:
    file = sqlite3.connect(
        path or ":memory:", timeout=WAIT_SECONDS, check_same_thread=False, isolation_level=None
    )
    file.row_factory = sqlite3.Row
    file.execute("PRAGMA foreign_keys = ON")
    return file


@contextmanager
def _transaction(file: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    try:
        file.execute(begin)
        try:
            yield file
            file.execute("COMMIT")
        except BaseException:
            if file.in_transaction:
                with suppress(sqlite3.Error):
                    file.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise _explained(error) from error


def _explained(error: sqlite3.Error) -> RedraftError:
    """Return what an error of SQLite means, without a path."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateBusyError("another program holds the lock of the state file: try again")
    if code == sqlite3.SQLITE_FULL:
        return StateFullError(
            "what is kept has reached its limit, or the disk is full: delete sessions or pages"
        )
    return StateFileError(f"the state file cannot be used: {error}")


def _migrate(file: sqlite3.Connection) -> None:
    """Bring a file of version 1, which has both whole texts of every edit, to version 2."""
    file.execute("BEGIN IMMEDIATE")
    file.execute("ALTER TABLE edits RENAME TO edits_1")
    start = SCHEMA.index("CREATE TABLE edits")
    file.execute(SCHEMA[start : SCHEMA.index(";", start)])
    for row in file.execute("SELECT session, number, before, after FROM edits_1").fetchall():
        begin, removed, added = changed_span(row["before"], row["after"])
        values = row["session"], row["number"], begin, removed, added, len(removed) + len(added)
        file.execute("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", values)
    file.execute("DROP TABLE edits_1")
    file.execute("PRAGMA user_version = 2")
    file.execute("COMMIT")
    file.execute("PRAGMA auto_vacuum = FULL")
    file.execute("VACUUM")
