"""Rewrite: one line of a function, changed by an instruction."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from redraft.tasks.snippets.check import keeps, same_python
from redraft.tasks.snippets.functions import draw_function
from redraft.tasks.snippets.snippet import MAX_HOLE_TOKENS, MAX_TOKENS, count_tokens
from redraft.tasks.snippets.words import LISTS, LOOPS, MAPS, NOUNS, NUMBERS, SINGLES, SUMS, TEXTS
from redraft.tasks.task import Example

MAX_PROMPT_TOKENS = 40
RESULTS = "|".join(sorted({*SUMS, *LISTS, *MAPS, *SINGLES}))
RETURNS = (
    ("the length", "len({})"),
    ("it sorted", "sorted({})"),
    ("the first", "{}[0]"),
    ("the last", "{}[-1]"),
    ("it reversed", "{}[::-1]"),
    ("a set", "set({})"),
)
# The line before the change, the instruction, and the line after it.
LineChange = tuple[str, str, str]


def _field(line: str, rng: random.Random) -> LineChange | None:
    """Use another field: the line had a wrong one."""
    found = [
        match
        for match in re.finditer(r"(?<=[a-z]\.)([a-z]+)\b(?!\()", line)
        if match[1] in NUMBERS + TEXTS
    ]
    if len(found) != 1:
        return None
    kind = NUMBERS if found[0][1] in NUMBERS else TEXTS
    other = rng.choice([word for word in kind if word != found[0][1]])
    return line[: found[0].start()] + other + line[found[0].end() :], f"use {found[0][1]}", line


def _start(line: str, rng: random.Random) -> LineChange | None:
    """Start a count at another number."""
    match = re.fullmatch(rf"(\s+(?:{RESULTS}) = )([01])", line)
    value = rng.randint(2, 40)
    return (line, f"start at {value}", f"{match[1]}{value}") if match else None


def _loop(line: str, rng: random.Random) -> LineChange | None:
    """Loop over something else."""
    match = re.fullmatch(r"(\s+for \w+ in )(\w+):", line)
    return (f"{match[1]}{_other(match[2], rng)}:", f"go over {match[2]}", line) if match else None


def _other(nouns: str, rng: random.Random) -> str:
    return rng.choice([noun + "s" for noun in NOUNS if noun + "s" != nouns])


def _returned(line: str, rng: random.Random) -> LineChange | None:
    """Return something that is made of the list."""
    match = re.fullmatch(rf"(\s+return )({'|'.join(LISTS)})", line)
    words, form = rng.choice(RETURNS)
    return (line, f"return {words}", match[1] + form.format(match[2])) if match else None


def _limit(line: str, rng: random.Random) -> LineChange | None:
    """Compare with another number, in the same direction or the other."""
    match = re.fullmatch(r"(\s+(?:if|return) \w+\.\w+ )([<>]) (\d+)(:?)", line)
    if not match:
        return None
    number, sign = rng.choice([n for n in range(2, 41) if str(n) != match[3]]), rng.choice("<>")
    return (
        f"{match[1]}{sign} {number}{match[4]}",
        f"{'over' if match[2] == '>' else 'under'} {match[3]}",
        line,
    )


def _default(line: str, rng: random.Random) -> LineChange | None:
    """Change the default of a parameter."""
    match = re.fullmatch(r"(def .*=)(\d+)(\):)", line)
    if not match:
        return None
    number = rng.choice([n for n in range(2, 41) if str(n) != match[2]])
    return f"{match[1]}{number}{match[3]}", f"default to {match[2]}", line


def _negate(line: str, rng: random.Random) -> LineChange | None:
    """Negate a plain condition."""
    match = re.fullmatch(r"(\s+if )(not )?(\w+\.\w+:)", line)
    return (f"{match[1]}{'' if match[2] else 'not '}{match[3]}", "negate", line) if match else None


def _name(line: str, rng: random.Random) -> LineChange | None:
    """Rename the target of an assignment to the name that the rest of the function uses."""
    match = re.fullmatch(rf"(\s+)({RESULTS})( = .*)", line)
    if not match:
        return None
    other = rng.choice([name for name in SUMS + LISTS if name != match[2] and name not in match[3]])
    return f"{match[1]}{other}{match[3]}", f"call it {match[2]}", line


def _operator(line: str, rng: random.Random) -> LineChange | None:
    """Use another operator."""
    match = re.fullmatch(r"(\s+\w+ )([+*]=)( .*)", line)
    if not match:
        return None
    ways = {"add": "+=", "subtract": "-=", "multiply": "*="}
    way = rng.choice([way for way, sign in ways.items() if sign != match[2]])
    return line, way, f"{match[1]}{ways[way]}{match[3]}"


def _variable(line: str, rng: random.Random) -> LineChange | None:
    """Rename a loop's variable to the name that its body uses."""
    match = re.fullmatch(r"(\s+for )(\w+)( in \w+:)", line)
    if not match:
        return None
    other = rng.choice(
        [name for name in LOOPS + NOUNS if name != match[2] and name not in match[3]]
    )
    return f"{match[1]}{other}{match[3]}", f"take each as {match[2]}", line


# Difficulty 1 to 10.
KINDS: tuple[Callable[[str, random.Random], LineChange | None], ...] = (
    _start,
    _default,
    _loop,
    _variable,
    _name,
    _field,
    _limit,
    _negate,
    _operator,
    _returned,
)


@dataclass
class Rewrite:
    """The task of changing a line.

    The prompt is `rewrite OLD LINE: INSTRUCTION`. The answer is the function after it; the changed
    line is its one hole. Difficulty is the kind of change, 1 to 10: start, default, loop, variable,
    name, field, limit, negate, operator, return.
    """

    name: str = field(default="rewrite", init=False)

    def draw(self, rng: random.Random) -> Example:
        difficulty = rng.randint(1, len(KINDS))
        while True:
            snippet = draw_function(rng)
            for spot in rng.sample(snippet.lines, len(snippet.lines)) if snippet.fits() else ():
                change = KINDS[difficulty - 1](snippet.text[spot.start : spot.end], rng)
                if change is None:
                    continue
                old, instruction, new = change
                prompt = f"rewrite {old.strip().removesuffix(':')}: {instruction}"
                answer = snippet.text[: spot.start] + new + snippet.text[spot.end :]
                if (
                    count_tokens(prompt) <= MAX_PROMPT_TOKENS
                    and count_tokens(new) <= MAX_HOLE_TOKENS
                    and count_tokens(answer) <= MAX_TOKENS
                ):
                    hole = spot.start, spot.start + len(new)
                    return Example(prompt, answer, difficulty, (hole,))

    def check(self, example: Example, text: str) -> bool:
        """Return True for the changed line; white space that Python ignores may differ."""
        return keeps(example.answer, example.holes, text) and same_python(
            example.answer, text, rename=False
        )
