"""JsonSchema: texts that are JSON of a schema."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from redraft.config.check import check_integer
from redraft.errors import ConstraintError
from redraft.grammar.constraint import Constraint
from redraft.grammar.language.dfa import DFA
from redraft.grammar.schema.compiler import Compiler
from redraft.grammar.schema.keywords import as_json
from redraft.grammar.schema.syntax import json_syntax
from redraft.text import Tokenizer

DEPTH = 3


class JsonSchema(Constraint):
    """JSON that a schema admits; `Finished.parsed` is its value.

    Args:
        schema: the schema, as a dictionary, a boolean or JSON text, bare or as OpenAI's
            `response_format` has it; or a pydantic model class, of which `parsed` is then an
            instance.
        depth: how often what refers to itself may stand inside itself.
        space: the pattern of what may stand beside brackets, behind commas and behind colons.

    Raises:
        ConstraintError: a keyword that is not supported, or a wrong value; the message names the
            place.
        ConstraintUnsatisfiedError: the schema admits nothing.
    """

    def __init__(self, schema: Any, *, depth: int = DEPTH, space: str = " ?") -> None:
        check_integer("depth", depth, minimum=0)
        self.model: Any = (
            schema if isinstance(schema, type) and hasattr(schema, "model_json_schema") else None
        )
        try:
            if self.model is not None:
                schema = self.model.model_json_schema()
            elif isinstance(schema, str):
                schema = json.loads(schema)
        except (ValueError, RecursionError, TypeError) as error:
            raise ConstraintError(f"the schema is not JSON: {error}") from None
        except Exception as error:  # pydantic's own, for a class that has no JSON
            raise ConstraintError(f"{schema!r} has no JSON Schema: {error}") from None
        self.source = as_json(_bare(schema))
        self.depth, self.space = depth, space
        self.automaton = Compiler(json.loads(self.source), json_syntax(space), depth).automaton()

    @property
    def key(self) -> Hashable:
        return self.source, self.depth, self.space

    def language(self, tokenizer: Tokenizer) -> DFA:
        return self.automaton

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> Any:
        return json.loads(text) if self.model is None else self.model.model_validate_json(text)


def _bare(schema: Any) -> Any:
    """A schema without what OpenAI's `response_format` has around it."""
    if isinstance(schema, Mapping) and schema.get("type") == "json_schema":
        schema = schema.get("json_schema", schema)
    if (
        isinstance(schema, Mapping)
        and isinstance(schema.get("schema"), Mapping)
        and "type" not in schema
    ):
        return schema["schema"]
    return schema
