"""Schema of completions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from redraft.errors import RequestError
from redraft.server.openai.schemas import Common, ResponseFormat, Texts, TokenIds, length_limit

MAX_PROMPTS = 512


class CompletionRequest(Common):
    """POST /v1/completions: texts to continue or, with a suffix, one to fill in before it.

    prompt: a text or token ids, or a list of either. echo: choices begin with their prompt, and
        log-probabilities with its tokens. max_tokens: 0 writes nothing, so that with echo a prompt
        is scored. best_of: texts written for each prompt, of which the n likeliest are kept.
        add_special_tokens: put special tokens around a prompt, as its tokenizer says.
        response_format: what each text must be, as in a chat.
    """

    model: str = ""
    prompt: Annotated[
        str | TokenIds | Texts | Annotated[list[TokenIds], Field(fail_fast=True)],
        length_limit(MAX_PROMPTS, "prompts", but=int),
    ]
    max_tokens: int | None = Field(default=None, ge=0)
    suffix: str | None = None
    add_special_tokens: bool = True
    echo: bool = False
    best_of: int | None = Field(default=None, ge=1, le=16)
    response_format: ResponseFormat | None = None
    logprobs: int | None = Field(default=None, ge=0, le=5)

    @property
    def top_logprobs_count(self) -> int | None:
        """As for a chat."""
        return self.logprobs

    def prompts(self) -> list[str] | list[list[int]]:
        """Return the prompts, of which there is at least one.

        Raises:
            RequestError: there is none.
        """
        given: Any = self.prompt
        single = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
        found: list[Any] = [given] if single else given
        if not found:
            raise RequestError("prompt is an empty list: give at least one")
        return found

    def check_count(self) -> None:
        """Check the number of texts written for each prompt.

        Raises:
            RequestError: fewer texts than choices, or a stream that would have to take texts back.
        """
        if self.best_of is None:
            return
        if self.best_of < self.n:
            raise RequestError(f"best_of={self.best_of} is less than n={self.n}")
        if self.best_of > self.n and self.stream:
            raise RequestError(
                "the likeliest of several texts is known when all are written: leave out best_of, "
                "or stream"
            )
