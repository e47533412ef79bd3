"""The errors that redraft raises.

    RedraftError
    ├── ConfigError                 a setting or a config file is not valid
    │   ├── RayMissingError         Ray is not installed
    │   └── UnknownOptionError      an option does not exist
    ├── CheckpointError             a checkpoint cannot be used
    │   ├── UnsafeFormatError       its weights are in a format that can run code (pickle)
    │   └── TensorMismatchError     tensors are missing, unknown, of a wrong shape or cut short
    ├── RequestError                a request cannot be served as it is
    │   ├── EmptyPromptError        the prompt has no tokens
    │   ├── ContextLengthError      more tokens than the model's context
    │   ├── MemoryLimitError        more memory than the engine may use
    │   ├── TokenRangeError         a token id outside the vocabulary
    │   ├── ChatTemplateError       messages that cannot become a prompt
    │   ├── UnsupportedByEngineError  another engine lacks what is asked of it
    │   ├── ImageError              an image that cannot be read, or has no place
    │   └── ConstraintError         a schema, pattern or grammar that cannot be used
    │       ├── ConstraintLimitError         compiling takes more work or memory than it may
    │       │   └── ConstraintTimeoutError   compiling takes more time than it may
    │       └── ConstraintUnsatisfiedError   no valid text fits
    ├── ClusterError                a Ray cluster cannot be reached, or has no room
    ├── RemoteEngineError           another engine refuses, fails or cannot be reached
    ├── DataError                   a file of training examples cannot be used
    ├── StrategyError               a sampler or stopping criterion gave an unusable result
    └── NonFiniteError              the model computed NaN or infinity

Settings and requests are checked before any work begins. Errors in arguments are also ValueErrors.
"""

from __future__ import annotations

import json
import re

# Characters of a message.
MAX_TEXT = 1 << 15
# Characters that command a terminal, turn the direction of text, or have no bytes.
_UNPRINTED = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
# The number of problems in the message of a TensorMismatchError.
MAX_LISTED = 100


def shown(text: str) -> str:
    """Return a text that quotes a file or a request, so that it may be shown anywhere."""
    text = _UNPRINTED.sub(lambda found: ascii(found[0])[1:-1], text)
    more = len(text) - MAX_TEXT
    return text if more <= 0 else f"{text[:MAX_TEXT]}... and {more} characters more"


class RedraftError(Exception):
    """The base of all errors that redraft raises on purpose.

    Its text may be shown anywhere: what is quoted from a file or a request commands no terminal,
    and has an end.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class ConfigError(RedraftError, ValueError):
    """A setting or a config file holds a value that is not valid."""


class UnknownOptionError(ConfigError, TypeError):
    """An option does not exist; the message names the nearest one."""


class CheckpointError(RedraftError):
    """A checkpoint cannot be found, read or written."""


class UnsafeFormatError(CheckpointError):
    """The weights are in a format whose loading can run code."""


class TensorMismatchError(CheckpointError):
    """The tensors of a checkpoint are not those of its config.

    Attributes:
        problems: one sentence for each wrong tensor, in the file's order. The message lists the
            first MAX_LISTED.
    """

    def __init__(self, where: str, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems[:MAX_LISTED])
        if len(problems) > MAX_LISTED:
            listed += f"\n  - and {len(problems) - MAX_LISTED} more (all in .problems)"
        super().__init__(
            f"{where} does not hold the tensors of its config ({len(problems)}):\n{listed}"
        )


class RequestError(RedraftError, ValueError):
    """A request cannot be served as it is."""


class EmptyPromptError(RequestError):
    """The prompt has no tokens."""


class ContextLengthError(RequestError):
    """The prompt and the answer together are longer than the model's context."""


class MemoryLimitError(RequestError):
    """The request needs more memory than the limit allows, even if it runs alone."""


class TokenRangeError(RequestError):
    """A token id is outside the vocabulary, or stands for an input that cannot be read here."""


class ChatTemplateError(RequestError):
    """Messages cannot become a prompt."""


class UnsupportedByEngineError(RequestError):
    """Another engine lacks what is asked of it; nothing was sent."""


class ImageError(RequestError):
    """An image cannot be read, is too large, has no place in the prompt, or the model has no image
    encoder."""


class ConstraintError(RequestError):
    """A schema, a pattern or a grammar cannot be used; the message names the place."""


class ConstraintLimitError(ConstraintError):
    """Compiling a constraint takes more work, memory or time than it may."""


class ConstraintTimeoutError(ConstraintLimitError):
    """Compiling a constraint takes more time than it may, or nobody waits for it any more."""


class ConstraintUnsatisfiedError(ConstraintError):
    """No text of the constraint fits: it needs too many tokens, or frozen tokens contradict it.

    Attributes:
        text: the text that was written before.
    """

    def __init__(self, message: str, text: str = "") -> None:
        self.text = text
        super().__init__(message)


class RemoteEngineError(RedraftError):
    """Another engine refused a request, failed, broke off, or cannot be reached.

    Attributes:
        status: of HTTP; None where there was no answer, or where the error came in a stream.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)

    @classmethod
    def of(cls, body: object, status: int | None = None) -> RemoteEngineError:
        """Return the error that a JSON body tells: OpenAI's form, or vLLM's older one."""
        detail = body.get("error", body) if isinstance(body, dict) else body
        message = detail.get("message") if isinstance(detail, dict) else detail
        where = "" if status is None else f" (HTTP {status})"
        return cls(f"the server says{where}: {str(message)[:1000]}", status)

    @classmethod
    def of_answer(cls, content: bytes, status: int) -> RemoteEngineError:
        """Return the error of an answer whose status is none of success."""
        try:
            return cls.of(json.loads(content), status)
        except (ValueError, RecursionError):
            text = content[:200].decode("utf-8", "replace").strip() or "nothing"
            return cls.of(text, status)


class DataError(RedraftError, ValueError):
    """A file of training examples cannot be used; the message has the line."""


class StrategyError(RedraftError):
    """A sampler or a stopping criterion of the caller's gave a result that cannot be used."""


class NonFiniteError(RedraftError):
    """The model computed NaN or infinity; the message names the weights that hold it."""
