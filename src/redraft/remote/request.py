"""Requests to another engine, checked before they are sent."""

from __future__ import annotations

import base64
import io
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redraft.config.generation import GenerationConfig, check_names
from redraft.errors import RequestError
from redraft.remote.capabilities import NOT_OVER_HTTP, Capabilities

JsonObject = dict[str, Any]
PROMPT_OPTIONS = (
    "tools",
    "documents",
    "thinking",
    "chat_template_kwargs",
    "template",
    "sanitize_control_tokens",
    "add_special_tokens",
)
IMAGE_PARTS = ("image", "image_url", "input_image")


@dataclass(frozen=True, kw_only=True)
class RemoteRequest:
    """The arguments of a call: those of `generate`, as there."""

    prompt: Any = None
    messages: Sequence[Mapping[str, Any]] | None = None
    method: str = "diffusion"
    frozen: Mapping[int, int] | None = None
    constraint: Any = None
    sampler: Any = None
    stopping: Any = None
    drafts: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def body(self, engine: Capabilities) -> JsonObject:
        """Return the request, without the name of its model.

        Raises:
            UnsupportedByEngineError: the engine lacks something that is asked for.
            RequestError, ConfigError: an argument cannot be used.
        """
        if (self.prompt is None) == (self.messages is None):
            raise RequestError("give either a prompt or messages")
        if self.frozen:
            raise engine.lacks("frozen", NOT_OVER_HTTP)
        if self.drafts and not engine.drafts:
            raise engine.lacks("drafts=True")
        settings = {
            name: value
            for name, value in self.options.items()
            if name not in PROMPT_OPTIONS and value is not None
        }
        check_names(settings, other_names=PROMPT_OPTIONS)
        GenerationConfig().with_options(settings)  # values out of their range
        stream: JsonObject = {"include_usage": True}
        if self.drafts:
            stream["include_drafts"] = True
        body: JsonObject = {"stream": True, "stream_options": stream}
        body |= self._settings(engine, settings) | self._strategies(engine)
        body |= self._prompt() | self._prompt_options(engine)
        if self.constraint is not None:
            body["response_format"] = self._format(engine)
        return body

    def _settings(self, engine: Capabilities, settings: Mapping[str, Any]) -> JsonObject:
        found: JsonObject = {}
        for name, value in settings.items():
            if name not in engine.fields:
                raise engine.lacks(name)
            found[engine.fields[name]] = list(value) if isinstance(value, tuple) else value
        return found

    def _strategies(self, engine: Capabilities) -> JsonObject:
        given = {"sampler": self.sampler, "stopping": self.stopping}
        found = {name: value for name, value in given.items() if value is not None}
        if self.method != "diffusion":
            found["method"] = self.method
        for name, value in found.items():
            if not engine.strategies:
                raise engine.lacks(name)
            if not isinstance(value, str | Mapping):
                raise engine.lacks(f"{name}={value!r}", "give its name, and its options")
        return found

    def _prompt(self) -> JsonObject:
        if self.messages is not None:
            return {"messages": [_message(one) for one in self.messages]}
        if isinstance(self.prompt, str):
            return {"prompt": self.prompt}
        try:
            return {"prompt": [operator.index(token) for token in self.prompt]}
        except TypeError:
            raise RequestError("a prompt is a text, or token ids: give a str or integers") from None

    def _prompt_options(self, engine: Capabilities) -> JsonObject:
        found: JsonObject = {}
        for name in PROMPT_OPTIONS:
            value = self.options.get(name)
            if value is None:
                continue
            if (name == "add_special_tokens") == (self.messages is not None):
                kind = "messages" if self.messages is not None else "a prompt"
                raise RequestError(f"{name} means nothing with {kind}: leave it out")
            if name == "thinking":
                continue
            if name not in engine.further:
                raise engine.lacks(name)
            found[name] = list(value) if isinstance(value, tuple) else value
        thinking = self.options.get("thinking")
        if thinking is None:
            return found
        head, _, inner = engine.thinking.partition(".")
        if not head:
            raise engine.lacks("thinking")
        if not inner:
            return found | {head: thinking}
        return found | {head: {**found.get(head, {}), inner: thinking}}

    def _format(self, engine: Capabilities) -> JsonObject:
        """Return the constraint as a response format."""
        kind, value = _constraint(self.constraint, engine)
        has = engine.constraints if self.messages is not None else engine.raw_constraints
        if kind not in has:
            what = "constraint" if not engine.constraints else f"a constraint of kind {kind}"
            raise engine.lacks(what)
        if kind == "json_schema":
            return {"type": kind, kind: {"name": "answer", "schema": value}}
        return {"type": kind, kind: value}


def _constraint(given: Any, engine: Capabilities) -> tuple[str, Any]:
    """Return the kind of a constraint and what it is made of."""
    if not engine.constraints:
        raise engine.lacks("constraint")
    import json

    from redraft.grammar import Choice, Grammar, JsonSchema, Regex, as_constraint

    constraint = as_constraint(given)
    match constraint:
        case Regex():
            return "regex", constraint.pattern
        case Choice():
            return "choice", list(constraint.texts)
        case Grammar() if constraint.start == "start":
            return "grammar", constraint.source
        case JsonSchema():
            return "json_schema", json.loads(constraint.source)
    raise engine.lacks(f"a {type(constraint).__name__}")


def _message(message: Mapping[str, Any]) -> JsonObject:
    """Return a message whose images are data URLs, in OpenAI's form."""
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return dict(message)
    return {**message, "content": [_part(part) for part in content]}


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image":
        return part
    source = part.get("image", part.get("url", part.get("path")))
    extra = {name: part[name] for name in ("detail", "max_soft_tokens") if name in part}
    if isinstance(source, str) and source.startswith(("data:", "http:", "https:")):
        url = source
    else:
        from redraft.images.read import read_image

        url = _data_url(read_image(source, files=True))
    return {"type": "image_url", "image_url": {"url": url} | extra}


def _data_url(pixels: Any) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
