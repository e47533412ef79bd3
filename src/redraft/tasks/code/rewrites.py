"""Rewrites of one line of real code by an instruction: rename, change a number, flip a condition,
add a parameter, add a type hint."""

from __future__ import annotations

import ast
import keyword
import random
import re
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from redraft.errors import ConfigError
from redraft.tasks.code.snippet import enclosing
from redraft.tasks.code.store import open_corpus
from redraft.tasks.open_words import new_word
from redraft.tasks.snippets.snippet import count_tokens
from redraft.tasks.task import Example

MIN_TEXT, MAX_TEXT = 40, 320  # characters of a function
MAX_TOKENS = 64  # estimated: names of real code take two tokens and more, and a canvas has 128
MAX_LINE = 80
TRIES = 200
TYPES = ("int", "str", "float", "bool", "bytes", "list", "dict", "list[int]", "list[str]", "Path")
DEFAULTS = ("None", "0", "1", "True", "False", '""')
NAME = re.compile(r"(?<![\w.\"'])[a-z_][a-z_0-9]*\b(?![\"'(=]?[\"'(])")
FLIPS = (
    (" == ", " != "), (" is not ", " is "), (" not in ", " in "), (" < ", " >= "), (" > ", " <= "),
    (" != ", " == "), (" is ", " is not "), (" in ", " not in "), (" >= ", " < "), (" <= ", " > "),
)  # fmt: skip
# What is said, by kind of change; {0} is what was, {1} what comes.
TRAINING = {
    "number": ("change {0} to {1}", "use {1} instead of {0}", "{1} instead of {0}", "make it {1}"),
    "rename": (
        "rename {0} to {1}",
        "call {0} {1}",
        "{0} should be called {1}",
        "rename {0} as {1}",
    ),
    "flip": (
        "flip the condition",
        "invert the condition",
        "negate the test",
        "the other way round",
    ),
    "parameter": (
        "add a parameter {1}",
        "add parameter {1}",
        "take {1} too",
        "add an argument {1}",
    ),
    "hint": ("{0} is a {1}", "add a type hint: {0} is {1}", "annotate {0} as {1}", "{0}: {1}"),
    "returns": ("returns {1}", "it returns a {1}", "annotate the result as {1}"),
}
HELD_OUT = {
    "number": ("replace {0} by {1}", "set it to {1}", "the number should be {1}"),
    "rename": ("change the name {0} to {1}", "use {1} as the name of {0}"),
    "flip": ("reverse the check", "do the opposite test"),
    "parameter": ("it should accept {1}", "one more parameter: {1}"),
    "hint": ("give {0} the type {1}", "{0} has type {1}"),
    "returns": ("the return type is {1}", "it gives back {1}"),
}
# What was, what comes, and the line after the change.
Change = tuple[str, str, str]


@dataclass(frozen=True)
class CodeRewrites:
    """Real functions with one line to rewrite: the prompt is `rewrite LINE: INSTRUCTION`, as
    `Model.rewrite` says it, the answer the function with a hole where the line stands.

    difficulty: the number of lines. phrasing: "training", or "held-out" for words that training
    never has.
    """

    corpus: str = "python"
    split: str = "train"
    phrasing: str = "training"
    name: str = "code-rewrites"

    def __post_init__(self) -> None:
        if self.phrasing not in ("training", "held-out"):
            raise ConfigError(f"{self.phrasing=} must be training or held-out")

    def draw(self, rng: random.Random) -> Example:
        """Return an example from a random place of the corpus."""
        corpus = open_corpus(self.corpus, self.split)
        while True:
            text = corpus.read(corpus.at(rng.randrange(len(corpus))))
            example = rewrite_in(text, rng, held_out=self.phrasing == "held-out")
            if example is not None:
                return example

    def check(self, example: Example, text: str) -> bool:
        """Check that a text is the answer, to the letter."""
        return text == example.answer


def rewrite_in(text: str, rng: random.Random, *, held_out: bool = False) -> Example | None:
    """Return a rewrite of a line of a file, or None where a few tries fail."""
    kinds = list(CHANGES)
    for _ in range(TRIES):
        start = text.rfind("\n", 0, rng.randrange(len(text))) + 1
        around = enclosing(text, start)
        if around is None or not MIN_TEXT <= around[1] - around[0] <= MAX_TEXT:
            continue
        function = textwrap.dedent(text[around[0] : around[1]])
        if count_tokens(function) > MAX_TOKENS:
            continue
        lines = function.split("\n")
        number = text.count("\n", around[0], start)
        line = lines[number]
        kind = rng.choice(kinds)
        if not line.strip() or len(line) > MAX_LINE or line.lstrip().startswith(("#", '"', "'")):
            continue
        change = CHANGES[kind](line, rng)
        if change is None or change[2] == line:
            continue
        before, after, new = change
        if not all(_parses("\n".join([*lines[:number], one, *lines[number + 1 :]]))
                   for one in (line, new)):  # fmt: skip
            continue
        said = rng.choice((HELD_OUT if held_out else TRAINING)[kind]).format(before, after)
        first = sum(len(one) + 1 for one in lines[:number])
        indent = len(new) - len(new.lstrip()) if rng.random() < 0.5 else 0
        answer = "\n".join([*lines[:number], new, *lines[number + 1 :]])
        hole = (first + indent, first + len(new))
        return Example(f"rewrite {line.strip()}: {said}", answer, len(lines), (hole,))
    return None


def _number(line: str, rng: random.Random) -> Change | None:
    """Another number, where the line has one."""
    found = list(re.finditer(r"(?<![\w.\"'])\d+(?![\w.\"'])", line))
    if len(found) != 1:
        return None
    other = str(rng.choice((rng.randint(0, 20), rng.randint(0, 999))))
    return found[0][0], other, line[: found[0].start()] + other + line[found[0].end() :]


def _rename(line: str, rng: random.Random) -> Change | None:
    """Another name for a variable, everywhere in the line."""
    if '"' in line or "'" in line:
        return None
    names = {name for name in NAME.findall(line) if not keyword.iskeyword(name) and name != "self"}
    if not names:
        return None
    old = rng.choice(sorted(names))
    new = new_word(rng) if rng.random() < 0.5 else f"{rng.choice(('new', 'my', 'the'))}_{old}"
    if keyword.iskeyword(new):
        return None
    return old, new, re.sub(rf"(?<![\w.]){re.escape(old)}\b", new, line)


def _flip(line: str, rng: random.Random) -> Change | None:
    """The opposite of a condition with one comparison."""
    if not re.match(r"\s*(if|elif|while|assert) ", line) or re.search(
        r" (and|or|if|for)\b", line.lstrip()[3:]
    ):
        return None
    for old, new in FLIPS:
        if line.count(old) == 1:
            return "", "", line.replace(old, new)
    found = re.match(r"(\s*(?:if|elif|while) )(not )?([\w.()\[\]]+:)$", line)
    if found is None:
        return None
    return "", "", found[1] + ("" if found[2] else "not ") + found[3]


def _parameter(line: str, rng: random.Random) -> Change | None:
    """One more parameter, in the last place."""
    found = re.match(r"(\s*(?:async )?def \w+\()([^()*]*)(\).*:)$", line)
    if found is None or found[2].rstrip().endswith(","):
        return None
    name = new_word(rng)
    if keyword.iskeyword(name):
        return None
    with_default = "=" in found[2] or rng.random() < 0.4
    added = f"{name}={rng.choice(DEFAULTS)}" if with_default else name
    return "", added, found[1] + (f"{found[2]}, {added}" if found[2] else added) + found[3]


def _hint(line: str, rng: random.Random) -> Change | None:
    """A type for one of the parameters."""
    found = re.match(r"(\s*(?:async )?def \w+\()([^()]*)(\).*:)$", line)
    if found is None:
        return None
    names = [name.strip() for name in found[2].split(",")]
    plain = [name for name in names if re.fullmatch(r"\w+", name) and name not in ("self", "cls")]
    if not plain:
        return None
    name, kind = rng.choice(plain), rng.choice(TYPES)
    typed = re.sub(rf"\b{name}\b", f"{name}: {kind}", found[2], count=1)
    return name, kind, found[1] + typed + found[3]


def _returns(line: str, rng: random.Random) -> Change | None:
    """A type for what a function returns."""
    found = re.match(r"(\s*(?:async )?def \w+\(.*\)):$", line)
    kind = rng.choice((*TYPES, "None"))
    return ("", kind, f"{found[1]} -> {kind}:") if found else None


CHANGES: dict[str, Callable[[str, random.Random], Change | None]] = {
    "number": _number, "rename": _rename, "flip": _flip, "parameter": _parameter, "hint": _hint,
    "returns": _returns,
}  # fmt: skip


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
