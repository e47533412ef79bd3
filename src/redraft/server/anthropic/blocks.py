"""Blocks: messages of blocks as the messages of a chat, and the answer as blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redraft.drawn import token_hex
from redraft.errors import RequestError
from redraft.server.anthropic.schemas import Block
from redraft.server.images import chat_image, data_url, text_and_images
from redraft.server.json_object import JsonObject

Message = JsonObject


def new_id(kind: str) -> str:
    """Return a new id; `kind` is msg or toolu."""
    return f"{kind}_{token_hex(12)}"


def messages_of(messages: Sequence[Message], system: str | list[Block] | None) -> list[Message]:
    """Return the messages of a chat.

    Raises:
        RequestError: a message or a block cannot be read, or the last message is the assistant's.
    """
    found: list[Message] = []
    if system:
        found.append({"role": "system", "content": _text_of(system, "system")})
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        match message:
            case {"role": "user", "content": content}:
                found += _user(_blocks(content, place), place)
            case {"role": "assistant", "content": content}:
                found.append(_assistant(_blocks(content, place), place))
            case {"role": "system", "content": content}:
                found.append({"role": "system", "content": _text_of(content, place)})
            case _:
                raise RequestError(f"{place} needs a role, user or assistant, and a content")
    if found and found[-1]["role"] == "assistant":
        raise RequestError(
            "the last message is the assistant's: the begin of an answer cannot be given, say it "
            "in a user's message"
        )
    return found


def _blocks(content: Any, place: str) -> list[Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise RequestError(f"{place}: the content is a text, or a list of blocks")
    return content


def _user(blocks: list[Block], place: str) -> list[Message]:
    """Return the results of tools, then the rest of a user's message, their images before it."""
    results: list[Message] = []
    images: list[Block] = []
    parts: list[Block] = []
    for at, block in enumerate(blocks):
        here = f"{place}.content[{at}]"
        if block.get("type") == "tool_result":
            content = _blocks(block.get("content") or "", here)
            text, shown = text_and_images([_part(one, here) for one in content])
            images += shown
            said = f"error: {text}" if block.get("is_error") is True else text
            results.append(
                {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": said}
            )
        else:
            parts.append(_part(block, here))
    if images or parts or not results:
        results.append({"role": "user", "content": _plain([*images, *parts])})
    return results


def _assistant(blocks: list[Block], place: str) -> Message:
    parts: list[Block] = []
    thoughts: list[str] = []
    message: Message = {"role": "assistant"}
    for at, block in enumerate(blocks):
        match block:
            case {"type": "thinking", "thinking": str(text)}:
                thoughts.append(text)
            case {"type": "redacted_thinking"}:
                pass
            case {"type": "tool_use", "name": name}:
                arguments = json.dumps(block.get("input") or {})
                call = {"name": name, "arguments": arguments}
                entry = {"id": block.get("id"), "type": "function", "function": call}
                message.setdefault("tool_calls", []).append(entry)
            case _:
                parts.append(_part(block, f"{place}.content[{at}]"))
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    return message | {"content": _plain(parts) if parts else None}


def _part(block: Block, place: str) -> Block:
    """Return a block as a part of a chat's content."""
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "source": {"type": "base64", "data": str(data)} as source}:
            return chat_image(data_url(data, source.get("media_type")), block)
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return chat_image(url, block)
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            return {"type": "text", "text": text}
    raise RequestError(
        f"{place}: a block of type {block.get('type')!r} cannot be read: text, images, thinking, "
        "and the use and results of tools can"
    )


def _plain(parts: list[Block]) -> Any:
    """Return parts, or the text that they are where they are text alone."""
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _text_of(content: Any, place: str) -> str:
    """Return the text of a system prompt or a result.

    Raises:
        RequestError: it holds something else.
    """
    texts = [_part(block, place) for block in _blocks(content, place)]
    if any(part["type"] != "text" for part in texts):
        raise RequestError(f"{place}: only text can stand here")
    return "".join(part["text"] for part in texts)
