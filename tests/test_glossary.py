"""The words and the air of the source: docs/glossary.md holds the names, and a few limits hold the
rest.

`python -m tests.test_glossary ROOM ...` prints all that is left to do in a room (a folder of
src/redraft, or a file beside them), or in all of them.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "redraft"
GLOSSARY = ROOT / "docs" / "glossary.md"
LONGEST_LINE = 100
ANY_PER_1000_LINES = 6
OPENINGS = ("What", "Whether", "Of", "Whoever", "The same")

# Uses of a word that are right: (word, folder or file of src/redraft that may use it, reason).
ALLOWED = [
    ("typewriter", "cli/demo", "the demo calls autoregressive decoding the typewriter"),
]


@dataclass(frozen=True)
class Ban:
    """A word that no name uses, or a phrase that no text uses; `folder` limits it ("" is all)."""

    words: str
    folder: str
    use: str


def bans() -> tuple[list[Ban], list[Ban]]:
    """Return the words for names and the phrases for texts, read from the glossary's Not lines."""
    words, phrases = [], []
    for entry in GLOSSARY.read_text().split("\n### ")[1:]:
        term = entry.split("\n", 1)[0]
        line = re.search(r"^Not: (.+?)\.$", entry, re.MULTILINE)
        if line is None:
            continue
        for word, folder in re.findall(r"`(\w+)`(?: \(in ([\w/]+)\))?", line[1]):
            words.append(Ban(word, folder, term))
        phrases += [Ban(phrase, "", term) for phrase in re.findall(r'"(.+?)"', line[1])]
    return words, phrases


WORDS, PHRASES = bans()


@dataclass(frozen=True)
class File:
    """One source file: its place under src/redraft, its text and its tree."""

    place: str
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> File:
        text = path.read_text(encoding="utf-8")
        return cls(path.relative_to(SOURCE).as_posix(), text, ast.parse(text))

    @property
    def room(self) -> str:
        return self.place.split("/")[0].removesuffix(".py")


FILES = [File.read(path) for path in sorted(SOURCE.rglob("*.py"))]
ROOMS = sorted({file.room for file in FILES})


def split(name: str) -> list[str]:
    """Return the words of an identifier: `read_HTMLPage2` has read, html, page, 2."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def names(file: File) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of modules, functions, classes, parameters, attributes and
    constants. Local variables are free."""
    for part in file.place.removesuffix(".py").split("/"):
        yield 1, part
    for node in ast.walk(file.tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                yield from ((statement.lineno, name) for name in assigned(statement))


def assigned(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            stores = targets
        case ast.AnnAssign(target=target):
            stores = [target]
        case _:
            return []
    nodes = chain.from_iterable(map(ast.walk, stores))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def allowed(word: str, file: File) -> bool:
    return any(word == banned and file.place.startswith(place) for banned, place, _ in ALLOWED)


def check_names(file: File) -> Iterator[tuple[int, str]]:
    for line, name in names(file):
        for ban in WORDS:
            here = file.place.startswith(ban.folder) and not allowed(ban.words, file)
            if here and ban.words in split(name):
                yield line, f"{name}: {ban.words!r} is called {ban.use!r} in the glossary"


def texts(file: File) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string and comment, docstrings among them."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(iter(file.text.splitlines(True)).__next__):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def check_phrases(file: File) -> Iterator[tuple[int, str]]:
    for line, text in texts(file):
        for ban in PHRASES:
            if re.search(rf"\b{ban.words}\b", " ".join(text.split()), re.IGNORECASE):
                yield line, f"{ban.words!r} in a text: the glossary says {ban.use!r}"


def docstrings(file: File) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and text of each docstring, attributes' docstrings among them."""
    for node in ast.walk(file.tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, getattr(node, "name", "the module"), text


def check_docstrings(file: File) -> Iterator[tuple[int, str]]:
    for line, name, text in docstrings(file):
        for opening in OPENINGS:
            if re.match(rf"{opening}\b", text.strip()):
                yield line, f"the docstring of {name} starts with {opening!r}: {text.strip()[:60]}"


def check_lines(file: File) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        if len(line) > LONGEST_LINE:
            yield number, f"{len(line)} characters: {line.strip()[:60]} ..."


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def check_comprehensions(file: File) -> Iterator[tuple[int, str]]:
    for node in ast.walk(file.tree):
        if not isinstance(node, COMPREHENSIONS):
            continue
        if len(node.generators) > 1:
            yield node.lineno, "two `for` in one comprehension"
        inner = [n for n in ast.walk(node) if n is not node and isinstance(n, COMPREHENSIONS)]
        if inner:
            yield node.lineno, "a comprehension within a comprehension"


CHECKS = {
    "names": check_names,
    "phrases": check_phrases,
    "docstrings": check_docstrings,
    "lines": check_lines,
    "comprehensions": check_comprehensions,
}


def problems(room: str, rule: str) -> list[str]:
    found = []
    for file in FILES:
        if file.room == room:
            found += [f"{file.place}:{line} {text}" for line, text in sorted(CHECKS[rule](file))]
    return found


def public_classes() -> dict[str, list[str]]:
    """Return the places of each public class, by its name."""
    places: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{file.place}:{node.lineno}")
    return places


def count_any() -> tuple[int, int]:
    """Return how often `Any` is used (imports aside), and how many lines there are."""
    uses = [
        sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(file.tree))
        for file in FILES
    ]
    return sum(uses), sum(file.text.count("\n") for file in FILES)


@pytest.mark.parametrize("rule", CHECKS)
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_keeps_the_rules(room: str, rule: str) -> None:
    found = problems(room, rule)
    assert not found, "\n".join(found)


def test_no_two_public_classes_have_one_name() -> None:
    twice = [f"{name}: {places}" for name, places in public_classes().items() if len(places) > 1]
    assert not twice, "\n".join(twice)


def test_any_stays_at_the_edge_of_json() -> None:
    uses, lines = count_any()
    assert uses * 1000 <= ANY_PER_1000_LINES * lines, f"{uses} in {lines} lines"


def test_the_glossary_is_read() -> None:
    assert Ban("wish", "", "instruction") in WORDS
    assert Ban("replay", "network", "CUDA graph") in WORDS
    assert Ban("few bits", "", "quantized") in PHRASES


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("names", "def told_all(): ..."),
        ("names", "class Wish:\n    pass"),
        ("names", "def f(asked): ..."),
        ("names", "LEAST = 1"),
        ("names", "class A:\n    most: int = 3"),
        ("names", "def f(self):\n    self.meter = 1"),
        ("phrases", '"""Weights in\n    few bits."""'),
        ("phrases", "x = 1  # in few bits"),
        ("docstrings", 'def f():\n    """What it is."""'),
        ("docstrings", 'class A:\n    x: int\n    """The same."""'),
        ("lines", "x = '" + "a" * 96 + "'"),
        ("comprehensions", "[a for b in c for a in b]"),
        ("comprehensions", "[sum(x for x in b) for b in c]"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: str, code: str) -> None:
    assert list(CHECKS[rule](File("engine/x.py", code, ast.parse(code))))


if __name__ == "__main__":
    chosen = sys.argv[1:] or ROOMS
    for one in chosen:
        for check in CHECKS:
            print(*problems(one, check), sep="\n")
    for name, places in public_classes().items():
        if len(places) > 1:
            print(f"class {name}: {', '.join(places)}")
    print("Any: {} in {} lines".format(*count_any()))
