"""Messages: a conversation as chat templates expect it.

Objects become plain data, keys without a value go, reasoning gets its one name, the arguments of
calls become mappings, and text parts are joined for templates that cannot read them. Images are
taken out: a template sees that there is one, and not what is in it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redraft.errors import ChatTemplateError
from redraft.text.image_parts import IMAGE_PARTS, ImagePart, image_part
from redraft.text.json_counts import MAX_PARTS, MAX_TEXTS, MAX_VALUES, Counts, counted
from redraft.text.json_value import Json
from redraft.text.plain_data import plain

Message = Mapping[str, Any]
PlainMessage = dict[str, Json]

# The names under which clients send a message's reasoning. Templates read the first.
REASONING = ("reasoning_content", "thinking", "reasoning")
# Roles whose messages may have no content: calls, reasoning or a result can stand in its place.
MODEL_ROLES, TOOL_ROLES = ("assistant", "model"), ("tool", "function")
# A role is a word. Templates write it between control tokens.
ROLE = re.compile(r"[^\s<>|]+")
# What a template sees of an image.
IMAGE: dict[str, Json] = {"type": "image"}
# The types of parts that are text, and the key of each that holds the text.
TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}


def plain_messages(
    messages: Sequence[Message],
    reads_parts: Callable[[str], bool],
    images: list[ImagePart] | None = None,
) -> list[PlainMessage]:
    """Return messages for a chat template.

    Args:
        messages: mappings, dataclasses or pydantic models with `role` and `content`.
        reads_parts: says for a role whether the template reads a content that is a list of parts.
        images: gets the images of the messages, in their order.

    Raises:
        ChatTemplateError: there are no messages, or one is not valid; the error names it.
        ImageError: a part for an image holds none.
    """
    images = [] if images is None else images
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ChatTemplateError(f"messages is a {type(messages).__name__}: give a list")
    if not messages:
        raise ChatTemplateError("messages is empty: give at least one")
    counts = Counts()
    return [
        _plain_message(message, f"messages[{at}]", reads_parts, images, counts)
        for at, message in enumerate(messages)
    ]


def _plain_message(
    given: object,
    place: str,
    reads_parts: Callable[[str], bool],
    images: list[ImagePart],
    counts: Counts,
) -> PlainMessage:
    message = plain(_without_images(given, place, images), place)
    if not isinstance(message, dict):
        several = ": messages are one conversation" if isinstance(message, list) else ""
        raise ChatTemplateError(
            f"{place} needs a role and content, it is a {type(given).__name__}{several}"
        )
    message = {key: value for key, value in message.items() if value is not None}
    role = message.get("role")
    if not isinstance(role, str) or not ROLE.fullmatch(role):
        raise ChatTemplateError(f"{place} needs a role, which is a word: {role!r} is none")
    reasoning = next((message[name] for name in REASONING if name in message), None)
    if reasoning is not None:
        message = {"thinking": reasoning} | message | {"reasoning_content": reasoning}
    if (calls := message.get("tool_calls")) is not None:
        message["tool_calls"] = _plain_calls(calls, f"{place}.tool_calls", counts)
    content = message.get("content")
    if refusal := message.pop("refusal", None):
        # OpenAI keeps what the model refused to say in a field of its own. It is what was said.
        said = [] if content is None else [{"type": "text", "text": content}]
        parts = content if isinstance(content, list) else said
        content = [*parts, {"type": "refusal", "refusal": refusal}]
    if isinstance(content, list):
        read = [_plain_part(part, f"{place}.content[{at}]") for at, part in enumerate(content)]
        message["content"] = list(read) if reads_parts(role) else _joined(read, place)
    elif not isinstance(content, str) and not _may_lack_text(role, content):
        raise ChatTemplateError(f"{place} has no content: {content!r}")
    return message


def _may_lack_text(role: str, content: Json) -> bool:
    """Return True where a content that is no text is right: a tool's result may be any mapping."""
    return role in TOOL_ROLES or (role in MODEL_ROLES and content is None)


def _without_images(given: object, place: str, images: list[ImagePart]) -> object:
    """Return a message in which an image is a part of type `image` alone; `images` gets the rest.

    An image may be any object, which is no JSON.
    """
    message: object = given if isinstance(given, Mapping) else plain(given, place)
    if not isinstance(message, Mapping):
        return message
    if not isinstance(content := message.get("content"), list | tuple):
        return message
    parts: list[object] = []
    for at, part in enumerate(content):
        here = f"{place}.content[{at}]"
        whole = part if isinstance(part, Mapping) else plain(part, here)
        kind = whole.get("type") if isinstance(whole, Mapping) else None
        if isinstance(whole, Mapping) and isinstance(kind, str) and kind in IMAGE_PARTS:
            images.append(image_part(whole, kind, here))
            whole = dict(IMAGE)
        parts.append(whole)
    return {**message, "content": parts}


def _plain_part(part: Json, place: str) -> dict[str, Json]:
    """Return a part of a content as one of type `text` or `image`."""
    if part == IMAGE:
        return dict(IMAGE)
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    key = TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if key is None or not isinstance(part, dict):
        raise ChatTemplateError(
            f"{place}: a part of type {kind!r} cannot be read: only text and images can"
        )
    if not isinstance(text := part.get(key), str):
        raise ChatTemplateError(f"{place}: a part of type {kind!r} needs a text in {key!r}")
    return part if kind == "text" else {"type": "text", "text": text}


def _joined(parts: list[dict[str, Json]], place: str) -> str:
    """Return the text of all parts, for a template that reads no parts."""
    if IMAGE in parts:
        raise ChatTemplateError(
            f"{place}: the chat template of this checkpoint writes no place for an image: it reads "
            "texts, and no parts"
        )
    return "".join(str(part["text"]) for part in parts)


def _plain_calls(calls: Json, place: str, counts: Counts) -> list[Json]:
    if not isinstance(calls, list):
        raise ChatTemplateError(f"{place} must be a list of calls")
    return [_plain_call(call, f"{place}[{at}]", counts) for at, call in enumerate(calls)]


def _plain_call(call: Json, place: str, counts: Counts) -> Json:
    """Return a call with `function`, whose arguments are a mapping."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ChatTemplateError(f"{place} needs a function with a name and arguments")
    assert isinstance(call, dict)
    arguments = _arguments(function.get("arguments"), f"{place}.function.arguments", counts)
    named = {"name": function["name"], "arguments": arguments}
    if function is call:
        return {"type": "function"} | call | named | {"function": named}
    return call | {"function": function | named}


def _arguments(arguments: Json, place: str, counts: Counts) -> Json:
    """Return the arguments of a call: a mapping, or the JSON text of one.

    No arguments, and an empty text, are the empty mapping.

    Args:
        counts: what the arguments of all calls hold so far.
    """
    if isinstance(arguments, str) and arguments.strip():
        counts.add(counted(arguments.encode(errors="replace")))
        if counts.is_too_much:
            raise ChatTemplateError(
                f"{place} and those before it have more than {MAX_VALUES} values, {MAX_PARTS} "
                f"lists, objects and members, or {MAX_TEXTS} texts"
            )
        try:
            arguments = json.loads(
                arguments,
                parse_constant=_no_constant,
                parse_float=_finite,
                object_pairs_hook=_members,
            )
        except (ValueError, RecursionError) as error:
            raise ChatTemplateError(
                f"{place} must be a JSON object, and it is not JSON: {error}"
            ) from error
    elif isinstance(arguments, str):
        arguments = None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise ChatTemplateError(
            f"{place} must be a JSON object, it is a {type(arguments).__name__}"
        )
    return plain(arguments, place)


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, _ in pairs if counts[name] > 1)
        raise ValueError(f"the member {twice!r} comes twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number
