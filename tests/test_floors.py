"""The floors of the house: a file imports only from floors below its own."""

from __future__ import annotations

import pytest

from tests.imports import MODULES, circles, outside, reached_packages, statements, uses

# Floors from the ground up. A room (a folder, or a file beside the folders) imports from floors
# below, and from its own floor only as ARROWS say.
FLOORS = [
    ["errors", "events", "config", "short_repr", "notebook", "drawn"],
    ["ops", "text", "images", "tasks"],
    ["network", "quant", "diffusion", "grammar"],
    ["checkpoint", "engine", "adapters"],
    ["editing", "train", "remote"],
    ["api"],
    ["evals", "testing", "capacity"],
    ["server", "cli", "web", "client", "batch", "cluster"],
]
ARROWS = {
    ("config", "errors"): "a setting that cannot be used is an error",
    ("events", "short_repr"): "an event is shown in a line",
    ("events", "notebook"): "in a notebook an event shows its canvas",
    ("server", "web"): "the server hands out the page",
    ("cli", "server"): "`redraft serve` starts it",
    ("batch", "server"): "a line means what the same request means to the server",
    ("cli", "batch"): "`redraft batch` runs it",
    ("cli", "cluster"): "`--ray` runs both on a cluster",
    ("cluster", "batch"): "a worker answers lines as the job's own process does",
    ("cluster", "server"): "a replica is the server's application",
}
WITHOUT_TORCH = (
    "errors", "events", "config", "short_repr", "notebook", "drawn", "text", "images", "tasks", "web", "client",
)  # fmt: skip
# What a room leaves alone although it lies below: (room, module or package, reason).
FORBIDDEN = [
    ("editing", "network", "editing hands work to the engine"),
    ("editing", "diffusion.denoise", "the loop has one driver, the engine"),
    ("cli", "network", "a face is thin: it speaks to the API"),
    ("server", "network", "a face is thin: it speaks to the API"),
]

HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
# The root and the door of `python -m redraft` are above all floors.
NAMES = [name for name, module in MODULES.items() if name not in ("", "__main__")]


def problem(name: str, other: str) -> str:
    """Return why a module must not import another, or nothing where it may."""
    mine, theirs = MODULES[name].room, MODULES[other].room
    if mine == theirs:
        return ""
    for room, closed, reason in FORBIDDEN:
        if mine == room and f"{other}.".startswith(f"{closed}."):
            return f"{name} imports {other}: {reason}"
    if HEIGHT[theirs] < HEIGHT[mine] or (mine, theirs) in ARROWS:
        return ""
    return f"{name} imports {other}, which is not below it"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_imports_only_from_floors_below(name: str) -> None:
    assert MODULES[name].room in HEIGHT, f"{name} is on no floor: give it one"
    broken = {other: problem(name, other) for other in uses(name) if other}
    assert not [why for why in broken.values() if why]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_takes_only_the_version_from_the_package_itself(name: str) -> None:
    assert not [what for module, what in statements(name) if (module, what) == ("redraft", "")]
    taken = {what for module, what in statements(name) if module == "redraft"}
    assert taken <= {"__version__"} | set(NAMES), f"{name} takes {taken} from redraft itself"


@pytest.mark.parametrize("name", NAMES)
def test_the_lower_rooms_do_without_torch(name: str) -> None:
    if MODULES[name].room in WITHOUT_TORCH:
        assert not outside(name) & {"torch", "transformers"}


def test_transformers_is_no_run_time_dependency() -> None:
    assert not [name for name in MODULES if "transformers" in outside(name)]


def test_no_module_imports_in_a_circle() -> None:
    """By the modules that define what is imported, and by those that the imports name."""
    for edges in (uses, reached_packages):
        graph = {name: {other for other in edges(name) if other} for name in NAMES}
        assert not circles(graph), circles(graph)


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [["a", "b", "c"]]
