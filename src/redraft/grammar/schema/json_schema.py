"""JsonSchema: texts that are JSON of a schema."""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

from redraft.config.check import check_integer
from redraft.errors import ConstraintError
from redraft.grammar.budget import budgeted
from redraft.grammar.constraint import MAX_CACHED, TextConstraint
from redraft.grammar.job import is_elsewhere
from redraft.grammar.language.dfa import DFA
from redraft.grammar.schema.compiler import SchemaCompiler
from redraft.grammar.schema.subschema import json_text
from redraft.grammar.schema.syntax import json_syntax
from redraft.text import Tokenizer

DEFAULT_DEPTH = 3


class SchemaClass(Protocol):
    """A class with a JSON Schema, as pydantic's models are."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """Return the schema."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> object:
        """Return the instance that a JSON text describes."""
        ...


class JsonSchema(TextConstraint):
    """JSON texts whose value a schema admits; `Finished.parsed` is that value.

    Args:
        schema: a dictionary, a boolean or JSON text, bare or as OpenAI's `response_format` has it;
            or a pydantic model class, and then `parsed` is an instance of it.
        depth: how often a definition may be nested inside itself.
        space: a pattern for the white space inside brackets and behind commas and colons.

    Attributes:
        model: the class of the values; None for a schema.

    Raises:
        ConstraintError: a keyword is not supported or has a wrong value; the message names the
            place.
        ConstraintUnsatisfiedError: the schema admits no value.
    """

    @budgeted
    def __init__(
        self,
        schema: Mapping[str, Any] | bool | str | type[SchemaClass],
        *,
        depth: int = DEFAULT_DEPTH,
        space: str = " ?",
    ) -> None:
        check_integer("depth", depth, minimum=0)
        self.model: type[SchemaClass] | None = None
        if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
            self.model = schema
        self.source = json_text(_without_wrapper(_schema_of(schema)))
        self.depth, self.space = depth, space
        if not is_elsewhere():
            for sentence in self.warnings:
                warnings.warn(sentence, stacklevel=2)

    @property
    def key(self) -> Hashable:
        return self.source, self.depth, self.space

    def build(self) -> DFA:
        return self._compiled[0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each keyword that is not known, and so has no effect."""
        return self._compiled[1]

    @cached_property
    def _compiled(self) -> tuple[DFA, tuple[str, ...]]:
        return _compiled(self.source, self.depth, self.space)

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> object:
        return json.loads(text) if self.model is None else self.model.model_validate_json(text)


@lru_cache(maxsize=MAX_CACHED)
def _compiled(source: str, depth: int, space: str) -> tuple[DFA, tuple[str, ...]]:
    """Return the DFA of a schema, and a sentence for each keyword that has no effect."""
    compiler = SchemaCompiler(json.loads(source), json_syntax(space), depth)
    return compiler.compile(), tuple(compiler.warnings())


def _schema_of(schema: object) -> object:
    """Return the schema of a class, or of a JSON text; any other value as it is."""
    try:
        if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
            return schema.model_json_schema()
        return json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError, TypeError) as error:
        raise ConstraintError(f"the schema is not JSON: {error}") from None
    except Exception as error:  # pydantic's own, for a class that JSON cannot describe
        raise ConstraintError(f"{schema!r} has no JSON Schema: {error}") from None


def _without_wrapper(schema: object) -> object:
    """Return the schema inside OpenAI's `response_format`; any other value as it is."""
    if isinstance(schema, Mapping) and schema.get("type") == "json_schema":
        schema = schema.get("json_schema", schema)
    if not isinstance(schema, Mapping) or "type" in schema:
        return schema
    inner = schema.get("schema")
    return inner if isinstance(inner, Mapping) else schema
