"""Random conversations: roles, parts, tools, calls, results, thinking, unicode, control words.

`python -m tests.text.conversations 5000` compares so many with transformers, for each template.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

import redraft
from redraft.checkpoint.source import SHIPPED
from redraft.errors import ChatTemplateError
from redraft.text import ChatTemplate, Tokenizer
from tests.text.templates import OTHERS, RELEASE, find_template

WORDS = (
    "hello", "weather", "naïve", "字漢", "🙂👩‍👩‍👧", "é", "a<b", "x > y", "{}", "[1, 2]", "```py", "\\n",
    "'quoted'", '"quoted"', "&amp;", "<b>", "%}", "{{ x }}", "None", "", " ", "\n", "\n\n", "\t", "﷽",
    "\u200b", "\u202e", "0", "1e9", "<unused1>", "thought", "call:f{", "<", "<|", "|>", "turn>",
)  # fmt: skip
CONTROL = (
    "<bos>", "<eos>", "<pad>", "<|turn>", "<turn|>", "<|turn>system\n", "<turn|>\n<|turn>user\n",
    "<|think|>", "<|channel>", "<channel|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<tool_response|>", '<|"|>', "<|channel>thought\n",
)  # fmt: skip
NAMES = ("f", "get_weather", "search-web", "a.b", "ünï")
KEYS = ("city", "n", "q", "Zeta", "list", "type", "description", "x y", "ключ")


@dataclass
class Conversation:
    """One random conversation.

    Attributes:
        messages: as a client sends them.
        is_valid: False where redraft must refuse it, with a reason.
        has_odd_tools: a schema is one that the release's template cannot read.
    """

    messages: list[Any]
    tools: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    is_valid: bool = True
    has_odd_tools: bool = False


class Generator:
    """Makes conversations; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"conversation {seed}")
        self.made = Conversation([])

    def __call__(self) -> Conversation:
        rng, made = self.rng, self.made
        if rng.random() < 0.4:
            made.messages.append(
                {"role": rng.choice(("system", "developer")), "content": self.content()}
            )
        for _ in range(rng.randint(1, 4)):
            made.messages += self.exchange()
        if rng.random() < 0.5:
            made.tools = [self.tool() for _ in range(rng.randint(0, 3))]
        if rng.random() < 0.1:
            made.documents = [{"title": self.text(), "text": self.text()}]
        if rng.random() < 0.5:
            made.variables["enable_thinking"] = rng.random() < 0.5
        if rng.random() < 0.1:
            made.variables["preserve_thinking"] = True
        if rng.random() < 0.05:
            self.spoil()
        return made

    def text(self) -> str:
        rng = self.rng
        words = [
            rng.choice(CONTROL if rng.random() < 0.08 else WORDS) for _ in range(rng.randint(0, 12))
        ]
        return rng.choice(("", " ")).join(words)

    def content(self) -> Any:
        if self.rng.random() < 0.75:
            return self.text()
        return [{"type": "text", "text": self.text()} for _ in range(self.rng.randint(0, 3))]

    def exchange(self) -> Iterator[dict[str, Any]]:
        rng = self.rng
        yield {"role": "user", "content": self.content()} | self.nothings("name", "tool_calls")
        if rng.random() < 0.15:
            return
        message: dict[str, Any] = {"role": "assistant"} | self.nothings(
            "refusal", "audio", "function_call"
        )
        if rng.random() < 0.4:
            message[rng.choice(("reasoning_content", "reasoning", "thinking"))] = self.text()
        if rng.random() < 0.5:
            yield message | {"content": self.content()} | self.nothings("tool_calls")
            return
        calls = [self.call(number) for number in range(rng.randint(1, 2))]
        contents = ({"content": None}, {}, {"content": ""}, {"content": self.content()})
        yield message | rng.choice(contents) | {"tool_calls": calls}
        for call in rng.sample(calls, rng.randint(0, len(calls))):
            yield self.result(call)

    def nothings(self, *names: str) -> dict[str, None]:
        return {name: None for name in names if self.rng.random() < 0.2}

    def call(self, number: int) -> dict[str, Any]:
        arguments: Any = self.mapping(3)
        if self.rng.random() < 0.7:
            arguments = json.dumps(arguments, ensure_ascii=self.rng.random() < 0.5)
        if self.rng.random() < 0.1:
            arguments = self.rng.choice(("", "{}", " {} ", "null", None))
        function = {"name": self.rng.choice(NAMES), "arguments": arguments}
        return {"id": f"call_{number}", "type": "function", "function": function}

    def result(self, call: dict[str, Any]) -> dict[str, Any]:
        content: Any = self.content() if self.rng.random() < 0.8 else self.mapping(2)
        if self.rng.random() < 0.3:
            content = json.dumps(self.mapping(2))
        named = {"name": call["function"]["name"]} if self.rng.random() < 0.5 else {}
        return {"role": "tool", "tool_call_id": call["id"], "content": content} | named

    def mapping(self, depth: int) -> dict[str, Any]:
        return {self.key(): self.value(depth) for _ in range(self.rng.randint(0, 4))}

    def key(self) -> str:
        if self.rng.random() < 0.02:
            return self.rng.choice(CONTROL) + "key"
        return self.rng.choice(KEYS)

    def value(self, depth: int) -> Any:
        rng = self.rng
        kind = rng.randint(0, 7 if depth else 5)
        if kind == 6:
            return self.mapping(depth - 1)
        if kind == 7:
            return [self.value(depth - 1) for _ in range(rng.randint(0, 3))]
        return (
            self.text(),
            rng.randint(-9, 10**12),
            rng.random(),
            rng.random() < 0.5,
            None,
            self.text(),
        )[kind]

    def tool(self) -> dict[str, Any]:
        function: dict[str, Any] = {"name": self.rng.choice(NAMES), "description": self.text()}
        if self.rng.random() < 0.9:
            function["parameters"] = {
                "type": "object",
                "properties": self.properties(2),
                "required": [],
            }
        return {"type": "function", "function": function}

    def properties(self, depth: int) -> dict[str, Any]:
        return {self.rng.choice(KEYS): self.schema(depth) for _ in range(self.rng.randint(0, 3))}

    def schema(self, depth: int) -> dict[str, Any]:
        rng = self.rng
        if rng.random() < 0.05:
            self.made.has_odd_tools = True
            return deepcopy(rng.choice(ODD_SCHEMAS))
        schema: dict[str, Any] = {
            "type": rng.choice(("string", "integer", "number", "boolean", "array", "object"))
        }
        if rng.random() < 0.5:
            schema["description"] = self.text()
        if rng.random() < 0.1:
            schema["nullable"] = True
        if schema["type"] == "string" and rng.random() < 0.3:
            schema["enum"] = [self.text(), "b"]
        if schema["type"] == "array" and depth:
            schema["items"] = self.schema(depth - 1)
        if schema["type"] == "object" and depth:
            schema |= {"properties": self.properties(depth - 1), "required": ["city"]}
        return schema

    def spoil(self) -> None:
        """Put one thing in that no template could read rightly."""
        rng, messages = self.rng, self.made.messages
        message = rng.choice(messages)
        spoilt = {
            "part": lambda: message.update(
                content=[{"type": "image_url", "image_url": {"url": "x"}}]
            ),
            "role": lambda: message.update(role=rng.choice((3, "us er", "<|turn>x", ""))),
            "content": lambda: messages.append({"role": "user", "content": rng.choice((None, 3))}),
            "arguments": lambda: messages.append(
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"function": {"name": "f", "arguments": rng.choice(BAD_ARGUMENTS)}}
                    ],
                }
            ),
            "calls": lambda: messages.append({"role": "assistant", "tool_calls": [{"id": "1"}]}),
            "object": lambda: messages.append({"role": "user", "content": object()}),
        }
        spoilt[rng.choice(list(spoilt))]()
        self.made.is_valid = False


BAD_ARGUMENTS = ("{", "[1]", "3", '"x"', "{'a': 1}", '{"a": NaN}', 3, [], "nothing", "[" * 5000)
ODD_SCHEMAS: tuple[Any, ...] = (
    {},
    {"type": ["string", "null"]},
    {"type": ["integer", "string"], "description": "either"},
    {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    {"enum": ["a", "b"]},
    {"const": 3},
    {"$ref": "#/properties/city"},
    {"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
    {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"properties": {"a": {}}},
)


def parsed(messages: list[Any]) -> list[Any]:
    """Return messages with the arguments of calls as mappings, by the standard library alone."""
    found = deepcopy(messages)
    for message in found:
        for call in message.get("tool_calls") or ():
            given = call["function"]["arguments"]
            if isinstance(given, str):
                given = json.loads(given) if given.strip() else None
            call["function"]["arguments"] = {} if given is None else given
    return found


def joined(messages: list[Any], roles: tuple[str, ...]) -> list[Any]:
    """Return messages with text for lists of parts, but for the roles whose lists are read."""
    for message in messages:
        if isinstance(message.get("content"), list) and message["role"] not in roles:
            message["content"] = "".join(part["text"] for part in message["content"])
    return messages


# The roles whose lists of parts a template reads, by what stands in the template.
ALL = ("system", "developer", "user", "assistant", "tool")
READ = {
    RELEASE: ALL,
    "gemma3": ("system", "user", "assistant"),
    "llama3_1": (),
    "qwen3": (),
    "qwen3_6": ALL,
}


@dataclass
class Comparison:
    """redraft and transformers on one template and one tokenizer."""

    name: str
    ours: ChatTemplate
    tokenizer: Tokenizer
    theirs: PreTrainedTokenizerBase

    @classmethod
    def of(cls, name: str, source: str, folder: Path) -> Comparison:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).write_bytes((SHIPPED["small-text"] / file).read_bytes())
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
        ours = ChatTemplate.from_folder(folder)
        assert ours is not None
        return cls(name, ours, Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(folder))

    def compare(self, made: Conversation) -> str:
        """Compare one conversation and return what became of it: equal, refused, or invalid."""
        given = deepcopy(made)
        try:
            prompt = self.ours.prompt(
                given.messages, tools=given.tools, documents=given.documents, **given.variables
            )
            text = prompt.text()
        except ChatTemplateError:
            if not made.is_valid:
                return "invalid, refused"
            assert self.reference(made, tokenize=False) is None, made
            return "refused by both"
        if prompt.images:
            # A template may write images; a model without an encoder refuses them afterwards.
            assert not made.is_valid, made
            return "has images"
        assert made.is_valid, made
        assert text == self.reference(made, tokenize=False), made
        ids = prompt.encode(self.tokenizer)
        raw = prompt.encode(self.tokenizer, sanitize_control_tokens=False)
        assert raw == self.reference(made, tokenize=True)
        theirs = self.reference(made, tokenize=True, sanitize_control_tokens=True)
        if ids == theirs:
            return "equal"
        # transformers leaves keys as they are, and texts that a template joins.
        assert self.spelled(ids) == self.spelled(theirs), made
        ours_special, their_special = self.specials(ids), self.specials(theirs)
        assert ours_special < their_special, made
        return "equal, with fewer control tokens"

    def spelled(self, ids: list[int]) -> str:
        return "".join(str(self.tokenizer.backend.id_to_token(token)) for token in ids)

    def specials(self, ids: list[int]) -> Counter[int]:
        special = self.tokenizer.special_tokens()
        return Counter(token for token in ids if token in special)

    def reference(self, made: Conversation, **options: Any) -> Any:
        """Return what transformers makes of it, None where the template refuses."""
        messages = joined(parsed(made.messages), READ[self.name])
        tools = made.tools
        if made.has_odd_tools and tools and self.name == RELEASE:
            # What the release's template cannot read is simplified; its own tests say how.
            tools = [redraft.text.tool_schemas.simple_tool(tool) for tool in tools]
        try:
            found = self.theirs.apply_chat_template(
                messages,
                tools=tools,
                documents=made.documents,
                add_generation_prompt=True,
                **made.variables,
                **options,
            )
        except Exception:  # templates raise what they like
            return None
        return found["input_ids"] if isinstance(found, Mapping) else found


def main(count: int) -> None:
    """Compare `count` conversations for each template, and print what became of them."""
    for name in (RELEASE, *OTHERS):
        source = find_template(name)
        if source is None:
            sys.exit("trl is not installed: pip install --no-deps trl")
        with tempfile.TemporaryDirectory() as folder:
            comparison = Comparison.of(name, source, Path(folder))
            print(
                name, dict(Counter(comparison.compare(Generator(seed)()) for seed in range(count)))
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
