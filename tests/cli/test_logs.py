"""The log book: off by default, for its owner alone, listed."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from redraft.cli.log_book import LogBook, LogEntry, default_path
from redraft.cli.logs import logs
from redraft.errors import ConfigError


def entry(**fields: object) -> LogEntry:
    usual = {
        "time": 5.0, "command": "generate", "model": "small", "prompt": "calc 1", "answer": "2",
        "reason": "stop", "seed": str(2**62), "new_tokens": 3, "steps": 2, "seconds": 0.5,
    }  # fmt: skip
    return LogEntry(**usual | fields)  # type: ignore[arg-type]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogBook:
    monkeypatch.setenv("REDRAFT_LOGS", str(tmp_path / "kept" / "logs.db"))
    return LogBook()


def test_nothing_is_kept_and_no_file_made_before_it_is_switched_on(book: LogBook) -> None:
    book.add(entry())
    assert book.newest(5) == []
    assert book.writes is False
    book.switch(writes=False)
    assert not book.path.parent.exists()


def test_entries_come_back_as_they_were_the_newest_last(book: LogBook) -> None:
    book.switch(writes=True)
    kept = [entry(prompt=f"line {n}\n'\";--", answer="\x00\U0001f600" * n) for n in range(4)]
    for one in kept:
        book.add(one)
    assert book.newest(3) == kept[1:]
    assert book.newest(9, "line 2") == [kept[2]]
    assert book.newest(9, "%") == []


def test_only_its_owner_reads_the_file(book: LogBook) -> None:
    before = os.umask(0)
    try:
        book.switch(writes=True)
        book.add(entry())
    finally:
        os.umask(before)
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(book.path.parent.stat().st_mode) == 0o700
    assert [one.name for one in book.path.parent.iterdir()] == ["logs.db"]


def test_it_can_be_switched_off_and_cleared(book: LogBook) -> None:
    book.switch(writes=True)
    book.add(entry(prompt="a secret of mine"))
    book.switch(writes=False)
    book.add(entry(prompt="unseen"))
    assert [one.prompt for one in book.newest(5)] == ["a secret of mine"]
    assert book.clear() == 1
    assert book.newest(5) == []
    assert b"a secret of mine" not in book.path.read_bytes()
    assert book.writes is False


@pytest.mark.parametrize("content", [b"not a database, but a text", b""])
def test_another_kind_of_file_is_left_alone(book: LogBook, content: bytes) -> None:
    book.path.parent.mkdir()
    book.path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"logs\.db"):
        book.switch(writes=True)
    assert book.path.read_bytes() == content


def test_a_newer_book_is_left_alone(book: LogBook) -> None:
    book.switch(writes=True)
    with sqlite3.connect(book.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="version"):
        book.newest(1)


def test_the_command_lists_what_was_kept(book: LogBook, capsys: pytest.CaptureFixture[str]) -> None:
    logs("list")
    assert "the log is off" in capsys.readouterr().out
    logs("on")
    book.add(entry(prompt="two\nlines"))
    capsys.readouterr()
    logs("list")
    assert "> two\n> lines\n2\n" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="give one of"):
        logs("of")


def test_the_file_has_its_place_in_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDRAFT_LOGS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_path() == Path("/data/redraft/logs.db")
