from __future__ import annotations

import ast
import random
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.tasks.code.rewrites import (
    CHANGES,
    HELD_OUT,
    MAX_TEXT,
    TRAINING,
    CodeRewrites,
    rewrite_in,
)
from redraft.tasks.code.store import corpus_folder, write_split

SOURCES = [
    Path(module.__file__ or "").read_text(encoding="utf-8") for module in (random, textwrap, ast)
]


@given(st.sampled_from(range(3)), st.integers(0, 100_000), st.booleans())
@settings(max_examples=300, deadline=None)
def test_one_line_of_a_function_changes(source: int, seed: int, held_out: bool) -> None:
    example = rewrite_in(SOURCES[source], random.Random(seed), held_out=held_out)
    if example is None:
        return
    head, _, said = example.prompt.rpartition(": ") if ": " in example.prompt else ("", "", "")
    assert head.startswith("rewrite ")
    assert said
    ((first, last),) = example.holes
    start = example.answer.rfind("\n", 0, first) + 1
    assert not example.answer[start:first].strip()
    assert last == len(example.answer) or example.answer[last] == "\n"
    assert len(example.answer) <= MAX_TEXT + 40
    ast.parse(example.answer)
    lines = example.answer.split("\n")
    assert len(lines) == example.difficulty
    number = example.answer.count("\n", 0, first)
    assert f"rewrite {lines[number].strip()}: " not in example.prompt


@pytest.mark.parametrize(
    ("kind", "line", "expected"),
    [
        ("flip", "    if x == 3:", "    if x != 3:"),
        ("flip", "    if x is not None:", "    if x is None:"),
        ("flip", "    while name in names:", "    while name not in names:"),
        ("flip", "    if x <= 3:", "    if x > 3:"),
        ("flip", "    if done:", "    if not done:"),
        ("flip", "    if not self.done:", "    if self.done:"),
        ("flip", "    if a == 1 and b == 2:", None),
        ("flip", "    x = a == b", None),
        ("number", "    x = y[1] + 2", None),
        ("number", "    x = 'a1'", None),
        ("hint", "def f(self, *args):", None),
        ("parameter", "def f(a, *args):", None),
    ],
)
def test_changes_of_a_line(kind: str, line: str, expected: str | None) -> None:
    change = CHANGES[kind](line, random.Random(1))
    assert (None if change is None else change[2]) == expected


def test_changes_say_what_they_do() -> None:
    rng = random.Random(2)
    old, new, line = CHANGES["number"]("    x = 12", rng) or ("", "", "")
    assert (old, line) == ("12", f"    x = {new}")
    old, new, line = CHANGES["rename"]("    count = count + other.count", rng) or ("", "", "")
    assert line.count(new) == (2 if old == "count" else 1)
    assert line.endswith(".count")
    _, new, line = CHANGES["parameter"]("def f(a, b=1):", rng) or ("", "", "")
    assert line == f"def f(a, b=1, {new}):"
    assert "=" in new
    old, new, line = CHANGES["hint"]("def f(self, a):", rng) or ("", "", "")
    assert (old, line) == ("a", f"def f(self, a: {new}):")
    _, new, line = CHANGES["returns"]("def f(self, a):", rng) or ("", "", "")
    assert line == f"def f(self, a) -> {new}:"


def test_the_task_draws_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRAFT_CACHE", str(tmp_path))
    files = [("std", f"{number}.py", text.encode()) for number, text in enumerate(SOURCES)]
    write_split(corpus_folder("rewritten"), "train", files)
    task = CodeRewrites(corpus="rewritten")
    rng = random.Random(1)
    text = "\n".join(task.draw(rng).prompt for _ in range(300))
    assert all(
        any(form.split("{")[0] in text for form in TRAINING[kind] if form.split("{")[0])
        for kind in CHANGES
    )
    assert not any(set(HELD_OUT[kind]) & set(TRAINING[kind]) for kind in CHANGES)
    with pytest.raises(ConfigError, match="phrasing"):
        CodeRewrites(phrasing="other")
