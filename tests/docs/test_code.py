"""Every block of Python in README and docs runs, and every `redraft` command is one that exists."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command

from redraft.cli.app import app
from redraft.evals import SETS
from tests.docs.blocks import ALL, Block

# Checkpoints that the pages name, and that are not here: a tiny one stands for them.
STAND_INS = ("path/to/checkpoint", "google/diffusiongemma-26B-A4B-it")
LANGUAGES = {
    "python",
    "shell",
    "javascript",
    "text",
    "json",
    "toml",
    "yaml",
    "console",
    "ebnf",
    "vim",
    "lua",
}
# Pages whose code runs in `make test-long`: the shipped models write for long on them.
LONG = ("infill-and-edit", "structured-output", "samplers", "the-26b", "capacity")
NOTES = re.compile(r"run|not run: .{10,}")


def of(language: str) -> dict[str, list[Block]]:
    """Return the blocks of one language, by page."""
    chosen = {
        page: [block for block in found if block.language == language]
        for page, found in ALL.items()
    }
    return {page: found for page, found in chosen.items() if found}


def runs(page: str, value: object) -> Any:
    """Return what is run of a page, marked where that takes long."""
    return pytest.param(value, marks=[pytest.mark.long] if Path(page).stem in LONG else [])


PYTHON, SHELL = of("python"), of("shell")
SHELL_BLOCKS = [block for found in SHELL.values() for block in found]


@pytest.mark.parametrize("page", [runs(page, page) for page in PYTHON if page != "README.md"])
def test_the_python_of_a_page_runs(
    page: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page run one after the other, in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in PYTHON[page]:
        if block.note.startswith("not run"):
            continue
        code = "\n" * block.line + block.code
        for name in STAND_INS:
            code = code.replace(name, checkpoint.as_posix())
        exec(compile(code, page, "exec", dont_inherit=True), names)


def test_the_readmes_python_says_what_it_promises(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = PYTHON["README.md"]
    exec(block.code.replace(STAND_INS[0], checkpoint.as_posix()), {})
    assert "settled:" in capsys.readouterr().out


def lines(code: str) -> Iterator[str]:
    """Yield the commands of a block, continued lines joined."""
    yield from code.replace("\\\n", " ").splitlines()


def words(line: str) -> list[str]:
    """Return the words of a command, without a comment, redirections and what follows a pipe."""
    found = shlex.split(line, comments=True)
    for number, word in enumerate(found):
        if re.match(r"[|<>;&]|2>", word):
            return found[:number]
    return found


def commands(block: Block) -> list[list[str]]:
    parts = [words(part) for line in lines(block.code) for part in re.split(r" \| | && ", line)]
    return [part[1:] for part in parts if part and Path(part[0]).name == "redraft"]


def parse(arguments: list[str]) -> None:
    """Hold a command against the real one: its name, its options, the number of its arguments."""
    command: Any = get_command(app)
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        name, *rest = arguments
        if name not in command.commands and command.name == "eval" and name in SETS:
            name, rest = "set", arguments
        assert name in command.commands, f"no command {name!r}"
        command, arguments = command.commands[name], rest
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    left, places = list(arguments), 0
    while left:
        word = left.pop(0)
        if word == "-" or not word.startswith("-"):
            places += 1
            continue
        name = word.split("=")[0]
        assert name in {*options, "--help"}, f"{command.name} has no option {name}"
        if name != "--help" and not options[name].is_flag and "=" not in word:
            assert left, f"{word} lacks its value"
            left.pop(0)
    wanted = [one for one in command.params if one.param_type_name == "argument"]
    many = any(one.nargs == -1 for one in wanted)
    assert places <= len(wanted) or many, f"{command.name}: {places} arguments"
    if "--help" not in arguments:
        needed = sum(one.required for one in wanted)
        assert places >= needed, f"{command.name} needs {needed} arguments"
        for one in command.params:
            if one.param_type_name == "option" and one.required:
                assert set(one.opts) & set(arguments), f"{command.name} needs {one.opts}"


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: block.name)
def test_the_commands_of_a_block_exist(block: Block) -> None:
    for arguments in commands(block):
        parse(arguments)


RUN = [runs(block.page, block) for block in SHELL_BLOCKS if block.note == "run"]


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_block_that_can_be_run_is_run(block: Block, tmp_path: Path) -> None:
    """In an empty folder; exit status 1 means a difference, so each line may end with it."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    script = "\n".join(f"{line} || test $? = 1" for line in lines(block.code) if line.strip())
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout


def test_the_blocks_that_run_are_many() -> None:
    assert len(RUN) >= 4
    assert sum(map(len, PYTHON.values())) >= 15


def test_every_block_says_its_language_and_every_note_its_reason() -> None:
    for found in ALL.values():
        for block in found:
            assert block.language in LANGUAGES, f"{block.name} has no language"
            if block.note and block.language in ("python", "shell"):
                assert NOTES.fullmatch(block.note), f"{block.name}: {block.note}"
            if block.language == "text":
                for line in block.code.splitlines():
                    assert not line.startswith("redraft ") or "OPTIONS" in line, block.name


@pytest.mark.parametrize(
    "command",
    ["nothing", "generate -m a --no-such", "rewrite a b c --lines 2", "infill --line", "rewrite a"],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        parse(command.split())


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        before = torch.get_num_threads()
        stack.callback(torch.set_num_threads, before)
        yield
