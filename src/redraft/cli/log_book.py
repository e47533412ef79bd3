"""Log book: prompts and answers of the command line in an SQLite file, where its user wants that.

Nothing is written, and no file made, before `redraft logs on`. Only the file's owner reads it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from redraft.errors import ConfigError

VERSION = 1
WAIT_SECONDS = 5.0  # for another program that writes
SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, command TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, answer TEXT NOT NULL, reason TEXT NOT NULL, seed TEXT NOT NULL,
    new_tokens INTEGER NOT NULL, steps INTEGER NOT NULL, seconds REAL NOT NULL
) STRICT;
CREATE TABLE switch (writes INTEGER NOT NULL) STRICT;
INSERT INTO switch VALUES (1);
"""


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One prompt and its answer.

    Attributes:
        time: seconds since 1970. prompt: of a chat, the last message. seed: writes it again,
            with the same prompt and settings. steps: forward passes. seconds: of the generation.
    """

    time: float
    command: str
    model: str
    prompt: str
    answer: str
    reason: str
    seed: str
    new_tokens: int
    steps: int
    seconds: float


NAMES = ", ".join(field.name for field in fields(LogEntry))


def default_path() -> Path:
    """Return the place of the file: REDRAFT_LOGS of the environment, or the user's data folder."""
    if named := os.environ.get("REDRAFT_LOGS"):
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "redraft" / "logs.db"


class LogBook:
    """The file, which may not be there.

    All methods raise a ConfigError where it cannot be read or written, or is another kind of file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def switch(self, *, writes: bool) -> None:
        """Begin or stop to write. To begin makes the file; to stop keeps it."""
        if not writes and not self.path.exists():
            return
        with self._open(create=True) as connection:
            connection.execute("UPDATE switch SET writes = ?", (writes,))

    @property
    def writes(self) -> bool:
        """True where entries are written."""
        if not self.path.exists():
            return False
        with self._open() as connection:
            return bool(connection.execute("SELECT writes FROM switch").fetchone()[0])

    def add(self, entry: LogEntry) -> None:
        """Write an entry, where that is switched on."""
        if not self.writes:
            return
        marks = ", ".join("?" for _ in fields(LogEntry))
        with self._open() as connection:
            connection.execute(f"INSERT INTO entries ({NAMES}) VALUES ({marks})", astuple(entry))

    def newest(self, count: int, search: str = "") -> list[LogEntry]:
        """Return the newest entries, the newest last.

        Args:
            search: only those with this text in prompt or answer.
        """
        if not self.path.exists():
            return []
        query = (
            f"SELECT {NAMES} FROM entries WHERE instr(prompt || char(10) || answer, ?) > 0 "
            "OR ? = '' ORDER BY id DESC LIMIT ?"
        )
        with self._open() as connection:
            rows = connection.execute(query, (search, search, count)).fetchall()
        names = [field.name for field in fields(LogEntry)]
        return [LogEntry(**dict(zip(names, row, strict=True))) for row in reversed(rows)]

    def clear(self) -> int:
        """Forget all entries, and return how many there were. The switch stays as it is."""
        if not self.path.exists():
            return 0
        with self._open() as connection:
            count = connection.execute("DELETE FROM entries").rowcount
        with self._open() as connection:
            connection.execute("VACUUM")  # what was deleted is not left in the file
        return count

    @contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create:
                self._create()
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as connection:
                connection.execute("PRAGMA secure_delete = 1")
                if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    raise ConfigError(f"{self.path} is not a log book of this version of redraft")
                connection.isolation_level = None
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"the log book {self.path} cannot be used: {error}") from error

    def _create(self) -> None:
        """Make the file, readable by its owner alone, where there is none."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(self.path)) as connection:
                connection.executescript(
                    f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                )


def note(command: str, model: str, prompt: str, finished: object) -> None:
    """Write an answer into the user's log book, where that is switched on.

    Args:
        finished: the Finished event of the answer.
    """
    from redraft.events import Finished

    assert isinstance(finished, Finished)
    book, figures = LogBook(), finished.statistics
    if book.path.exists():
        book.add(
            LogEntry(
                time=time.time(),
                command=command,
                model=model,
                prompt=prompt,
                answer=finished.text,
                reason=finished.reason,
                seed=str(finished.seed),
                new_tokens=figures.new_tokens,
                steps=figures.forwards,
                seconds=figures.seconds,
            )
        )
