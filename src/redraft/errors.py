"""Every error a user of redraft can meet.

RedraftError
├── ConfigError                 a setting, or a config file, is wrong
│   └── UnknownOptionError      an option that does not exist
├── CheckpointError             a folder of weights cannot be used as it is
│   ├── UnsafeFormatError       weights in a format that can run code (pickle)
│   └── TensorMismatchError     tensors missing, unknown, wrongly shaped or cut short: all of them
named ├── RequestError                what was asked for cannot be done
│   ├── EmptyPromptError        nothing to go on from
│   ├── ContextLengthError      more tokens than the model can hold
│   ├── MemoryLimitError        more memory than the engine may take
│   ├── TokenRangeError         a token id outside the vocabulary
│   ├── ChatTemplateError       messages that cannot be turned into a prompt
│   └── ConstraintError         a schema, pattern or grammar that cannot be used: the message names
the place │       └── ConstraintUnsatisfiedError  no valid text fits: too few tokens, or frozen ones
that contradict it └── NonFiniteError              NaN or infinity came out of the model: the
weights that hold it are named

Settings and requests are checked before any work is done. Errors that a caller can also read as a
plain `ValueError` (wrong arguments) inherit from it.
"""

from __future__ import annotations

LISTED = 100


class RedraftError(Exception):
    """Base of everything redraft raises on purpose."""


class ConfigError(RedraftError, ValueError):
    """A setting or a config file holds a value that cannot be used."""


class UnknownOptionError(ConfigError, TypeError):
    """An option that does not exist; the message names the nearest one that does."""


class CheckpointError(RedraftError):
    """A checkpoint cannot be found, read or written."""


class UnsafeFormatError(CheckpointError):
    """The weights are in a format whose loading can run code."""


class TensorMismatchError(CheckpointError):
    """The tensors of a checkpoint are not those the config asks for.

    Attributes:
        problems: one sentence a tensor, all of them, in the file's order; the message lists the
            first LISTED.
    """

    def __init__(self, where: str, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems[:LISTED])
        if len(problems) > LISTED:
            listed += f"\n  - and {len(problems) - LISTED} more (all in .problems)"
        super().__init__(
            f"{where} does not hold the tensors its config asks for ({len(problems)}):\n{listed}"
        )


class RequestError(RedraftError, ValueError):
    """A request cannot be served as it stands."""


class EmptyPromptError(RequestError):
    """The prompt has no tokens."""


class ContextLengthError(RequestError):
    """Prompt and answer together do not fit into the model's context."""


class MemoryLimitError(RequestError):
    """What was asked for would not fit into the memory that may be used, even with nothing beside
    it."""


class TokenRangeError(RequestError):
    """A token id lies outside the vocabulary, or means something this model cannot read."""


class ChatTemplateError(RequestError):
    """Messages cannot be turned into a prompt."""


class ConstraintError(RequestError):
    """A schema, a pattern or a grammar cannot be used as a constraint."""


class ConstraintUnsatisfiedError(ConstraintError):
    """No text that the constraint allows fits.

    Attributes:
        text: what was written before.
    """

    def __init__(self, message: str, text: str = "") -> None:
        self.text = text
        super().__init__(message)


class NonFiniteError(RedraftError):
    """The model produced NaN or infinity."""
