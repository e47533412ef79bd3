"""Items: the input of a response as the messages of a chat, and the answer as items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redraft.drawn import token_hex
from redraft.errors import RequestError
from redraft.server.images import chat_image, text_and_images
from redraft.server.json_object import JsonObject
from redraft.server.responses.schemas import Item

Message = JsonObject


def new_id(kind: str) -> str:
    """Return a new id; `kind` is resp, msg, rs or fc."""
    return f"{kind}_{token_hex(16)}"


def messages_of(items: Sequence[Item], instructions: str | None) -> list[Message]:
    """Return the messages that items are; reasoning and calls join the assistant's next or last.

    Raises:
        RequestError: an item cannot be read.
    """
    found: list[Message] = []
    images: list[Item] = []  # of outputs, which stand behind all outputs of one turn
    if instructions is not None:
        found.append({"role": "system", "content": instructions})
    for at, item in enumerate(items):
        if images and item.get("type") != "function_call_output":
            found.append({"role": "user", "content": images})
            images = []
        images += _add(found, item, f"input[{at}]")
    return found + ([{"role": "user", "content": images}] if images else [])


def _add(found: list[Message], item: Item, place: str) -> list[Item]:
    """Add an item to messages; return the images of an output."""
    kind = item.get("type", "message" if "role" in item else None)
    match kind:
        case "message":
            _add_message(found, item, place)
        case "function_call":
            call = {
                "id": item.get("call_id"),
                "type": "function",
                "function": {"name": item.get("name"), "arguments": item.get("arguments")},
            }
            _assistants(found).setdefault("tool_calls", []).append(call)
        case "function_call_output":
            output, images = _output(item.get("output"), place)
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
            return images
        case "reasoning":
            if text := _reasoning(item):
                found.append({"role": "assistant", "content": None, "reasoning_content": text})
        case _:
            raise RequestError(
                f"{place}: an item of type {kind!r} cannot be read: messages, reasoning, and calls "
                "of functions and their outputs can"
            )
    return []


def _add_message(found: list[Message], item: Item, place: str) -> None:
    role = item.get("role")
    content = _content(item.get("content"), place)
    if role == "developer":
        role = "system"
    last = found[-1] if found else {}
    # Reasoning that came before belongs to this message; one that has calls or text is whole.
    begun = last.get("role") == "assistant" and last.get("content") is None
    if role == "assistant" and begun and "tool_calls" not in last:
        last["content"] = content
        return
    found.append({"role": role, "content": content})


def _assistants(found: list[Message]) -> Message:
    """Return the assistant's message that a call belongs to: the last one, or a new one."""
    if not found or found[-1].get("role") != "assistant":
        found.append({"role": "assistant", "content": None})
    return found[-1]


def _content(content: Any, place: str) -> Any:
    """Return the content of a message with parts as a chat has them."""
    if not isinstance(content, list):
        return content
    return [_part(part, f"{place}.content[{at}]") for at, part in enumerate(content)]


def _part(part: Any, place: str) -> Any:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "refusal"}:
            return part
        case {"type": "input_image", "image_url": str(url)}:
            return chat_image(url, part)
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise RequestError(f"{place}: a part of type {kind!r} cannot be read: text and images can")


def _output(output: Any, place: str) -> tuple[str, list[Item]]:
    """Return the text and the images that a function put out."""
    if isinstance(output, str):
        return output, []
    if isinstance(output, list):
        parts = [_part(part, f"{place}.output[{at}]") for at, part in enumerate(output)]
        if all(part["type"] in ("text", "image_url") for part in parts):
            return text_and_images(parts)
    raise RequestError(
        f"{place}: the output of a function is a text, or a list of texts and images"
    )


def _reasoning(item: Item) -> str:
    """Return the text of a reasoning item; its summary where it has no content."""
    for name in ("content", "summary"):
        parts = item.get(name)
        if isinstance(parts, list):
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            if text := "".join(text for text in texts if isinstance(text, str)):
                return text
    return ""


def reasoning_item(name: str, text: str, *, summarised: bool) -> Item:
    """Return an item of reasoning."""
    return {
        "id": name,
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": text}] if summarised else [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def message_item(name: str, text: str, logprobs: Sequence[Any] | None, status: str) -> Item:
    """Return an item of text."""
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [output_text(text, logprobs)],
    }


def output_text(text: str, logprobs: Sequence[Any] | None = None) -> Item:
    """Return a part of text; its log-probabilities have the form of a chat's."""
    likely = list(logprobs or [])
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": likely}


def call_item(name: str, call: JsonObject) -> Item:
    """Return an item of a call; `call` is in the form of a chat."""
    function = call["function"]
    return {
        "id": name,
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        "name": function["name"],
        "arguments": function["arguments"],
    }
