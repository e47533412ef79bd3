"""What `help` says of the public API: every parameter, every field, and the errors."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import redraft

# Errors and arguments that are said in the docstring of another one.
ELSEWHERE = re.compile(
    r"(arguments|errors)( and errors)? (as for|are as)|as for `|so are the errors"
)

# Classes that a caller makes and hands over: their methods are for redraft's own calls. The fields
# of the last one are the keys of config.json.
HANDED_OVER = {
    "ChatAnswer",
    "Choice",
    "Grammar",
    "JsonSchema",
    "Quantization",
    "Regex",
    "ToolCalls",
}
WITHOUT_FIELDS = {"ModelConfig"}


def public() -> Iterator[tuple[str, Any]]:
    """Yield what `import redraft` offers: functions, classes, and their methods."""
    for name in redraft.__all__:
        found = getattr(redraft, name)
        yield name, found
        if inspect.isclass(found) and name not in HANDED_OVER:
            for method, function in vars(found).items():
                if method.startswith("_"):
                    continue
                plain = function.__func__ if isinstance(function, classmethod) else function
                if inspect.isfunction(plain) or isinstance(plain, property):
                    yield f"{name}.{method}", plain


ALL = dict(public())
FUNCTIONS = {name: one for name, one in ALL.items() if inspect.isfunction(one)}
CLASSES = {name: one for name, one in ALL.items() if inspect.isclass(one)}


def text_of(one: Any) -> str:
    return inspect.getdoc(one) or ""


def parameters(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.name not in ("self", "cls") and one.kind not in kinds]


@pytest.mark.parametrize("name", ALL)
def test_everything_public_has_a_docstring(name: str) -> None:
    assert len(text_of(ALL[name])) > 10


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_in_the_docstring(name: str) -> None:
    function = FUNCTIONS[name]
    text = text_of(function)
    missing = [one for one in parameters(function) if not re.search(rf"\b{one}\b", text)]
    assert not missing or ELSEWHERE.search(text.lower()), f"{name} does not say {missing}"


@pytest.mark.parametrize("name", [name for name, one in FUNCTIONS.items() if parameters(one)])
def test_a_function_that_takes_something_says_its_errors(name: str) -> None:
    text = text_of(FUNCTIONS[name])
    assert "Raises:" in text or ELSEWHERE.search(text.lower())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CLASSES
        if dataclasses.is_dataclass(CLASSES[name]) and name not in WITHOUT_FIELDS
    ],
)
def test_every_field_is_in_the_docstring(name: str) -> None:
    text = text_of(CLASSES[name])
    fields = [one.name for one in dataclasses.fields(CLASSES[name])]
    missing = [one for one in fields if not re.search(rf"\b{one}\b", text)]
    assert not missing, f"{name} does not say {missing}"


def test_dir_shows_the_api_and_nothing_else() -> None:
    shown = set(dir(redraft))
    assert set(redraft.__all__) <= shown
    assert all(getattr(redraft, name) is not None for name in shown)
    assert not {name for name in shown if name.startswith("_") and not name.startswith("__")}
