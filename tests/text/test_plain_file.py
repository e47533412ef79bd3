"""Files that anybody may have made: what is no text and no JSON is refused, whatever it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from redraft.errors import MAX_TEXT, CheckpointError
from redraft.text import plain_file
from redraft.text.plain_file import read_json, read_text


def test_pipes_devices_folders_and_links_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "device").symlink_to("/dev/zero")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "circle", tmp_path / "device"):
        with pytest.raises(CheckpointError, match="is no ordinary file"):
            read_text(path)
    for name in ("none", "x" * 5000, "nul\0"):
        with pytest.raises(CheckpointError, match="does not exist"):
            read_text(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply|cannot be read as JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "cannot be read as JSON"),
        (b"[]", "holds a list, not an object"),
        (b"", "cannot be read as JSON"),
        (b'{"\\ud800": 1}', "surrogates not allowed"),
        (b'{"a": ["\\uDFFF"]}', "surrogates not allowed"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=told):
        read_json(tmp_path / "x.json")


def test_whole_pairs_are_text(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "x.json") == {"a": "\N{GRINNING FACE}"}


def test_a_text_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_file, "MAX_BYTES", 1 << 20)
    (tmp_path / "x.json").write_text(json.dumps({"x": "y" * (1 << 20)}))
    with pytest.raises(CheckpointError, match="has more than 1 MiB"):
        read_json(tmp_path / "x.json")


def test_messages_command_no_terminal_and_have_an_end() -> None:
    assert str(CheckpointError("a\x1b[2J\u202eb\ud800\nc é")) == "a\\x1b[2J\\u202eb\\ud800\nc é"
    long = str(CheckpointError("x" * 10**6))
    assert len(long) < MAX_TEXT + 100
    assert long.endswith("characters more")
