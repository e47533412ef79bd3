"""Between: an infill between two texts, for the dialects whose requests have a prefix and a
suffix; within a time, where one is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from redraft.editing import Hole, Infilled, Template, plan_infill
from redraft.editing.options import InfillOptions
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.grammar import Constraint
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.preparing import time_left
from redraft.server.runtime.registry import HostedModel
from redraft.text import Tokenizer
from redraft.text.stop_strings import before_stop

MAX_WIDTH = 512  # tokens of a hole
DEFAULT_WIDTH = 64
# Characters a token of text that is kept, at most: what is behind more of them is cut unread.
MAX_TOKEN_CHARACTERS = 64
PIECE = 65_536  # characters that are encoded at a time


@dataclass(frozen=True)
class FilledPlace:
    """Result of an infill between two texts.

    Attributes:
        text: cut before a stop string. stopped: that string. settled: False where the time was over
            and this is the best draft. steps: denoising steps of all candidates. truncated: the
            begin of the prefix did not fit. prompt_tokens, new_tokens, seconds: of the whole.
    """

    text: str
    stopped: str | None
    settled: bool
    steps: int
    truncated: bool
    prompt_tokens: int
    new_tokens: int
    seconds: float


@dataclass(frozen=True)
class Between:
    """A place between two texts.

    Attributes:
        width: tokens of the hole. options: of `Model.infill`, with `stop`.
        constraint: makes what the text must be, where the schema is read: in a thread.
        timeout: seconds, then an error. deadline: time of `time.monotonic`, then the best draft.
    """

    prefix: str
    suffix: str
    width: int
    options: Mapping[str, Any]
    constraint: Callable[[], Constraint | None] | None = None
    timeout: float | None = None
    deadline: float | None = None


async def fill_between(hosted: HostedModel, place: Between) -> FilledPlace:
    """Fill a place.

    Raises:
        RequestError, ConfigError: the request is invalid; the message says why.
    """
    began = time.monotonic()
    tokenizer = hosted.model.processor.require_tokenizer("infilling")
    stops = place.options.get("stop") or ()
    width = min(place.width, MAX_WIDTH)
    place = replace(place, suffix=_begin(place.suffix, hosted.model.config.canvas_length))
    fitting = partial(_fitted, hosted, place.prefix, width)
    kept, count, truncated = await hosted.preparing.run(fitting, place.timeout, constrained=False)
    events = hosted.infill(
        _plan(hosted, place, kept, width),
        time_left(place.timeout, began),
        drafts=False,
        constrained=place.constraint is not None,
        deadline=place.deadline,
    )
    async with aclosing(events):
        (found,) = [event async for event in events if isinstance(event, Infilled)]
    text = found.fills[0]
    cut, stopped = before_stop(text, stops)
    texts = place.suffix, cut
    behind, written = await in_pool("tokens", _lengths, tokenizer, *texts, follow_up=True)
    return FilledPlace(
        cut,
        min((stop for stop in stops if stop in text), key=text.find) if stopped else None,
        found.settled,
        sum(one.steps for one in found.candidates),
        truncated,
        count + behind,
        written,
        time.monotonic() - began,
    )


def _plan(hosted: HostedModel, place: Between, prefix: str, width: int) -> Callable[[], Work]:
    options = {name: value for name, value in place.options.items() if name != "stop"}

    def plan() -> Work:
        constraint = None if place.constraint is None else place.constraint()
        hole = Hole(1, width, constraint)
        template = Template.of([prefix, hole, place.suffix])
        return plan_infill(hosted.model.processor, template, None, cast(InfillOptions, options))

    return plan


def _fitted(hosted: HostedModel, prefix: str, width: int) -> tuple[str, int, bool]:
    """Return the end of a prefix that the context holds beside the hole, its tokens, and True where
    the begin was cut.

    Raises:
        RequestError: the hole alone is too large.
    """
    tokenizer = hosted.model.processor.require_tokenizer("infilling")
    config = hosted.model.config
    # A canvas of the hole's begin, those of the hole, one of what stands behind it; BOS; a seam.
    left = config.max_position_embeddings - width - 3 * config.canvas_length - 8
    if left < 0:
        raise RequestError(
            f"a hole of {width} tokens is too large for the context of "
            f"{config.max_position_embeddings}"
        )
    count, first = 0, len(prefix)
    # From its end on: no more is read than fits, and little of it at a time.
    while first and len(prefix) - first < left * MAX_TOKEN_CHARACTERS:
        begin = _piece_before(prefix, first)
        _, parts = tokenizer.encode_parts(prefix[begin:first])
        if count + len(parts) > left:
            kept = "".join(parts[len(parts) - (left - count) :]) if left > count else ""
            return kept + prefix[first:], left, True
        count, first = count + len(parts), begin
    return prefix[first:], count, first > 0


def _piece_before(text: str, end: int) -> int:
    """Return where the piece of a text that ends at a place begins: at a line, where there is
    one."""
    if end <= PIECE:
        return 0
    line = text.find("\n", end - PIECE, end - PIECE // 2) + 1
    return line or end - PIECE


def _begin(suffix: str, canvas: int) -> str:
    """Return the begin of a suffix: what the model reads of it stands on one canvas."""
    return suffix[: canvas * MAX_TOKEN_CHARACTERS]


def _lengths(tokenizer: Tokenizer, *texts: str) -> list[int]:
    return [len(tokenizer.encode(text, bos=False)) for text in texts]
