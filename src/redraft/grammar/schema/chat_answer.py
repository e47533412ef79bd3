"""ChatAnswer: an assistant's turn, of which calls and the final answer are constrained."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar.budget import budgeted
from redraft.grammar.constraint import Constraint
from redraft.grammar.language.charset import ANY_CHARACTER
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    optional,
    special_token,
    union,
)
from redraft.grammar.schema.json_schema import DEFAULT_DEPTH
from redraft.grammar.schema.tools import Arguments, CallSyntax, ToolCalls
from redraft.text import Tokenizer, read_answer
from redraft.text.reasoning import THINK, ReasoningChannel
from redraft.text.tokenizer import TokenIds
from redraft.text.tool_calls import CallTokens


class ChatAnswer(Constraint):
    """Thoughts, then calls of tools or a final answer.

    Without `final` text is free, and every call in it is a call of one of the tools. With `final`
    the turn is calls alone, or a text of `final` alone. `Finished.parsed` is a list of ToolCall
    where there are any, else the value of the final answer.

    Args:
        tools: functions as OpenAI's API has them. The arguments of a tool with `strict: true` are
            of its schema; those of others are free, and with `final` any that can be read.
        final: what the answer must be where it calls no tool.
        required: at least one call; `final` does not hold then.
        max_calls: the limit on the number of calls; None for no limit.
        thinking: thoughts may come first. Where text is free they may come anyway.
        opened: the prompt leaves a channel open: the answer begins in a thought.
        depth: as for JsonSchema.

    Raises:
        ConstraintError: a tool has no name, or its schema cannot be used.
        RequestError, when it is used: the tokenizer has no tokens for tool calls.
    """

    has_special_tokens = True

    @budgeted
    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        final: Constraint | None = None,
        required: bool = False,
        max_calls: int | None = None,
        thinking: bool = False,
        opened: bool = False,
        depth: int = DEFAULT_DEPTH,
    ) -> None:
        if required and not tools:
            raise ConstraintError("a call is required, and there are no tools")
        if final is not None and final.has_special_tokens:
            raise ConstraintError("the final answer is a text: give a constraint without calls")
        self._syntax: CallSyntax | None = None
        if tools:
            # Where nothing but calls and an answer may stand, a call must be one that can be read.
            others: Arguments = "schema" if required else "free" if final is None else "object"
            self._syntax = CallSyntax(tools, depth=depth, others=others)
        self._final, self._required, self._max_calls = final, required, max_calls
        self._thinking, self._opened = thinking, opened

    @property
    def can_be_cut(self) -> bool:
        return self._final is None and not self._required

    @property
    def key(self) -> Hashable:
        source = self._syntax and self._syntax.key
        final = self._final and (type(self._final), self._final.key)
        return source, final, self._required, self._max_calls, self._thinking, self._opened

    def character_dfa(self, tokenizer: TokenIds) -> DFA:
        calls = None if self._syntax is None else self._syntax.call(CallTokens.of(tokenizer))
        thoughts = _Thoughts(tokenizer)
        if not self.can_be_cut:
            answer = self._closed_answer(calls, tokenizer)
            thought = Repeat(thoughts.thought) if self._thinking or self._opened else EMPTY_TEXT
            return minimal_dfa(concat(self._lead(thoughts), thought, answer))
        free = Repeat(union([Symbol(ANY_CHARACTER), thoughts.thought]))
        parts = free if calls is None else self._mixed(free, calls)
        answer = concat(self._lead(thoughts), parts, optional(thoughts.begun))
        # A turn may end within a thought, as any text may.
        return minimal_dfa(union([answer, thoughts.body]) if self._opened else answer)

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> object:
        channel = ReasoningChannel.of(tokenizer)
        opening = [channel.open] if self._opened and channel else []
        answer = read_answer(tokens, tokenizer, prompt=opening)
        if answer.calls or self._required:
            return list(answer.calls)
        if self._final is None:
            return answer.content
        return self._final.parse(answer.content, tokens, tokenizer)

    def _lead(self, thoughts: _Thoughts) -> Expression:
        """Return what ends the thought that the prompt began."""
        return concat(thoughts.body, thoughts.close) if self._opened else EMPTY_TEXT

    def _mixed(self, free: Expression, call: Expression) -> Expression:
        return concat(free, Repeat(concat(call, free), 0, self._max_calls))

    def _closed_answer(self, call: Expression | None, tokenizer: TokenIds) -> Expression:
        forms: list[Expression | str] = []
        if call is not None:
            forms.append(Repeat(call, 1, self._max_calls))
        if self._final is not None and not self._required:
            forms.append(Language(self._final.character_dfa(tokenizer)))
        return union(forms)


def behind_thoughts(
    constraint: Constraint, prompt: Sequence[int], tokenizer: Tokenizer
) -> Constraint:
    """Return a constraint that binds the answer, and not the thoughts before it.

    It is the constraint itself where the prompt does not ask for thoughts.
    """
    thinking, opened = thoughts_in(prompt, tokenizer)
    if not (thinking or opened) or isinstance(constraint, ChatAnswer):
        return constraint
    if isinstance(constraint, ToolCalls):
        return ChatAnswer(
            constraint.tools,
            required=True,
            max_calls=constraint.max_calls,
            thinking=thinking,
            opened=opened,
            depth=constraint.depth,
        )
    if constraint.has_special_tokens:
        return constraint
    return ChatAnswer(final=constraint, thinking=thinking, opened=opened)


def thoughts_in(prompt: Sequence[int], tokenizer: Tokenizer) -> tuple[bool, bool]:
    """Return True where a prompt asks for thoughts, and True where it leaves a channel open."""
    channel = ReasoningChannel.of(tokenizer)
    if channel is None:
        return False, False
    return tokenizer.token_id(THINK) in prompt, channel.opened_in(prompt) is not None


class _Thoughts:
    """Expressions of thoughts; empty languages where a tokenizer has no channel.

    Attributes:
        body: the text of a thought; calls in it are text. close: the token that ends it.
        begun: a thought without its end. thought: a whole one.
    """

    def __init__(self, tokenizer: TokenIds) -> None:
        channel, ids = ReasoningChannel.of(tokenizer), CallTokens.find(tokenizer)
        inner = [ids.open, ids.close, ids.quote] if ids else []
        self.body: Expression = Repeat(
            union([Symbol(ANY_CHARACTER), *(special_token(token) for token in inner)])
        )
        self.close: Expression = EMPTY_LANGUAGE
        self.begun: Expression = EMPTY_LANGUAGE
        if channel is not None:
            self.close = special_token(channel.close)
            self.begun = concat(special_token(channel.open), self.body)
        self.thought = concat(self.begun, self.close)
