"""The demo on the shipped models: what it promises is what they do."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from redraft.cli import demo
from redraft.cli.demo import command_name
from redraft.cli.demo import lane as lanes
from redraft.cli.demo.lane import Frame, Lane, replay
from redraft.cli.demo.scenes import PUZZLE, edit, hole
from redraft.tasks.task import Example, is_held_out
from tests.command import call


@pytest.fixture(scope="module")
def shown() -> str:
    console = Console(file=io.StringIO(), width=400)
    demo.run(console)
    return console.file.getvalue()


def test_diffusion_is_right_in_every_scene_where_the_typewriter_is_not(shown: str) -> None:
    rows = [line.split("│")[1:-1] for line in shown.splitlines() if line.count("│") == 6]
    results = {(title.strip(), way.strip()): result.strip() for title, way, _, _, result in rows}
    assert all(
        results[title, "diffusion"] == "right"
        for title in ("Sudoku", "page edited by an instruction", "hole in a function")
    )
    assert results["Sudoku", "typewriter"] == results["hole in a function", "typewriter"] == "wrong"


def test_a_first_pass_is_wrong_and_a_later_one_puts_it_right(shown: str) -> None:
    drafts = re.findall(
        r"pass +\d+  (<body.*?</body>|<.*?)(?=  pass|  typed)", shown.replace("\n", "")
    )
    assert len(drafts) > 2
    assert drafts[0] != drafts[-1] == edit().answer


def test_the_examples_are_held_out() -> None:
    assert is_held_out(Example(f"sudoku {PUZZLE}", "", 0).key)
    assert is_held_out(edit().key)
    assert is_held_out(hole().key)


def test_a_replay_keeps_both_lanes_on_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "REPLAY", 0.3)
    fast = Lane("diffusion", (Frame(0.01, "a"), Frame(0.02, "ab")), True)
    slow = Lane("typewriter", tuple(Frame(0.01 * n, "x" * n) for n in range(1, 9)), False)
    seen: list[tuple[int, int]] = []

    def draw(lane: Lane, number: int) -> Text:
        if lane is fast:
            seen.append((number, -1))
        else:
            seen[-1] = (seen[-1][0], number)
        return Text(lane.frames[number].text if number >= 0 else "")

    console = Console(file=io.StringIO(), width=60, force_terminal=True, force_interactive=True)
    replay(console, [fast, slow], draw)
    assert seen == sorted(seen)
    assert any(
        first == 1 and second < 5 for first, second in seen
    )  # one is done while the other types
    assert seen[-1] == (1, 7)
    assert "slower than it was written" in console.file.getvalue()


def test_what_comes_next_is_named_so_that_a_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "bin" / "redraft"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(own), "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_name() == "bin/redraft"
    monkeypatch.setenv("PATH", str(own.parent))
    assert command_name() == "redraft"


def test_it_ends_with_commands_that_can_be_typed(shown: str) -> None:
    lines = [line for line in shown.splitlines() if "calc" in line and "terminal" in line]
    words = shlex.split(lines[-1].split(": ", 1)[1])
    done = call(*words[1:], "--seed", "1")
    assert (done.returncode, done.stdout) == (0, "39;17+25=42;42-03=39\n"), done.stderr
