"""ToolCalls: calls of given tools, with arguments of the tools' schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from redraft.config.check import check_integer
from redraft.errors import ConstraintError
from redraft.grammar.budget import budgeted
from redraft.grammar.constraint import Constraint
from redraft.grammar.job import is_elsewhere
from redraft.grammar.language.charset import ANY_CHARACTER
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    special_token,
    union,
)
from redraft.grammar.located import located
from redraft.grammar.schema.compiler import SchemaCompiler
from redraft.grammar.schema.json_schema import DEFAULT_DEPTH
from redraft.grammar.schema.subschema import json_text
from redraft.grammar.schema.syntax import Syntax, call_syntax
from redraft.text import Tokenizer
from redraft.text.json_value import Json
from redraft.text.tokenizer import TokenIds
from redraft.text.tool_calls import CALL_PREFIX, CallTokens, ToolCall, tool_calls

TOOL_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
Arguments: TypeAlias = Literal["schema", "object", "free"]
# The parameters in place of those of tools that are not strict; None for free text.
LOOSE: dict[str, Json] = {"object": {"type": "object"}, "free": None}
NO_PARAMETERS: Json = {"type": "object", "additionalProperties": False}


class ToolCalls(Constraint):
    """One or more tool calls in Gemma's syntax; `Finished.parsed` is a list of ToolCall.

    Args:
        tools: functions as OpenAI's API has them, with `name` and `parameters` (the JSON Schema of
            an object), bare or under `function`.
        max_calls: the limit on the number of calls.
        depth: as for JsonSchema.

    Raises:
        ConstraintError: a tool has no name, or its schema cannot be used.
        RequestError, when it is used: the tokenizer has no tokens for tool calls.
    """

    has_special_tokens = True

    @budgeted
    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        max_calls: int = 1,
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        check_integer("max_calls", max_calls, minimum=1)
        check_integer("depth", depth, minimum=0)
        self._syntax = CallSyntax(tools, depth=depth)
        self.tools = tuple(tools)
        self.max_calls, self.depth = max_calls, depth

    @property
    def key(self) -> Hashable:
        return self._syntax.key, self.max_calls

    def character_dfa(self, tokenizer: TokenIds) -> DFA:
        call = self._syntax.call(CallTokens.of(tokenizer))
        return minimal_dfa(Repeat(call, 1, self.max_calls))

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> list[ToolCall]:
        return tool_calls(tokens, tokenizer)


class CallSyntax:
    """The calls of given tools.

    Args:
        tools: as for ToolCalls.
        others: the arguments of tools without `strict: true`: of their "schema", any "object", or
            "free" text.

    Raises:
        ConstraintError: a tool has no name, or its schema cannot be used.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        depth: int = DEFAULT_DEPTH,
        others: Arguments = "schema",
    ) -> None:
        if not isinstance(tools, list | tuple) or not tools:
            raise ConstraintError("tools are a list of functions, one at least")
        source = json_text(list(tools))
        self.key: Hashable = source, depth, others
        self._depth = depth
        self._tools = []
        for number, tool in enumerate(json.loads(source)):
            name, parameters = _name_and_parameters(number, tool)
            is_bound = others == "schema" or is_strict(tool)
            self._tools.append((name, parameters if is_bound else LOOSE[others]))
        names = [name for name, *_ in self._tools]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ConstraintError(f"two tools have the name {min(repeated)!r}")
        # Errors in a schema do not depend on the tokenizer: raise them now, with any ids.
        if not is_elsewhere():
            self.call(CallTokens(0, 1, 2))

    def call(self, ids: CallTokens) -> Expression:
        """Return one call of any of the tools."""
        quote = special_token(ids.quote)
        syntax = call_syntax(quote)
        opening, closing = special_token(ids.open), special_token(ids.close)
        free = concat("{", Repeat(union([Symbol(ANY_CHARACTER), quote])), "}")
        calls: list[Expression | str] = []
        for name, parameters in self._tools:
            bound = parameters is not None
            arguments = self._arguments(name, parameters, syntax) if bound else free
            calls.append(concat(opening, CALL_PREFIX, name, arguments, closing))
        return union(calls)

    def _arguments(self, name: str, parameters: Json, syntax: Syntax) -> Expression:
        with located(f"tool {name}"):
            return Language(SchemaCompiler(parameters, syntax, self._depth).compile(["object"]))


def is_strict(tool: Json) -> bool:
    """Return True where a tool asks that its arguments always match its schema."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return isinstance(function, dict) and function.get("strict") is True


def _name_and_parameters(number: int, tool: Json) -> tuple[str, Json]:
    """Return the name and the parameters' schema of a tool."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise ConstraintError(
            f"tool {number} has no name: give a function with name and parameters, not {tool!r}"
        )
    if not re.fullmatch(TOOL_NAME, name):
        raise ConstraintError(
            f"tool {number}: {name!r} is no name: use letters, digits, _, - and ."
        )
    return name, function.get("parameters") or NO_PARAMETERS
