"""The commands that fill and change texts."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from redraft.checkpoint.source import SHIPPED
from redraft.cli.texts import line_span, replace_text
from redraft.config.model_card import CARD_FILE
from redraft.errors import RequestError
from tests.command import call

TEXT = (
    "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    return acc\n"
)
PYTHON = ("--instruction", "fill python", "--seed", "1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.py"
    path.write_text(TEXT)
    return path


def test_a_file_with_marks_is_filled_and_so_are_lines_of_it(file: Path) -> None:
    lines = call("infill", str(file), "--line", "2", *PYTHON)
    assert (lines.returncode, lines.stdout) == (0, TEXT), lines.stderr
    file.write_text(TEXT.replace("    acc = 0", "<hole>"))
    done = call("infill", "--template", str(file), *PYTHON, "--json")
    report = json.loads(done.stdout)
    assert report["text"] == TEXT
    assert report["holes"] == ["    acc = 0"]
    assert report["steps"] == report["candidates"][0]["steps"]
    assert report["score"] == max(one["score"] for one in report["candidates"])


def test_both_sides_can_be_given() -> None:
    before, after = TEXT.split("    acc = 0")
    done = call("infill", "--prefix", before, "--suffix", "-", *PYTHON, stdin=after)
    assert done.stdout == TEXT
    both = call("infill", "--prefix", "-", "--suffix", "-", *PYTHON, stdin=before + "\0" + after)
    assert both.stdout == TEXT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of FILE"),
        (("a", "--prefix", "b"), "give one of FILE"),
        (("--template", "a", "--line", "3"), "--lines names lines of FILE"),
        (("nothing.py",), "nothing.py cannot be read"),
        (("--line", "2"), "give one of FILE"),
        (("--prefix", "-", "--suffix", "-"), "NUL"),
    ],
)
def test_misuse_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = call("infill", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert message in done.stderr


def test_a_change_is_a_diff_that_git_applies_or_is_made(file: Path) -> None:
    arguments = ("rewrite", file.name, "--lines", "2", "-i", "start at 5", "--seed", "1")
    folder = file.parent
    shown = call(*arguments, folder=folder)
    assert shown.returncode == 1, shown.stderr
    assert file.read_text() == TEXT
    subprocess.run(["git", "apply", "-"], input=shown.stdout, text=True, check=True, cwd=folder)
    wanted = TEXT.replace("acc = 0", "acc = 5")
    assert file.read_text() == wanted
    file.write_text(TEXT)
    file.chmod(0o640)
    made = call(*arguments, "--write", folder=folder)
    assert (made.returncode, made.stdout) == (0, "")
    assert file.read_text() == wanted
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(folder.iterdir()) == [file]
    for lines, message in (("9", "lines 9 to 9"), ("3-2", "lines 3 to 2"), ("x", "12-14")):
        wrong = call("rewrite", file.name, "--lines", lines, folder=folder)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert message in wrong.stderr


def test_an_unlikely_token_is_exchanged(file: Path) -> None:
    file.write_text(TEXT.replace("in shops", "in acc"))
    done = call("repair", str(file), "--write", *PYTHON)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == TEXT
    again = call("repair", str(file), *PYTHON)
    assert (again.returncode, again.stdout) == (0, "")
    assert call("repair", "-", "--write", stdin=TEXT).returncode == 2


def test_lines_are_spans_without_their_last_end() -> None:
    text = "a\r\nbb\n\nc"
    assert [
        text[slice(*line_span(text, lines))] for lines in ("1", "2", "3", "4", "1-2", "2-4")
    ] == [
        "a",
        "bb",
        "",
        "c",
        "a\r\nbb",
        "bb\n\nc",
    ]
    assert line_span("a\n", "1") == (0, 1)
    assert line_span("a\r\n\r\nb\r\n", "1-2") == (0, 3)
    for lines in ("2", "0", "1-0", "-1", "one"):
        with pytest.raises(RequestError):
            line_span("a\n", lines)


def test_a_file_that_changed_meanwhile_is_left_alone(file: Path) -> None:
    with pytest.raises(RequestError, match="has changed"):
        replace_text(file, "something else", "new")
    assert file.read_text() == TEXT
    link = file.parent / "link.py"
    link.symlink_to(file)
    replace_text(link, TEXT, "new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"


@pytest.fixture
def carded(tmp_path: Path) -> Path:
    """The small text model, with a card that finds everything foreign."""
    folder = tmp_path / "carded"
    shutil.copytree(SHIPPED["small-text"], folder)
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"surprise_limit": 1e-6}))
    return folder


def test_a_text_that_the_model_finds_foreign_is_not_written_over(file: Path, carded: Path) -> None:
    change = ("rewrite", str(file), "--lines", "2", "-m", str(carded), "-i", "start at 1")
    refused = call(*change, "--seed", "1", "--write")
    assert refused.returncode == 2
    assert "unlike what" in refused.stderr
    assert "'wiki Cordunia (full)'" in refused.stderr
    assert file.read_text() == TEXT
    shown = call(*change, "--seed", "1")
    assert shown.stderr.count("unlike what") == 1
    assert shown.stdout.startswith("--- a/")
    forced = call(*change, "--seed", "1", "--write", "--force")
    assert forced.returncode == 0, forced.stderr
    assert file.read_text() != TEXT
