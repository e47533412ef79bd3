"""Sums as people write them: any width, spaces, brackets, words; result first, then the steps."""

from __future__ import annotations

import ast
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from redraft.config.check import check_integer
from redraft.errors import ConfigError
from redraft.tasks.task import Example

MAX_VALUE = 9999  # of every number, given or worked out
APPLY: dict[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv,
}  # fmt: skip
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}
GLYPHS = {
    "+": ("+",),
    "-": ("-", "-", "-", "\u2212"),
    "*": ("*", "*", "x", "\u00d7"),
    "/": ("/", "/", "÷", ":"),
}
WORDS = {"+": ("plus",), "-": ("minus",), "*": ("times",), "/": ("divided by",)}
# Two numbers and a verb; {0} and {1} are the operands as they stand in the sum.
PAIRS = {
    "+": ("add {0} and {1}", "the sum of {0} and {1}", "add {1} to {0}"),
    "-": ("subtract {1} from {0}", "take {1} from {0}"),
    "*": ("multiply {0} by {1}", "{0} multiplied by {1}"),
    "/": ("divide {0} by {1}",),
}
FRAMES = (
    "{}", "{}", "{}", "{}=", "{} =", "{} = ?", "calc {}", "calc {}", "calc {}", "what is {}?",
    "what is {}", "what's {}?", "compute {}", "how much is {}?", "calculate {}",
    "please calculate {}",
)  # fmt: skip
# Never seen in training: what the held-out generator says.
HELD_OUT_PAIRS = {
    "+": ("{0} added to {1}", "the total of {0} and {1}"),
    "-": ("{0} less {1}", "the difference between {0} and {1}"),
    "*": ("the product of {0} and {1}",),
    "/": ("{0} over {1}",),
}
HELD_OUT_FRAMES = (
    "can you work out {}?",
    "evaluate {}",
    "{} equals",
    "tell me {}",
    "i need {}",
    "solve {}.",
)
PAIRED = 0.5  # share of the sums of two numbers that are said with a verb
SAID = 0.15  # share of the others whose signs are words
TRIES = 1000


@dataclass(frozen=True)
class Node:
    """A number, or an operation on two of them."""

    sign: str
    value: int
    operands: tuple[Node, ...] = ()


@dataclass
class Sums:
    """Sums with the usual precedence. Difficulty is the number of operations.

    The prompt is as people type it, `what is 7 + 3*4?`; the answer is `19;3*4=12;7+12=19`: the
    result, then the steps, brackets and products first. Every value lies within 0 to 9999, but for
    the result, which may be below zero. Divisions have no remainder.

    Attributes:
        min_operations, max_operations: the bounds of their number.
        phrasing: "training", or "held-out" for words that training never has.
    """

    min_operations: int = 1
    max_operations: int = 5
    phrasing: str = "training"
    name: str = field(default="sums", init=False)

    def __post_init__(self) -> None:
        check_integer("min_operations", self.min_operations, minimum=1)
        check_integer("max_operations", self.max_operations, minimum=self.min_operations)
        if self.phrasing not in ("training", "held-out"):
            raise ConfigError(f"{self.phrasing=} must be training or held-out")

    def draw(self, rng: random.Random) -> Example:
        count = rng.randint(self.min_operations, self.max_operations)
        for _ in range(TRIES):
            node = _node(count, rng)
            if node is not None:
                steps = [f"{one}{sign}{two}={result}" for one, sign, two, result in worked(node)]
                return Example(self._said(node, rng), ";".join((str(node.value), *steps)), count)
        raise AssertionError(f"no sum of {count} operations was found")

    def check(self, example: Example, text: str) -> bool:
        """Compare the results alone, which stand first."""
        return text.split(";")[0].strip() == example.answer.split(";")[0]

    def _said(self, node: Node, rng: random.Random) -> str:
        held = self.phrasing == "held-out"
        pairs, frames = (HELD_OUT_PAIRS, HELD_OUT_FRAMES) if held else (PAIRS, FRAMES)
        plain = not any(operand.operands for operand in node.operands)
        if plain and rng.random() < PAIRED:
            pair = rng.choice(pairs[node.sign])
            text = pair.format(*(operand.value for operand in node.operands))
        else:
            text = written(node, rng)
        text = rng.choice(frames).format(text)
        return text[:1].upper() + text[1:] if rng.random() < 0.2 else text


def worked(node: Node) -> list[tuple[int, str, int, int]]:
    """Return the steps (left, sign, right, result) that work a sum out, from the left, operands
    before what is done with them."""
    if not node.operands:
        return []
    one, two = node.operands
    return [*worked(one), *worked(two), (one.value, node.sign, two.value, node.value)]


def written(node: Node, rng: random.Random) -> str:
    """Write a sum with the brackets it needs, now and then one more, in some style of signs."""
    if rng.random() < SAID:
        signs = {sign: f" {rng.choice(words)} " for sign, words in WORDS.items()}
    else:
        space = rng.choice(("", "", " ", " "))
        signs = {sign: space + rng.choice(glyphs) + space for sign, glyphs in GLYPHS.items()}
    more = 0.05 if rng.random() < 0.3 else 0.0

    def write(node: Node, binds: int, right: bool) -> str:
        if not node.operands:
            return str(node.value)
        one, two = node.operands
        mine = BINDS[node.sign]
        text = write(one, mine, False) + signs[node.sign] + write(two, mine, True)
        needed = mine < binds or (mine == binds and right)
        return f"({text})" if needed or rng.random() < more else text

    text = write(node, 0, False)
    return text[1:-1] if text.startswith("(") and _closes_at_end(text) else text


def value_of(text: str) -> int:
    """Return the value of a sum in Python's signs; the oracle of `worked`."""
    tree = ast.parse(text, mode="eval").body

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            assert isinstance(node.value, int)
            return node.value
        assert isinstance(node, ast.BinOp)
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(node.op)]
        return APPLY[sign](value(node.left), value(node.right))

    return value(tree)


def _closes_at_end(text: str) -> bool:
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if not depth:
            return at == len(text) - 1
    return False


def _node(count: int, rng: random.Random) -> Node | None:
    """Return a random sum of `count` operations, or None where its values would not do."""
    if not count:
        digits = rng.choices((1, 2, 3, 4), (4, 5, 2, 1))[0]
        return Node("", rng.randrange(10**digits))
    left = rng.choice((count - 1, count - 1, 0, rng.randrange(count)))
    one, two = _node(left, rng), _node(count - 1 - left, rng)
    if one is None or two is None:
        return None
    sign = rng.choices("+-*/", (4, 4, 3, 1))[0]
    if sign == "/" and not one.operands and two.value:
        one = Node("", two.value * rng.randint(0, 20))  # a number that can be divided
    return _joined(one, sign, two)


def _joined(one: Node, sign: str, two: Node) -> Node | None:
    if one.value < 0 or two.value < 0 or one.value > MAX_VALUE:
        return None
    if sign == "/" and (not two.value or one.value % two.value):
        return None
    if sign == "*" and min(one.value, two.value) > 20:
        return None
    result = APPLY[sign](one.value, two.value)
    return Node(sign, result, (one, two)) if abs(result) <= MAX_VALUE else None
