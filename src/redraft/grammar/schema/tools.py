"""ToolCalls: calls of given tools, their arguments by the tools' schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from redraft.config.check import check_integer
from redraft.errors import ConstraintError
from redraft.grammar.constraint import Constraint
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import Expression, Repeat, Texts, chain, either, special
from redraft.grammar.schema.compiler import Compiler
from redraft.grammar.schema.constraint import DEPTH
from redraft.grammar.schema.keywords import as_json
from redraft.grammar.schema.syntax import call_syntax
from redraft.text import Tokenizer
from redraft.text.tool_calls import CallTokens, ToolCall, tool_calls

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


class ToolCalls(Constraint):
    """One to `most` calls in Gemma's syntax; `Finished.parsed` is a list of ToolCall.

    Args:
        tools: functions as OpenAI's interface has them, with `name` and `parameters` (a JSON Schema
            of an object), bare or under `function`.
        depth: as for JsonSchema.

    Raises:
        ConstraintError: a tool has no name, or its schema cannot be used. RequestError, when it is
            used: the tokenizer has no tokens for tool calls.
    """

    marked = True

    def __init__(
        self, tools: Sequence[Mapping[str, Any]], *, most: int = 1, depth: int = DEPTH
    ) -> None:
        check_integer("most", most, minimum=1)
        check_integer("depth", depth, minimum=0)
        if not isinstance(tools, list | tuple) or not tools:
            raise ConstraintError("tools are a list of functions, one at least")
        self.source = as_json(list(tools))
        self.most, self.depth = most, depth
        self._tools = [
            _checked(number, tool) for number, tool in enumerate(json.loads(self.source))
        ]
        names = [name for name, _ in self._tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConstraintError(f"two tools have the name {min(twice)!r}")
        self._calls(CallTokens(0, 1, 2))  # what is wrong with a schema is told now

    @property
    def key(self) -> Hashable:
        return self.source, self.most, self.depth

    def language(self, tokenizer: Tokenizer) -> DFA:
        return self._calls(CallTokens.of(tokenizer))

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> list[ToolCall]:
        return tool_calls(tokens, tokenizer)

    def _calls(self, tokens: CallTokens) -> DFA:
        syntax = call_syntax(special(tokens.quote))
        calls: list[Expression] = []
        for name, parameters in self._tools:
            try:
                arguments = Texts(Compiler(parameters, syntax, self.depth).automaton(["object"]))
            except ConstraintError as error:
                raise type(error)(f"tool {name}: {error}") from None
            calls.append(
                chain(special(tokens.open), "call:", name, arguments, special(tokens.close))
            )
        return DFA.of(Repeat(either(calls), 1, self.most))


def _checked(number: int, tool: Any) -> tuple[str, Any]:
    """Name and parameters of a tool."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ConstraintError(
            f"tool {number} has no name: give a function with name and parameters, not {tool!r}"
        )
    if not re.fullmatch(NAME, function["name"]):
        raise ConstraintError(
            f"tool {number}: {function['name']!r} is no name: use letters, digits, _, - and ."
        )
    return function["name"], function.get("parameters") or {
        "type": "object",
        "additionalProperties": False,
    }
