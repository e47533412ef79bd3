"""What a person types, pipes in or names: prompts, files and their line ends, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redraft.cli.default_model import default_model
from redraft.cli.generate import _read_prompt
from redraft.cli.remarks import on_answer, on_prompt
from redraft.cli.sudoku import read_puzzles
from redraft.cli.texts import plain_line_ends, with_line_ends, without_last_line_end
from redraft.errors import RequestError
from redraft.events import Finished, Statistics
from tests.command import call

SUM = "calc 17+25-03"
FUNCTION = "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n"
FUNCTION += "    return acc\n"
WINDOWS = FUNCTION.replace("\n", "\r\n")


@pytest.mark.parametrize("piped", [SUM, f"{SUM}\n", f"{SUM}\r\n"])
def test_the_last_line_end_of_what_is_piped_in_is_no_part_of_a_prompt(piped: str) -> None:
    done = call("generate", "--seed", "1", "--json", stdin=piped)
    assert done.returncode == 0, done.stderr
    given = call("generate", SUM, "--seed", "1", "--json")
    assert json.loads(done.stdout)["tokens"] == json.loads(given.stdout)["tokens"]


def test_one_line_end_alone_is_taken_away() -> None:
    ends = {"a\n\n": "a\n", "a\r\n": "a", "a\r": "a\r", "\n": "", "a": "a", "a \n": "a "}
    assert {text: without_last_line_end(text) for text in ends} == ends


def test_a_prompt_is_given_once() -> None:
    done = call("generate", SUM, "--prompt", SUM)
    assert (done.returncode, done.stderr) == (2, "redraft: give PROMPT or --prompt, not both\n")
    assert _read_prompt("--") == "--"


@pytest.mark.parametrize(
    ("prompt", "model"),
    [
        (SUM, "small"),
        ("  sudoku 53", "small"),
        ("edit <body>", "small-text"),
        ("wiki Cordunia (full)", "small-text"),
        ("Dear Sir", "small-text"),
        ("", "small-text"),
    ],
)
def test_a_prompt_chooses_among_the_models_that_ship(
    prompt: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDRAFT_MODEL", raising=False)
    assert default_model(prompt) == model
    monkeypatch.setenv("REDRAFT_MODEL", "somebody/model")
    assert default_model(prompt) == "somebody/model"


def test_a_prompt_that_a_shipped_model_has_not_learnt_is_remarked_on() -> None:
    assert on_prompt("small", SUM) is None
    assert on_prompt("small-text", "wiki Cordunia (full)") is None
    assert on_prompt("somebody/model", "Dear Sir") is None
    told = on_prompt("small-text", SUM)
    assert told is not None
    assert "small knows such prompts: -m small." in told
    assert "'wiki Cordunia (full)'; " in told
    assert "(story)" not in told  # one of each kind
    told = on_prompt("small", "Dear Sir")
    assert told is not None
    assert "-m" not in told


@pytest.mark.parametrize("prompt", ["calc 2+2", "calc 17+250", "sudoku 123"])
def test_numbers_of_other_lengths_than_the_examples_are_remarked_on(prompt: str) -> None:
    told = on_prompt("small", prompt)
    assert told is not None
    assert "digits alone" in told


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("small", "calc 17+25"),
        ("small", "calc"),
        ("small-text", "wiki Cordunia 12"),
        (
            "small-text",
            "edit <body><h1>Home</h1><ul><li>[ ] buy 12 eggs</li></ul></body>\nmake it red",
        ),
    ],
)
def test_numbers_are_not_remarked_on_where_examples_fix_no_length(name: str, prompt: str) -> None:
    assert on_prompt(name, prompt) is None


@pytest.mark.parametrize(
    ("text", "steps", "words"),
    [
        ("39", (3,), []),
        (" \n", (3,), ["without a word"]),
        ("39", (3, 48), ["did not settle in 48 steps"]),
        ("", (48,), ["without a word", "did not settle"]),
    ],
)
def test_an_answer_that_is_none_is_remarked_on(
    text: str, steps: tuple[int, ...], words: list[str]
) -> None:
    figures = Statistics(
        prompt_tokens=1, new_tokens=1, steps_per_canvas=steps, forwards=1, encoder_passes=0,
        tokens_per_forward=1.0, tokens_per_second=1.0, time_to_first_draft=0.0,
        time_to_first_commit=0.0, seconds=1.0,
    )  # fmt: skip
    finished = Finished(request=0, reason="eos", seed=1, tokens=(1,), text=text, statistics=figures)
    told = on_answer(finished, 48)
    assert len(told) == len(words)
    assert all(word in one for word, one in zip(words, told, strict=True))


@pytest.mark.parametrize("name", ["nosuch.txt", "./puzzles", "C:\\grids", "grid"])
def test_what_looks_like_a_file_is_called_one(name: str) -> None:
    with pytest.raises(RequestError, match="there is no file"):
        read_puzzles(name)
    with pytest.raises(RequestError, match="81 cells"):
        read_puzzles("53..7")


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\r\nb\n", "a\rb", "\r\n", "a\r\n\r\nb"])
def test_line_ends_come_back(text: str) -> None:
    plain, line_end = plain_line_ends(text)
    assert with_line_ends(plain, line_end) == text
    assert ("\r\n" in plain) == ("\r\n" in text and line_end == "\n")


def test_files_of_windows_stay_so(tmp_path: Path) -> None:
    file = tmp_path / "text.py"
    options = ("--instruction", "fill python", "--seed", "1")
    file.write_bytes(WINDOWS.encode())
    filled = call("infill", str(file), "--lines", "2-3", *options, "--json")
    assert filled.returncode == 0, filled.stderr
    text = json.loads(filled.stdout)["text"]
    assert text.count("\r\n") == text.count("\n") > 3
    assert text.startswith("def step(shops):\r\n")
    done = call("rewrite", str(file), "--lines", "2-3", "--seed", "2", "--write")
    assert done.returncode == 0, done.stderr
    after = file.read_bytes().decode()
    assert after.count("\r\n") == after.count("\n") > 2
    done = call("repair", str(file), "--seed", "2", "--write")
    assert done.returncode == 0, done.stderr
    after = file.read_bytes().decode()
    assert after.count("\r\n") == after.count("\n") > 2


def test_without_a_command_the_first_steps_are_shown() -> None:
    done = call()
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("  ")] == [
        ["redraft", "demo"], ["redraft", "generate"], ["redraft", "play"], ["redraft", "--help"],
    ]  # fmt: skip
