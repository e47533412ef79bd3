from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from redraft.config.special_tokens import SPECIAL_TOKENS

SOURCE = Path(__file__).parents[2] / "src" / "redraft"
HOME = SOURCE / "config" / "special_tokens.py"
# Names of one token id, or of several. `pad` and `eos` as words, so not `padding` or `F.pad(...)`.
TOKEN = re.compile(r"(?:^|_)(?:token|eos|bos|pad|unk|end_of_turn)(?:_token)?(?:_ids?)?$", re.I)


def names_a_token(node: ast.AST) -> bool:
    name = getattr(node, "id", getattr(node, "attr", getattr(node, "arg", "")))
    return isinstance(name, str) and TOKEN.search(name) is not None


def is_id(node: ast.AST | None) -> bool:
    """True for the number of a special token, and for a list, tuple or set that holds one."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(is_id(element) for element in node.elts)
    return (
        isinstance(node, ast.Constant) and type(node.value) is int and node.value in SPECIAL_TOKENS
    )


def spelt(source: str) -> list[int]:
    """Return the lines that compare a token with, or set one to, the number of a special token."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        pairs: list[tuple[ast.AST, ast.AST | None]] = []
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                equal = all(
                    isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops
                )
                pairs = [(a, b) for a in sides for b in sides if a is not b and equal]
            case ast.Assign():
                pairs = [(target, node.value) for target in node.targets]
            case ast.AnnAssign():
                pairs = [(node.target, node.value)]
            case ast.keyword():
                pairs = [(node, node.value)]
            case ast.arguments():
                places = [*node.posonlyargs, *node.args]
                pairs = list(zip(places[::-1], node.defaults[::-1], strict=False))
                pairs += list(zip(node.kwonlyargs, node.kw_defaults, strict=True))
        if any(names_a_token(name) and is_id(value) for name, value in pairs):
            lines.append(getattr(node, "lineno", 0))
    return lines


@pytest.mark.parametrize(
    "path",
    sorted(set(SOURCE.rglob("*.py")) - {HOME}),
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_no_other_module_spells_the_id_of_a_special_token(path: Path) -> None:
    assert not spelt(path.read_text()), "use the names in config/special_tokens.py"


@pytest.mark.parametrize(
    "line",
    [
        "found = [token for token in tokens if token != 1]",
        "if token in (1, 106): pass",
        "if 106 == end_of_turn: pass",
        "eos_token_id: tuple[int, ...] = (1, 106)",
        "config(eos_token_id=[1, 106])",
        "def f(*, bos_token_id: int | None = 2): pass",
        "def f(text, pad=0): pass",
        "class A:\n    pad_token_id: int = 0",
    ],
)
def test_such_a_number_is_found(line: str) -> None:
    assert spelt(line)


@pytest.mark.parametrize(
    "line", ["0 <= token < size", "max_tokens = 4", "token == 300", "padding = 2", "tokens = [0]"]
)
def test_other_numbers_are_left_alone(line: str) -> None:
    assert not spelt(line)
