"""What a user may give as a constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar.constraint import Constraint
from redraft.grammar.schema import JsonSchema


def as_constraint(given: Any) -> Constraint | None:
    """A Constraint as it is, and None; a JSON Schema, or a pydantic model class, as JSON.

    Raises:
        ConstraintError: it is something else.
    """
    if given is None or isinstance(given, Constraint):
        return given
    if isinstance(given, Mapping) or hasattr(given, "model_json_schema"):
        return JsonSchema(given)
    raise ConstraintError(
        f"{given!r} is no constraint: give a Regex, Choice, JsonSchema or Grammar"
    )
