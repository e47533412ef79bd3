"""The imports of src/redraft, read from the source: which module uses which.

A name that a package hands on (`from redraft.diffusion import Canvas`) is followed to the module
that defines it. Imports inside functions and under TYPE_CHECKING count like all others.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "redraft"


@dataclass(frozen=True)
class Module:
    """One source file. `name` is dotted without `redraft.`, "" is the package itself."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        return self.name.split(".")[0]


def dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): Module(dotted(path), path) for path in sorted(SOURCE.rglob("*.py"))}
FOLDERS = {path.name for path in SOURCE.iterdir() if path.is_dir()}


@cache
def statements(name: str) -> tuple[tuple[str, str], ...]:
    """Return the (module, name) pairs that a module imports, with full dotted module names."""
    found = []
    for node in ast.walk(ast.parse(MODULES[name].path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{MODULES[name].path} has a relative import"
            found += [(node.module or "", alias.name) for alias in node.names]
    return tuple(found)


def outside(name: str) -> set[str]:
    """Return the top packages that a module imports from outside of redraft."""
    return {module.split(".")[0] for module, _ in statements(name)} - {"redraft"}


def home(module: str, name: str) -> str:
    """Return the module of redraft that defines what `from module import name` brings."""
    below = f"{module}.{name}".removeprefix("redraft.")
    if below in MODULES:
        return below
    short = module.removeprefix("redraft").removeprefix(".")
    for source, handed_on in statements(short):
        if handed_on == name and source.startswith("redraft."):
            return home(source, name)
    return short


@cache
def uses(name: str) -> frozenset[str]:
    """Return the modules of redraft that a module imports from."""
    inside = [pair for pair in statements(name) if pair[0].split(".")[0] == "redraft"]
    return frozenset(home(module, imported) for module, imported in inside) - {name}


def reached_packages(name: str) -> frozenset[str]:
    """Return the modules that are named in import statements as they stand, packages among them."""
    named = [module for module, _ in statements(name) if module.startswith("redraft.")]
    return frozenset(module.removeprefix("redraft.") for module in named) - {name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected groups of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == order[node]:
            start = stack.index(node)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found
