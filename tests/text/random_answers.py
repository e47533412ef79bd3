"""Random answers as Gemma 4 writes them, with what they say, and transformers' reading of them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from transformers.cli.serving import utils
from transformers.utils.chat_parsing import parse_response

(GEMMA4,) = (
    template for names, template in utils._RESPONSE_TEMPLATE_FALLBACKS.items() if "gemma4" in names
)
QUOTE = '<|"|>'
SPACES = ["", "", "", " ", "\n", "  ", "\n\t", " \n "]
CHARACTERS = "abc xyz é 😀 \n , : { } [ ] \" ' \\ = 0 1 < > | call: true null // \t 中 ß".split(" ")
KEYS = ["a", "city", "days_2", "größe", "x9", "Name"]
NAMES = ["f", "weather", "get_time", "tool_2"]
# What transformers does not read as a name, and Gemma 4 writes.
ODD_NAMES = ["get-time", "mcp.search", "google:mcp:create-pdf", "fs/read"]
ENDS = ["<turn|>", "<|tool_response>", "<eos>", ""]


@dataclass
class Expected:
    """What an answer says."""

    text: str = ""
    content: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def runs(self) -> list[str]:
        """Texts that calls part."""
        found = [""]
        for part in self.content:
            if part:
                found[-1] += part
            else:
                found.append("")
        return [run for run in found if run]


def characters(rng: random.Random, most: int) -> str:
    return "".join(
        rng.choice(CHARACTERS) + rng.choice(["", "", " "]) for _ in range(rng.randint(0, most))
    )


def value(rng: random.Random, depth: int = 0) -> Any:
    kinds = ["string", "string", "int", "float", "bool", "null"]
    match rng.choice(kinds + (["list", "dict"] * 2 if depth < 3 else [])):
        case "string":
            return characters(rng, 8)
        case "int":
            return rng.choice([0, -1, 7, 42, 10**15, -(2**63), rng.randint(-999, 999)])
        case "float":
            return rng.choice([0.5, -1.25, 1e-7, 2.5e30, 0.1, rng.uniform(-100, 100)])
        case "bool":
            return rng.random() < 0.5
        case "null":
            return None
        case "list":
            return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return arguments(rng, depth + 1)


def arguments(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    return {key: value(rng, depth) for key in rng.sample(KEYS, rng.randint(0, 3))}


class Writer:
    """Writes values as a model may. style: canonical, spaced (both of which transformers reads),
    or odd."""

    def __init__(self, rng: random.Random, style: str) -> None:
        self.rng, self.style = rng, style

    def space(self) -> str:
        return "" if self.style == "canonical" else self.rng.choice(SPACES)

    def string(self, text: str) -> str:
        forms = {"canonical": "q", "spaced": "qqj", "odd": "qjjs"}[self.style]
        match self.rng.choice(forms):
            case "j":
                return json.dumps(text, ensure_ascii=self.rng.random() < 0.5)
            case "s":
                inner = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
                return "'" + inner.replace("\t", "\\t") + "'"
        return f"{QUOTE}{text}{QUOTE}"

    def key(self, key: str) -> str:
        forms = {"canonical": "b", "spaced": "bbqj", "odd": "bqjs"}[self.style]
        match self.rng.choice(forms):
            case "b":
                return key
            case "j":
                return json.dumps(key, ensure_ascii=False)
            case "s":
                return f"'{key}'"
        return f"{QUOTE}{key}{QUOTE}"

    def write(self, one: Any) -> str:
        if isinstance(one, str):
            return self.string(one)
        if isinstance(one, dict):
            separator = ":=" if self.style == "odd" else ":"
            parts = [
                f"{self.space()}{self.key(key)}{self.space()}{self.rng.choice(separator)}"
                f"{self.space()}{self.write(inner)}{self.space()}"
                for key, inner in one.items()
            ]
            return "{" + self.joined(parts) + self.space() + "}"
        if isinstance(one, list):
            parts = [f"{self.space()}{self.write(inner)}{self.space()}" for inner in one]
            return "[" + self.joined(parts) + self.space() + "]"
        if self.style == "odd" and (one is None or isinstance(one, bool)):
            return self.rng.choice([json.dumps(one), repr(one)])
        return json.dumps(one)

    def joined(self, parts: list[str]) -> str:
        trailing = "," if self.style == "odd" and parts and self.rng.random() < 0.2 else ""
        return ",".join(parts) + trailing


BROKEN = [
    "f{{}}", "call:{{a:1}}", "call:f{{a:1", "call:f{{a:}}", "call:f{{a:x}}", "call:f g{{}}",
    "call:f{{a:01}}", "call:f{{a:1e999}}", "call:f{{a:NaN}}", "call:f{{a:[1 2]}}",
    "call:f{{}}x", "call:f{{a:{q}x}}", "call:f", "", "call:f{{a:1 b:2}}", "call:f{{,}}", "call:f{{a:1,,b:2}}",
    'call:f{{a:"\\ud800"}}', "call:f{{a:'it's'}}", "call:f({{}})", "call:f{{a:<|think|>1}}", "call:f<|think|>g{{}}",
]  # fmt: skip


def answer(rng: random.Random, *, odd: bool = True) -> Expected:
    """Draw an answer. odd: with what transformers cannot read."""
    found = Expected()
    for _ in range(rng.choice([0, 0, 1, 1, 2]) if odd else rng.choice([0, 1])):
        thought(rng, found)
        if odd and rng.random() < 0.3:
            plain(rng, found)
    for _ in range(rng.randint(0, 4)):
        match rng.choice(["plain", "call", "call", "broken" if odd else "call"]):
            case "plain":
                plain(rng, found)
            case "call":
                call(rng, found, odd=odd)
            case "broken":
                body = rng.choice(BROKEN).format(q=QUOTE)
                found.text += f"<|tool_call>{body}<tool_call|>"
                found.unreadable.append(body)
                found.content.append(f"<|tool_call>{body}<tool_call|>")
        if rng.random() < 0.2:
            plain(rng, found)
    if odd and found.text.endswith("<tool_call|>") and rng.random() < 0.4:
        found.text = found.text.removesuffix("<tool_call|>")
        if found.content and found.content[-1].endswith("<tool_call|>"):
            found.content[-1] = found.content[-1].removesuffix("<tool_call|>")
    found.text += rng.choice(ENDS)
    return found


def thought(rng: random.Random, found: Expected) -> None:
    text = "so " + characters(rng, 8)
    if rng.random() < 0.3:
        text += "<|tool_call>call:never{a:1}<tool_call|> no"
    found.text += f"<|channel>thought\n{text}\n<channel|>"
    found.thoughts.append(text)


def plain(rng: random.Random, found: Expected) -> None:
    text = rng.choice(["\n", " ", "ok " + characters(rng, 10), characters(rng, 6)])
    if text:
        found.text += text
        found.content.append(text)


def call(rng: random.Random, found: Expected, *, odd: bool) -> None:
    style = rng.choice(["canonical", "spaced", "odd"] if odd else ["canonical", "spaced"])
    writer = Writer(rng, style)
    name = rng.choice(ODD_NAMES if style == "odd" and rng.random() < 0.3 else NAMES)
    given = arguments(rng)
    opening = (
        f"{writer.space()}call{writer.space()}:{writer.space()}" if style == "odd" else "call:"
    )
    text = f"{opening}{name}{writer.space()}{writer.write(given)}{writer.space()}"
    found.text += f"<|tool_call>{text}<tool_call|>"
    found.calls.append((name, given))
    found.content.append("")  # a call ends a run of text


def read_by_transformers(text: str) -> dict[str, Any] | None:
    """Return the message that transformers reads; None where it cannot."""
    try:
        return parse_response(text, GEMMA4, prefix="")
    except ValueError:
        return None
