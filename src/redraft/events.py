"""Events of a generation: Draft after each denoising step, Committed after each canvas, Finished.

An engine sends Failed for a request that broke, and Completed for one that writes no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from redraft.notebook import ShowsCanvas
from redraft.short_repr import with_short_repr

FinishReason = Literal["stop", "length", "stop_string", "time", "cancelled"]


@with_short_repr()
@dataclass(frozen=True, kw_only=True)
class Draft:
    """One denoising step of one canvas.

    `request` is the number of its text, counted from 0, `canvas` that of its canvas, `step` that of
    the step, counted from 1. `tokens` is the argmax canvas: what would be committed if the canvas
    settled now. `accepted` marks positions whose sample was kept for the next step, all others are
    re-noised; `revised` marks those whose best guess is another than a step ago. `entropy` is in
    nats, `confidence` the probability of the best guess, both at the step's temperature (0 and 1 at
    frozen positions). `text` is the draft behind all committed text, cut where the text would end.
    In an infill, `candidate` is the number of the candidate, and `text` all of its text as it
    stands.
    """

    request: int
    canvas: int
    step: int
    tokens: tuple[int, ...]
    accepted: tuple[bool, ...]
    revised: tuple[bool, ...]
    entropy: tuple[float, ...]
    confidence: tuple[float, ...]
    text: str = ""
    candidate: int = 0


@with_short_repr()
@dataclass(frozen=True, kw_only=True)
class Committed:
    """A canvas is settled, after so many `steps`. `tokens` are those of it that belong to the text,
    `text` is what they add to the text of the `request`; `canvas` counts from 0."""

    request: int
    canvas: int
    steps: int
    tokens: tuple[int, ...]
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Honest figures of one generation; times in seconds from the moment the request entered the
    engine.

    `forwards` counts passes that wrote text: denoising steps, or one a token left to right;
    `encoder_passes` counts those that read a part of its prompt, or of a commit, and wrote nothing.
    `tokens_per_forward` is new_tokens / forwards. `cached_tokens` of the prompt were known from
    other prompts and not encoded again.
    """

    prompt_tokens: int
    cached_tokens: int = 0
    new_tokens: int
    steps_per_canvas: tuple[int, ...]
    forwards: int
    encoder_passes: int
    tokens_per_forward: float
    tokens_per_second: float
    time_to_first_draft: float
    time_to_first_commit: float
    seconds: float


@with_short_repr(without=("history", "statistics"))
@dataclass(frozen=True, kw_only=True)
class Finished(ShowsCanvas):
    """The text of a `request` is complete: all its tokens and all its text, why it ended, the seed
    that writes it again (None where an engine without seeds wrote it), and its figures
    (`statistics`).

    With the reason `time` a deadline ended it: the last canvas is the best draft, not settled.
    `text` is the answer alone; what the model wrote into its reasoning channel is in `reasoning`.
    `parsed` is what a text under a constraint says (of JSON, its value); where it could not be
    read, `parse_error` says why. `history` has for each of `tokens` the tokens that its position
    held, one a draft, itself the last.
    """

    request: int
    reason: FinishReason
    seed: int | None
    tokens: tuple[int, ...]
    text: str
    reasoning: str = ""
    history: tuple[tuple[int, ...], ...] = ()
    parsed: Any = None
    parse_error: str | None = None
    statistics: Statistics


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The `request` broke a step with this `error`, and is out; the others go on."""

    request: int
    error: Exception


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A request that writes no text of its own, such as scoring or infilling, has its result."""

    request: int
    result: Any


Event = Draft | Committed | Finished
EngineEvent = Event | Completed | Failed
