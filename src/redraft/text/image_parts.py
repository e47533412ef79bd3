"""Image parts of messages, in the forms of OpenAI's two APIs and of transformers.

The template gets a part of type `image` and nothing else: what is in the image is read elsewhere,
and stands in the prompt as token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redraft.errors import ChatTemplateError

# The types of parts that are images, and the keys of each that may hold the image.
IMAGE_PARTS = {
    "image": ("image", "url", "path"),
    "image_url": ("image_url",),
    "input_image": ("image_url",),
}
# The soft tokens that OpenAI's `detail` stands for; None for the model's usual number.
DETAILS: dict[str, int | None] = {"low": 70, "auto": None, "high": 1120}
OPTIONS = ("detail", "max_soft_tokens")


@dataclass(frozen=True)
class ImagePart:
    """An image of a message, not read yet.

    Attributes:
        place: names it in errors, such as `messages[0].content[1]`.
        kind: the part's type.
        source: what the caller gave: a path, bytes, a data URL, an image or an array.
        max_soft_tokens: the most that it may become; None for the model's usual number.
    """

    place: str
    kind: str
    source: object
    max_soft_tokens: int | None = None


def first_image(messages: object) -> tuple[str, str] | None:
    """Return the place and the type of the first image in messages that are mappings."""
    for number, message in enumerate(messages if isinstance(messages, Sequence) else ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for at, part in enumerate(content if isinstance(content, list | tuple) else ()):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if isinstance(kind, str) and kind in IMAGE_PARTS:
                return f"messages[{number}].content[{at}]", kind
    return None


def image_part(part: Mapping[str, Any], kind: str, place: str) -> ImagePart:
    """Return the image of a part.

    Raises:
        ChatTemplateError: it holds none, or its options cannot be used.
    """
    keys = IMAGE_PARTS[kind]
    given = [key for key in keys if part.get(key) is not None]
    if len(given) != 1:
        raise ChatTemplateError(
            f"{place}: a part of type {kind!r} needs an image in {' or '.join(keys)}"
        )
    source, options = part[given[0]], {name: part.get(name) for name in OPTIONS}
    if isinstance(source, Mapping):
        inner = dict(source)
        source = inner.pop("url", None)
        if unknown := [name for name in inner if name not in OPTIONS]:
            raise ChatTemplateError(
                f"{place}.{given[0]} holds {unknown[0]!r}: url, {' and '.join(OPTIONS)} are known"
            )
        options |= {name: value for name, value in inner.items() if value is not None}
        if source is None:
            raise ChatTemplateError(f"{place}.{given[0]} needs a data URL in 'url'")
    return ImagePart(place, kind, source, _soft_tokens(options, place))


def _soft_tokens(options: Mapping[str, Any], place: str) -> int | None:
    """Return the number of soft tokens that the options of an image ask for."""
    detail, limit = options["detail"], options["max_soft_tokens"]
    if detail is not None and (not isinstance(detail, str) or detail not in DETAILS):
        raise ChatTemplateError(f"{place}: detail={detail!r} must be one of {', '.join(DETAILS)}")
    if limit is None:
        return None if detail is None else DETAILS[detail]
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ChatTemplateError(f"{place}: max_soft_tokens={limit!r} must be a whole number")
    if detail not in (None, "auto") and DETAILS[str(detail)] != limit:
        raise ChatTemplateError(
            f"{place}: detail={detail!r} and max_soft_tokens={limit} differ: give one"
        )
    return limit
