"""Writing: the text of one request as it grows, and where it ends. Both methods end a
text by the same rules."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redraft.config import GenerationConfig
from redraft.engine.request import Request
from redraft.events import Finished, FinishReason, Statistics
from redraft.text import Detokenizer, Tokenizer
from redraft.text.stop_strings import before_stop, without_started_stop


class Output:
    """Tokens and text so far.

    Attributes:
        tokens: committed tokens; the first EOS is the last of them. history: what the position of
            each held, draft by draft.
        cached_tokens: of the prompt, those that did not have to be encoded.
        reason: why the text ended, None while it goes on.
    """

    def __init__(self, number: int, request: Request, tokenizer: Tokenizer | None) -> None:
        self.number = number
        self.request = request
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self.history: list[tuple[int, ...]] = []
        self.steps_per_canvas: list[int] = []
        self.encoder_passes = 0
        self.cached_tokens = 0
        self._detokenizer = Detokenizer(tokenizer, request.prompt) if tokenizer else None
        self._drafts: list[Sequence[int]] = []  # of the canvas being written
        self._given = ""  # text already handed out
        self._started = time.perf_counter()
        self._first_draft: float | None = None
        self._first_commit: float | None = None

    @property
    def config(self) -> GenerationConfig:
        return self.request.config

    @property
    def context(self) -> tuple[int, ...]:
        """Prompt and committed tokens."""
        return (*self.request.prompt, *self.tokens)

    def revised(self, tokens: Sequence[int]) -> tuple[bool, ...]:
        """Where a draft differs from the last."""
        before = self._drafts[-1] if self._drafts else tokens
        return tuple(old != new for old, new in zip(before, tokens, strict=True))

    def note_draft(self, tokens: Sequence[int]) -> None:
        """Keep a draft of the canvas, for the history of its positions."""
        self._drafts.append(tokens)
        if self._first_draft is None:
            self._first_draft = time.perf_counter()

    def draft_text(self, tokens: Sequence[int]) -> str:
        """Return the text that `tokens` would add, cut where the text would end."""
        if self._detokenizer is None:
            return ""
        whole = self._detokenizer.text(self._until_end(tokens)[0])
        return self._before_stop(whole)[0][len(self._given) :]

    def commit(
        self, tokens: Sequence[int], steps: int, *, late: bool = False, settled: bool = True
    ) -> tuple[list[int], str]:
        """Add a canvas; returns the tokens and the text that it adds, and sets `reason` where the
        text ends.

        Args:
            late: the text ends here if not by itself. settled: False for a canvas that has not
                settled; the text then ends for want of time, whatever the draft says.
        """
        if self._first_commit is None:
            self._first_commit = time.perf_counter()
            self._first_draft = self._first_draft or self._first_commit
        self.steps_per_canvas.append(steps)
        added, self.reason = self._until_end(tokens)
        if not settled or (late and self.reason is None):
            self.reason = "time"
        text = ""
        if self._detokenizer is not None:
            whole, stopped = self._before_stop(
                self._detokenizer.text(added, last=self.reason is not None)
            )
            if stopped:
                added = self._through_stop(added)
                self.reason = "stop_string" if settled else "time"
            self._detokenizer.add(added)
            kept = whole if self.reason else without_started_stop(whole, self.config.stop)
            text, self._given = kept[len(self._given) :], kept
        self.tokens += added
        self.history += list(zip(*(self._drafts or [tokens]), strict=True))[: len(added)]
        self._drafts = []
        return added, text

    def cancel(self) -> Finished:
        """End the text here, with what was held back of it."""
        self.reason = "cancelled"
        if self._detokenizer is not None:
            self._given = self._before_stop(self._detokenizer.text(last=True))[0]
        return self.finished()

    def finished(self) -> Finished:
        """The closing event."""
        assert self.reason is not None
        now = time.perf_counter()
        forwards, count, seconds = sum(self.steps_per_canvas), len(self.tokens), now - self._started
        return Finished(
            request=self.number,
            reason=self.reason,
            seed=self.request.seed,
            tokens=tuple(self.tokens),
            text=self._given,
            reasoning=self._detokenizer.reasoning() if self._detokenizer else "",
            history=tuple(self.history),
            statistics=Statistics(
                prompt_tokens=len(self.request.prompt),
                cached_tokens=self.cached_tokens,
                new_tokens=count,
                steps_per_canvas=tuple(self.steps_per_canvas),
                forwards=forwards,
                encoder_passes=self.encoder_passes,
                tokens_per_forward=count / max(forwards, 1),
                tokens_per_second=count / max(seconds, 1e-9),
                time_to_first_draft=(self._first_draft or now) - self._started,
                time_to_first_commit=(self._first_commit or now) - self._started,
                seconds=seconds,
            ),
        )

    def _until_end(self, tokens: Sequence[int]) -> tuple[list[int], FinishReason | None]:
        left = self.config.max_new_tokens - len(self.tokens)
        for index, token in enumerate(tokens[:left]):
            if token in self.config.eos_token_id:
                return list(tokens[: index + 1]), "stop"
        return list(tokens[:left]), "length" if left <= len(tokens) else None

    def _before_stop(self, text: str) -> tuple[str, bool]:
        return before_stop(text, self.config.stop)

    def _through_stop(self, added: list[int]) -> list[int]:
        """The fewest of the new tokens with which a stop string is complete."""
        assert self._detokenizer is not None
        for count in range(len(added) + 1):
            if self._before_stop(self._detokenizer.text(added[:count], last=True))[1]:
                return added[:count]
        return added
