"""Images of a prompt: their places among its tokens, and what stands for them in the prefix cache.

A template writes one image token for each image. Here, at the token ids, it becomes the opening, a
token for each soft token, and the closing: a text that spells an image token stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.config import ModelConfig
from redraft.errors import ImageError, TokenRangeError
from redraft.images import PreparedImage
from redraft.network import ImageSpan

# Images of one prompt at most.
MAX_IMAGES = 32


@dataclass(frozen=True)
class PlacedImage:
    """An image of a prompt. `start` is the position of its first soft token."""

    image: PreparedImage
    start: int

    @property
    def stop(self) -> int:
        """The position behind its last soft token."""
        return self.start + self.image.soft_tokens

    @property
    def span(self) -> ImageSpan:
        """Its place alone."""
        return ImageSpan(self.start, self.stop)


@dataclass(frozen=True)
class EncodedPrompt:
    """Token ids of a prompt, and the images whose soft tokens stand in it."""

    tokens: list[int]
    images: tuple[PlacedImage, ...] = ()


def expand_images(
    tokens: Sequence[int], images: Sequence[PreparedImage], config: ModelConfig
) -> EncodedPrompt:
    """Return a prompt in which each image token has become the whole place of an image.

    Args:
        tokens: with one image token for each image, in the order of the images.

    Raises:
        ImageError: there are more places than images, or fewer.
    """
    places = sum(token == config.image_token_id for token in tokens)
    if places != len(images):
        raise ImageError(
            f"the conversation has {_count(len(images), 'image')} and its prompt "
            f"{_count(places, 'place')} for one: the chat template leaves some out, or a text "
            "spells an image token while control tokens are read (sanitize_control_tokens)"
        )
    assert config.boi_token_id is not None
    assert config.eoi_token_id is not None
    found: list[int] = []
    placed: list[PlacedImage] = []
    for token in tokens:
        if token != config.image_token_id:
            found.append(token)
            continue
        image = images[len(placed)]
        placed.append(PlacedImage(image, len(found) + 1))
        found += [config.boi_token_id, *[token] * image.soft_tokens, config.eoi_token_id]
    return EncodedPrompt(found, tuple(placed))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def check_places(tokens: Sequence[int], images: Sequence[PlacedImage], config: ModelConfig) -> None:
    """Check that each image stands where the prompt has image tokens, and nothing else does.

    Raises:
        TokenRangeError: an image token has no image. ImageError: an image has no place, or touches
            another: two that touch would be read as one.
    """
    free = list(tokens)
    end = -1
    for one in images:
        if one.start <= end:
            raise ImageError(f"two images touch at position {one.start}: a token must part them")
        end = one.stop
        if any(token != config.image_token_id for token in tokens[one.start : end]) or end > len(
            tokens
        ):
            raise ImageError(
                f"an image has its place at {one.start} to {end}, and not all tokens there are "
                f"the image token {config.image_token_id}"
            )
        free[one.start : end] = [0] * (end - one.start)
    if config.image_token_id is not None and config.image_token_id in free:
        raise TokenRangeError(
            f"token id {config.image_token_id} stands for an image, and none is given for it: give "
            "images as parts of a message"
        )


def image_sizes(images: Sequence[PlacedImage]) -> tuple[int, ...]:
    """Return the soft tokens of each image."""
    return tuple(one.image.soft_tokens for one in images)


def prefix_tokens(tokens: Sequence[int], images: Sequence[PlacedImage]) -> tuple[int, ...]:
    """Return tokens by which the prefix cache knows a prompt: each soft token has a negative number
    of its own, made of the image's content and its place within the image."""
    if not images:
        return tuple(tokens)
    found = list(tokens)
    for one in images:
        content = int.from_bytes(one.image.key) << 16
        found[one.start : one.stop] = [
            -(content + number + 1) for number in range(one.image.soft_tokens)
        ]
    return tuple(found)
