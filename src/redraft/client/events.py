"""Events of a stream, and the results at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StreamedDraft:
    """One denoising step of one canvas.

    Attributes:
        index: number of the choice, or of the candidate of an infill.
        canvas: number of the canvas, from 0. step: number of the step on it, from 1.
        tokens: the text of each position of the canvas, put together from all drafts of it.
        changed: positions whose token is another than in the draft that came before.
        accepted, revised: positions whose sample was kept for the next step, and whose best guess
            is another than a step ago.
        confidence: probability of the best guess of each position, in hundredths.
        entropy: mean over the positions, nats.
        text: the draft's text on this canvas; of an infill, all of the candidate's text.
    """

    index: int
    canvas: int
    step: int
    tokens: tuple[str, ...]
    changed: tuple[int, ...]
    accepted: tuple[int, ...]
    revised: tuple[int, ...]
    confidence: tuple[int, ...]
    entropy: float
    text: str


@dataclass(frozen=True, kw_only=True)
class StreamedText:
    """A piece of the final text of a choice, or of its reasoning."""

    index: int
    text: str = ""
    reasoning: str = ""


StreamEvent = StreamedDraft | StreamedText


@dataclass(kw_only=True)
class AnswerChoice:
    """One choice of an answer: its whole text, and its calls in OpenAI's form."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamedAnswer:
    """Result of a chat or a completion; `usage` is the server's."""

    choices: Sequence[AnswerChoice]
    usage: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Text of the first choice."""
        return self.choices[0].text


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Result of an infill or an edit.

    Attributes:
        text: the whole text. fills: the text of each hole. score: log-probability of the text.
        body: the server's whole answer, with all candidates, and the diff of an edit.
    """

    text: str
    fills: Sequence[str]
    score: float
    body: Mapping[str, Any]
