"""The commands and their options: help at every width, older names, and mistakes in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from redraft.cli.app import app, main
from redraft.errors import RedraftError
from redraft.evals import SETS
from redraft.train import Recipe
from tests.command import COMMAND

ROOT = get_command(app)
HELP = """
import sys
from redraft.cli.app import main

for path in {paths!r}:
    print("== redraft", *path)
    sys.argv = ["redraft", *path, "--help"]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, path
assert not {{"torch", "transformers"}} & set(sys.modules)
"""


def commands(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command, groups before their members."""
    yield path
    for name, member in getattr(command, "commands", {}).items():
        yield from commands(member, (*path, name))


COMMANDS = list(commands())


def at(path: tuple[str, ...]) -> Any:
    """Return the command of a path."""
    command: Any = ROOT
    for name in path:
        command = command.commands[name]
    return command


@pytest.fixture(scope="module")
def pages() -> dict[int, dict[tuple[str, ...], str]]:
    """The help of every command by the width of the terminal, from processes without torch."""
    found = {}
    for columns in (60, 80, 120):
        environment = os.environ | {"COLUMNS": str(columns), "TERM": "dumb"}
        code = [sys.executable, "-c", HELP.format(paths=COMMANDS)]
        done = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        texts = done.stdout.split("== redraft")[1:]
        found[columns] = dict(zip(COMMANDS, texts, strict=True))
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_shows_every_option_at_every_width(
    pages: dict[int, dict[tuple[str, ...], str]], columns: int, path: tuple[str, ...]
) -> None:
    page = pages[columns][path]
    assert max(map(len, page.splitlines())) <= columns
    assert "…" not in page
    for option in at(path).params:
        if option.param_type_name == "option" and not option.hidden:
            assert option.opts[0] in page
            assert option.name == "help" or option.help
    for name in getattr(at(path), "commands", ()):
        assert f" {name} " in page


def test_every_command_says_what_it_does_in_a_line() -> None:
    for path in COMMANDS:
        first, *rest = at(path).help.split("\n\n")
        assert len(first) < 90, path
        assert first.endswith("."), path
        assert not any("\n" in paragraph for paragraph in (first, *rest)), path


def test_the_help_names_every_held_out_set() -> None:
    (name, *_) = at(("eval", "set")).params
    assert all(each in name.help for each in SETS)


def parsed(arguments: str) -> tuple[str, dict[str, Any]]:
    """Return the command that a command line calls, and its options."""
    command, words, context = ROOT, arguments.split(), None
    while True:
        context = command.make_context("redraft", words, parent=context)
        if not hasattr(command, "commands"):
            return context.command_path, context.params
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        _, command, words = command.resolve_command(context, rest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("generate -m x --typewriter", "generate -m x --autoregressive"),
        ("generate -m x --no-typewriter", "generate -m x"),
        ("generate -m x --no-raw", "generate -m x"),
        ("train x -o y --typewriter", "train x -o y --autoregressive"),
        ("inspect --geometry 26b", "inspect --preset 26b"),
        ("infill x --line 2-3", "infill x --lines 2-3"),
        ("infill x --line=2", "infill x --lines 2"),
        ("eval sudoku --attempts 4 --png x.png", "eval set sudoku --attempts 4 --png x.png"),
        ("eval arithmetic -m x --count 3 --json", "eval set arithmetic -m x --count 3 --json"),
        ("eval -m x --count 3 wiki", "eval set wiki -m x --count 3"),
        ("eval edits --typewriter x", "eval set edits --autoregressive x"),
        ("eval rewrite --sampler klass", "eval set rewrite --sampler klass"),
        ("eval --search infill", "eval infill --search"),
        ("eval -m infill sudoku", "eval set sudoku -m infill"),
        ("eval sudoku --model divergence", "eval set sudoku --model divergence"),
        ("eval --json divergence a b", "eval divergence a b --json"),
        ("eval --quantize int8 divergence a", "eval divergence a --quantize int8"),
    ],
)
def test_older_spellings_mean_what_they_did(old: str, new: str) -> None:
    assert parsed(old) == parsed(new)


def test_eval_infill_without_files_and_search_is_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def keep(name: str, **options: Any) -> None:
        calls.append({"name": name, "attempts": 1, **options})

    monkeypatch.setattr("redraft.cli.eval.infill.measure_set", keep)
    options = "-m x --count 3 --seed 5 --typewriter y --sampler klass --png z.png --json"
    run(monkeypatch, f"eval infill {options}")
    (called,) = calls
    wanted = parsed(f"eval set infill {options}")[1]
    assert called == {name: value or None for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("options", "draws"),
    [
        ("", 1),
        ("--typewriter", 0),
        ("--method autoregressive", 0),
        ("--method typewriter", 0),
        ("--method diffusion", 1),
    ],
)
def test_a_recipe_is_trained_by_either_method(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, draws: int
) -> None:
    recipes: list[Recipe] = []

    def keep(processes: int, work: object, recipe: Recipe, *rest: object) -> bool:
        recipes.append(recipe)
        return False

    monkeypatch.setattr("redraft.train.parallel.run_in_processes", keep)
    recipe = Path(__file__).parents[2] / "recipes" / "small-first.toml"
    run(monkeypatch, f"train {recipe} -o {tmp_path} {options}")
    assert [min(one.draws, 1) for one in recipes] == [draws]


def run(monkeypatch: pytest.MonkeyPatch, arguments: str) -> int:
    """Run a command line in this process, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["redraft", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("nonsuch", "no such command 'nonsuch': see redraft --help"),
        ("quantize", "missing argument 'MODEL': see redraft quantize --help"),
        ("generate -m x --tpyewriter", "no such option: --tpyewriter"),
        ("generate -m x --method both -p x", "method='both' must be"),
        ("serve --port high", "invalid value for '--port'"),
        ("eval wiki -i x", "no such option: -i: see redraft eval set --help"),
        ("eval wiki more", "unexpected extra argument"),
        ("eval divergence a b --search", "no such option: --search"),
        ("inspect --preset 27b", "--preset 27b is not known: there is 26b"),
        ("infill x --candidates 0", "invalid value for '--candidates'"),
    ],
)
def test_mistakes_in_arguments_are_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    problem: str,
) -> None:
    assert run(monkeypatch, arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("redraft: ")
    assert problem in line


def test_without_arguments_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ("", "eval"):
        assert run(monkeypatch, arguments) == 0
        assert "--help" in capsys.readouterr().out


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("redraft.cli.sudoku.open_model", interrupt)
    assert run(monkeypatch, f"sudoku {'.' * 81}") == 130


def test_errors_of_redraft_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RedraftError("[wrong] \\n")

    monkeypatch.setattr("redraft.cli.chat.open_model", fail)
    assert run(monkeypatch, "chat -m x") == 2
    assert capsys.readouterr().err == "redraft: [wrong] \\n\n"


def test_typer_names_the_base_of_its_errors() -> None:
    from redraft.cli.app import UsageError

    assert UsageError.__name__ == "UsageError"
    assert issubclass(typer.BadParameter, UsageError)


def test_a_shell_completes_commands_and_options() -> None:
    def completed(line: str) -> str:
        environment = os.environ | {
            "_REDRAFT_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        return subprocess.run(COMMAND, env=environment, capture_output=True, text=True).stdout

    assert "generate" in completed("redraft gen").split()
    assert "--max-new-tokens" in completed("redraft generate --max-n").split()
