"""The floors of the house: a file imports only from its own floor's earlier rooms and from floors
below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "redraft"
# Floors from the ground up. A room imports from floors below; from its own floor only as ARROWS
# say.
FLOORS = [
    ["errors", "events"],
    ["config"],
    ["ops", "text", "tasks"],
    ["network", "diffusion", "quant"],
    ["checkpoint", "grammar"],
    ["engine", "train"],
    ["editing"],
    ["evals", "testing", "web"],
    ["server"],
    ["cli"],
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
ARROWS: set[tuple[str, str]] = set()
WITHOUT_TORCH = ("errors", "events", "config", "text", "tasks", "web")


def imports(path: Path) -> list[str]:
    """Every module that a file imports, also inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.append(node.module or "")
    return names


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


FILES = sorted(
    path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem in HEIGHT
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_floors_below(path: Path) -> None:
    mine = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert mine in HEIGHT, f"{mine} is on no floor: give it one"
    for module in imports(path):
        if not module.startswith("redraft.") or (theirs := room(module)) == mine:
            continue
        below = HEIGHT[theirs] < HEIGHT[mine]
        assert below or (mine, theirs) in ARROWS, f"{mine} imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_lower_rooms_do_without_torch(path: Path) -> None:
    if path.relative_to(SOURCE).parts[0].removesuffix(".py") in WITHOUT_TORCH:
        assert not any(
            module.split(".")[0] in ("torch", "transformers") for module in imports(path)
        )


def test_transformers_is_no_run_time_dependency() -> None:
    assert not [
        path
        for path in SOURCE.rglob("*.py")
        if any(m.split(".")[0] == "transformers" for m in imports(path))
    ]
