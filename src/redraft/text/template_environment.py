"""CompiledTemplate: one Jinja template, with all that transformers hands to a template.

It runs in a sandbox, because a checkpoint is not trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, cached_property
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from redraft.errors import ChatTemplateError, CheckpointError
from redraft.text.control_tokens import marks_in_ascii, without_marks
from redraft.text.json_value import Json

# A text that no template writes by itself, and a role that none knows.
PROBE, OTHER_ROLE = "redraft-probe", "redraft-role"
# Roles that a conversation may have, whether a template names them or not.
ROLES = frozenset(("system", "developer", "user", "assistant", "model", "tool", "function"))
# Characters of a prompt. A template may write a value of the request once for each message.
MAX_PROMPT = 16 << 20


class CompiledTemplate:
    """A compiled template.

    Args:
        source: the template.

    Raises:
        CheckpointError: the template is not valid.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(
                f"the checkpoint's chat template is not valid: {error}"
            ) from error
        except RecursionError:
            raise CheckpointError("the checkpoint's chat template is nested too deeply") from None
        except Exception as error:  # such as a number of more digits than Python reads
            reason = str(error) or type(error).__name__
            raise CheckpointError(
                f"the checkpoint's chat template cannot be compiled: {reason}"
            ) from error

    def render(self, variables: Mapping[str, Json]) -> str:
        """Return the template's text.

        Raises:
            ChatTemplateError: the template refuses the variables, or fails, or writes too much.
        """
        written: list[str] = []
        left = MAX_PROMPT
        try:
            for part in self._template.generate(variables):
                left -= len(part)
                if left < 0:
                    break
                written.append(part)
        except Exception as error:  # a template is a program: it can raise anything
            reason = str(error) or type(error).__name__
            raise ChatTemplateError(
                f"the checkpoint's chat template refuses these messages: {reason}"
            ) from error
        if left < 0:
            raise ChatTemplateError(
                f"the prompt would have more than {MAX_PROMPT} characters: send less, or shorter "
                "variables of the template"
            )
        return "".join(written)

    @cached_property
    def literal_text(self) -> str:
        """All text that stands in the template, with NUL between two pieces."""
        tree = _environment().parse(self.source)
        written = {node.data for node in tree.find_all(nodes.TemplateData)}
        return "\0".join(sorted(written | self._constants))

    @cached_property
    def _constants(self) -> frozenset[str]:
        """The texts that stand in the template's expressions."""
        found = _environment().parse(self.source).find_all(nodes.Const)
        return frozenset(node.value for node in found if isinstance(node.value, str))

    def reads_parts(self, role: str) -> bool:
        """Return True where the template reads a content of this role that is a list of parts.

        It is rendered once for each role that it names, and once for all others.
        """
        known = role in ROLES or role in self._constants
        return self._parts_by_role(role if known else OTHER_ROLE)

    @cached_property
    def _parts_by_role(self) -> Callable[[str], bool]:
        return cache(self._reads_parts)

    def _reads_parts(self, role: str) -> bool:
        """Render a conversation in which that role has one part, and look for its text alone."""
        message: dict[str, Json] = {"role": role, "content": [{"type": "text", "text": PROBE}]}
        user: dict[str, Json] = {"role": "user", "content": "x"}
        call: Json = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}
        caller: dict[str, Json] = {"role": "assistant", "content": "", "tool_calls": [call]}
        before = {"tool": [user, caller], "assistant": [user], "model": [user]}.get(role, [])
        after = [user] if role in ("system", "developer") else []
        text = self._try({"messages": [*before, message | {"tool_call_id": "1"}, *after]})
        return PROBE in text and "'text'" not in text and '"text"' not in text

    @cached_property
    def copies_schemas(self) -> bool:
        """True where the template writes tools as they are, in JSON; False where it takes them
        apart, and so can lose or misread what it does not know."""
        described: Json = {"anyOf": [{"type": "string", "description": PROBE}, {"type": "null"}]}
        parameters: Json = {"type": "object", "properties": {"p": described}}
        function: Json = {"name": "f", "description": "x", "parameters": parameters}
        tool: Json = {"type": "function", "function": function}
        user: Json = {"role": "user", "content": "x"}
        return PROBE in self._try({"messages": [user], "tools": [tool]})

    def _try(self, variables: Mapping[str, Json]) -> str:
        """Return the text, empty where the template refuses."""
        try:
            return self.render({"tools": None, "documents": None} | dict(variables))
        except ChatTemplateError:
            return ""


class _Generation(Extension):
    """`{% generation %}`: the tag marks what a model writes; here it writes its body."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        # Constants are not folded: a template that is only compiled computes nothing.
        optimized=False,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    environment.filters["tojson"] = _to_json
    environment.filters["dictsort"] = _dictsort
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers' `tojson` filter does: Jinja's own escapes HTML."""
    text = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return marks_in_ascii(text) if ensure_ascii else text


def _dictsort(
    value: Mapping[str, object],
    case_sensitive: bool = False,
    by: str = "key",
    reverse: bool = False,
) -> list[tuple[str, object]]:
    """Sort as Jinja does, as if no text had marks."""
    if by not in ("key", "value"):
        raise jinja2.exceptions.FilterArgumentError('You can only sort by either "key" or "value"')

    def order(item: tuple[str, object]) -> Any:
        one = item[by == "value"]
        text = without_marks(one) if isinstance(one, str) else one
        return text.lower() if isinstance(text, str) and not case_sensitive else text

    return sorted(value.items(), key=order, reverse=reverse)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
