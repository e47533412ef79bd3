"""Images of other dialects as OpenAI's data URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redraft.server.json_object import JsonObject
from redraft.text.image_parts import OPTIONS

# The first characters of files in base64, and what they are.
HEADS = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


def data_url(data: str, kind: object = None) -> str:
    """Return the data URL of an image in base64.

    Args:
        kind: its media type; unless given, what its first characters say.
    """
    if data.startswith("data:"):
        return data
    found = next((name for head, name in HEADS.items() if data.startswith(head)), "image/png")
    return f"data:{kind if isinstance(kind, str) else found};base64,{data}"


def chat_image(url: str, options: Mapping[str, Any]) -> JsonObject:
    """Return an image as a part of a chat's content, with those of `options` that images have."""
    given = {name: options[name] for name in OPTIONS if options.get(name) is not None}
    return {"type": "image_url", "image_url": {"url": url} | given}


def text_and_images(parts: Sequence[JsonObject]) -> tuple[str, list[JsonObject]]:
    """Return the text of some parts, and their images: a tool's result is a text, and the images of
    a result stand in a user's message behind the results."""
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    return text, [part for part in parts if part["type"] != "text"]
