"""Images of other dialects as OpenAI's data URLs."""

from __future__ import annotations

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
