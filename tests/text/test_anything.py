"""Any JSON as messages, tools, documents and variables: a prompt, or one of the project's errors."""

from __future__ import annotations

import random
from typing import Any

import pytest

from redraft.errors import RequestError
from redraft.testing import byte_tokenizer
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.text.control_tokens import ESCAPE, START
from tests.text.templates import RELEASE, find_template

KEYS = (
    "role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "id", "tool_call_id",
    "parameters", "properties", "required", "items", "anyOf", "allOf", "oneOf", "$ref", "$defs", "enum", "const",
    "description", "nullable", "reasoning", "tool_responses", "response", "additionalProperties", "x",
)  # fmt: skip
TEXTS = (
    "user", "assistant", "tool", "system", "text", "function", "string", "object", "array", "null", "", "f", "{}",
    '{"a": 1}', "#", "#/x", "#/properties/x", "#/$defs/x/0", "<|turn>", "\ud800", "é", "\U000f0000", START, ESCAPE,
)  # fmt: skip


class Anything:
    """Draws JSON that resembles messages and schemas, more or less."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"anything {seed}")

    def value(self, depth: int = 5) -> Any:
        rng = self.rng
        kind = rng.random()
        if depth and kind < 0.45:
            return {rng.choice(KEYS): self.value(depth - 1) for _ in range(rng.randint(0, 5))}
        if depth and kind < 0.6:
            return [self.value(depth - 1) for _ in range(rng.randint(0, 3))]
        return rng.choice((*TEXTS, *TEXTS, None, True, False, 0, -1, 1.5, float("nan"), 10**400))

    def likely(self, role: str) -> Any:
        """A message that has a role and a content at least."""
        more = {key: self.value() for key in self.rng.choices(KEYS, k=self.rng.randint(0, 2))}
        return {"role": role, "content": self.rng.choice(("hi", "a<|turn>", self.value()))} | more

    def tool(self) -> Any:
        schema = {"type": "object", "properties": {"x": self.value(), "type": self.value()}} | {
            "$defs": self.value()
        }
        return {"type": "function", "function": {"name": "f", "parameters": schema}}


@pytest.mark.parametrize("name", [RELEASE, None])
def test_anything_is_a_prompt_or_an_error_of_ours(name: str | None) -> None:
    source = TURN_TEMPLATE if name is None else find_template(name)
    if source is None:
        pytest.skip("trl is not installed: pip install --no-deps trl")
    template, tokenizer = ChatTemplate(source, {"bos_token": "<bos>"}), byte_tokenizer()
    prompts = 0
    for seed in range(150):
        anything = Anything(seed)
        messages = [anything.likely(role) for role in anything.rng.choices(TEXTS[:4], k=2)]
        given = anything.rng.choice((messages, messages, anything.value(), [anything.value()]))
        tools = anything.rng.choice((None, [anything.tool()], anything.value(), [anything.value()]))
        documents = anything.rng.choice((None, None, anything.value()))
        try:
            prompt = template.prompt(
                given, tools=tools, documents=documents, enable_thinking=anything.value(0)
            )
            ids = prompt.encode(tokenizer)
        except RequestError as error:
            assert str(error)  # noqa: PT017
            continue
        prompts += 1
        assert tokenizer.decode(ids, special=True) == prompt.text()
    assert prompts > 10
