from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.tasks.code.holes import (
    LINES,
    MANY,
    MAX_HOLE_CHARACTERS,
    OPEN,
    TWO,
    WEIGHTS,
    Code,
    of_text,
)
from redraft.tasks.code.snippet import enclosing
from redraft.tasks.code.store import Corpus, corpus_folder, write_split

SOURCE = Path(random.__file__).read_text(encoding="utf-8")
SHORT = """\
import os

class Box:
    def area(self, width, height):
        if width < 0:
            return 0

        return width * height

    def other(self):
        pass
"""


@given(st.sampled_from(sorted(WEIGHTS)), st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_prompt_and_answer_are_one_piece_of_the_file(kind: int, seed: int) -> None:
    example = of_text(SOURCE, kind, random.Random(seed))
    if example is None:
        return
    assert example.prompt + example.answer in SOURCE
    edges = [edge for hole in example.holes for edge in hole]
    assert edges == sorted(set(edges))
    assert not example.holes or 0 <= edges[0] <= edges[-1] <= len(example.answer)
    assert not example.prompt or example.prompt.endswith("\n")
    # The canvas begins with the line of the first hole.
    assert not example.holes or "\n" not in example.answer[: edges[0]]


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_holes_are_of_their_kind(seed: int) -> None:
    for kind in WEIGHTS:
        example = of_text(SOURCE, kind, random.Random(seed))
        if example is None:
            continue
        parts = [example.answer[first:last] for first, last in example.holes]
        assert all(0 < len(part) <= MAX_HOLE_CHARACTERS for part in parts)
        assert len(parts) == {OPEN: 0, TWO: 2}.get(kind, max(1, len(parts)))
        assert kind == LINES or not any("\n" in part for part in parts)
        assert kind == MANY or len(parts) <= 2


def test_a_function_is_found_around_a_line() -> None:
    def around(line: str) -> str | None:
        found = enclosing(SHORT, SHORT.index(line))
        return None if found is None else SHORT[found[0] : found[1]]

    area = SHORT[SHORT.index("    def area") : SHORT.index("\n\n    def other")]
    assert around("            return 0") == area
    assert around("        return width") == area
    assert around("    def area") == area
    assert around("        pass") == "    def other(self):\n        pass\n"[:-1]
    assert around("import os") is None


def test_a_head_of_several_lines_belongs_to_its_function() -> None:
    text = "def f(\n    a,\n    b,\n):\n    return a\n\nx = 1\n"
    assert enclosing(text, text.index("    return a")) == (0, text.index("\n\nx"))


def test_a_corpus_gives_back_what_was_written(tmp_path: Path) -> None:
    files = [("one", "a.py", b"x = 1\n"), ("two", "b.py", "ä = 2\n".encode()), ("two", "c.py", b"")]
    write_split(tmp_path, "train", files)
    corpus = Corpus(tmp_path, "train")
    assert [corpus.read(source).encode() for source in corpus.sources] == [one[2] for one in files]
    found = [corpus.at(byte).path for byte in range(len(corpus))]
    assert found == ["a.py"] * 6 + ["b.py"] * 7


def test_a_missing_corpus_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"redraft\.train\.corpus"):
        Corpus(tmp_path, "train")


def test_the_task_draws_from_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRAFT_CACHE", str(tmp_path))
    write_split(corpus_folder("here"), "train", [("random", "random.py", SOURCE.encode())])
    task = Code(corpus="here")
    examples = [task.draw(random.Random(seed)) for seed in range(40)]
    assert {example.difficulty for example in examples} == set(WEIGHTS)
    assert examples == [task.draw(random.Random(seed)) for seed in range(40)]
    assert task.check(examples[0], examples[0].answer)
    assert not task.check(examples[0], examples[0].answer + " ")
