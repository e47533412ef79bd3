"""Encode records: a clean sequence, and canvases behind parts of it that are to be denoised.

A model's turn is split into canvases from its first token on. A canvas stands behind the clean
tokens before it, as when the model writes. Behind the end of a complete turn a canvas is filled
with end tokens, and these are learnt: so a model learns to stop. A turn that was cut has no end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redraft.config import ModelConfig
from redraft.errors import DataError, RequestError
from redraft.tasks.code.holes import CodeExample
from redraft.tasks.task import Example
from redraft.text import ChatTemplate, Tokenizer
from redraft.train.code_encoder import encode_within
from redraft.train.example_encoder import EncodedExample, ExampleEncoder
from redraft.train.finetune.records import (
    MODEL_ROLES,
    Continuation,
    Conversation,
    FilledTemplate,
    Record,
)

MAX_HOLE_PADDING = 6  # tokens of padding in a hole, at most


@dataclass(frozen=True)
class Turn:
    """A part of a sequence that the model writes.

    Attributes:
        start, stop: its tokens. complete: its end was not cut off.
    """

    start: int
    stop: int
    complete: bool


@dataclass(frozen=True)
class Encoded:
    """A record as tokens: a sequence with turns to learn.

    Attributes:
        cut: tokens that were left out because the sequence was too long.
    """

    tokens: list[int]
    turns: tuple[Turn, ...]
    cut: int = 0


@dataclass(frozen=True)
class TrainingCanvas:
    """One example of an update.

    Attributes:
        sequence: clean tokens, up to the end of what is learnt. learnt: those of them that the
            encoder's loss counts.
        start: the canvas stands behind so many tokens of the sequence.
        target, frozen, counted: of each position of the canvas, the right token, whether it is
            given, and whether its loss counts.
    """

    sequence: list[int]
    learnt: list[bool]
    start: int
    target: list[int]
    frozen: list[bool]
    counted: list[bool]


@dataclass(frozen=True)
class RecordEncoder:
    """Turns records into canvases.

    Attributes:
        shape: of the network. max_length: the limit on tokens of a sequence; longer ones are cut.
        fill: the token behind the end of a turn. last_turn_only: of several turns of the model
            learn the last alone. whole_sequence: the encoder's loss counts prompts too.
    """

    tokenizer: Tokenizer
    template: ChatTemplate | None
    shape: ModelConfig
    ends: tuple[int, ...]
    max_length: int = 1024
    last_turn_only: bool = False
    whole_sequence: bool = True

    @property
    def fill(self) -> int:
        return self.ends[0]

    def canvas(self, record: Record, rng: random.Random) -> TrainingCanvas:
        """Return a random canvas of a record.

        Raises:
            DataError: the record has no tokens to learn, or its template refuses it.
        """
        if isinstance(record, FilledTemplate):
            return self._hole_canvas(record, rng)
        encoded = self.encode(record)
        turn, at = rng.choice(list(self._places(encoded)))
        return self._turn_canvas(encoded, turn, at)

    def is_cut(self, record: Record) -> bool:
        """Return True for a record of which the end is left out; errors as for `canvas`."""
        if isinstance(record, FilledTemplate):
            self._hole_canvas(record, random.Random(0))
            return False
        return self.encode(record).cut > 0

    def encode(self, record: Conversation | Continuation) -> Encoded:
        """Return the sequence of a record, cut to `max_length`.

        Raises:
            DataError: as for `canvas`.
        """
        try:
            if isinstance(record, Continuation):
                tokens, turns = self._continuation(record)
            else:
                tokens, turns = self._conversation(record)
        except RequestError as error:
            raise DataError(str(error)) from error
        turns = turns[-1:] if self.last_turn_only else turns
        kept = [
            Turn(one.start, min(one.stop, self.max_length), one.stop <= self.max_length)
            for one in turns
            if one.start < self.max_length
        ]
        if not kept:
            raise DataError(
                f"the prompt alone has {turns[0].start} tokens, max_length is {self.max_length}: "
                "nothing of the answer is left"
            )
        cut = max(0, len(tokens) - self.max_length)
        return Encoded(tokens[: self.max_length], tuple(kept), cut)

    def _continuation(self, record: Continuation) -> tuple[list[int], list[Turn]]:
        before = self.tokenizer.encode(record.prompt, bos=True)
        after = [*self.tokenizer.encode_text(record.completion), self.fill]
        return before + after, [Turn(len(before), len(before) + len(after), True)]

    def _conversation(self, record: Conversation) -> tuple[list[int], list[Turn]]:
        """Return the tokens of a conversation, and the model's turns in it.

        Every turn must begin where the template opens it, so that it stands behind what the model
        reads when it writes it.
        """
        turns: list[Turn] = []
        tokens: list[int] = []
        for number, message in enumerate(record.messages):
            if message.get("role") not in MODEL_ROLES:
                continue
            before = self._rendered(record, number, True)
            whole = self._rendered(record, number + 1, False)
            if whole[: len(before)] != before:
                raise DataError(
                    f"the chat template writes message {number + 1} in another way than it opens "
                    "the model's turn: it cannot be learnt"
                )
            if whole[: len(tokens)] != tokens:
                # The template writes earlier turns anew, for example without their thoughts: they
                # do not stand there as the model wrote them.
                turns = []
            stop = self._end(whole, len(before))
            tokens = whole[:stop]
            turns.append(Turn(len(before), stop, True))
        return tokens, turns

    def _end(self, tokens: list[int], start: int) -> int:
        """Return where a turn ends: behind its first end token."""
        ends = (at for at in range(start, len(tokens)) if tokens[at] in self.ends)
        found = next(ends, None)
        if found is None:
            raise DataError("the chat template does not end the model's turn with an end token")
        return found + 1

    def _rendered(self, record: Conversation, count: int, opened: bool) -> list[int]:
        if self.template is None:
            raise DataError("this checkpoint has no chat template: give prompt and completion")
        if not count:
            raise DataError("the first message is the model's: it has nothing to answer")
        variables: Mapping[str, Any] = record.variables
        prompt = self.template.prompt(
            record.messages[:count], add_generation_prompt=opened, **variables
        )
        return prompt.encode(self.tokenizer)

    def _places(self, encoded: Encoded) -> Iterator[tuple[Turn, int]]:
        """Yield every canvas of every turn, by its first token."""
        for turn in encoded.turns:
            for at in range(turn.start, turn.stop, self.shape.canvas_length):
                yield turn, at

    def _turn_canvas(self, encoded: Encoded, turn: Turn, at: int) -> TrainingCanvas:
        length = self.shape.canvas_length
        written = encoded.tokens[at : min(at + length, turn.stop)]
        filled = length - len(written)
        sequence = encoded.tokens[: turn.stop]
        learnt = [self.whole_sequence] * len(sequence)
        for one in encoded.turns:
            learnt[one.start : one.stop] = [True] * (min(one.stop, len(sequence)) - one.start)
        return TrainingCanvas(
            sequence,
            learnt,
            at,
            written + [self.fill] * filled,
            [False] * length,
            [True] * len(written) + [turn.complete] * filled,
        )

    def _hole_canvas(self, record: FilledTemplate, rng: random.Random) -> TrainingCanvas:
        """Return the canvas of a text with holes: all else on it is given."""
        length = self.shape.canvas_length
        found = self._holes(record, rng)
        if len(found.canvas) > length or len(found.prefix) > self.max_length:
            raise DataError(
                f"the text has {len(found.canvas)} tokens behind {len(found.prefix)} of the "
                f"prompt: a canvas holds {length}, and max_length is {self.max_length}"
            )
        rest = length - len(found.canvas)
        return TrainingCanvas(
            found.prefix,
            [self.whole_sequence] * len(found.prefix),
            len(found.prefix),
            found.canvas + [self.fill] * rest,
            found.frozen + [found.closed] * rest,
            [not known for known in found.frozen] + [False] * rest,
        )

    def _holes(self, record: FilledTemplate, rng: random.Random) -> EncodedExample:
        text, holes = _text_and_holes(record)
        template = self.template or ChatTemplate("")
        encoder = ExampleEncoder(
            self.tokenizer, template, self.shape.canvas_length, self.max_length, eos=self.fill
        )
        if record.instruction is not None:
            if self.template is None:
                raise DataError("this checkpoint has no chat template: leave out the instruction")
            return encoder.encode(Example(record.instruction, text, len(holes), holes), rng)
        # As an infill lays it out: what stands before the line of the first hole is the prefix.
        line = text.rfind("\n", 0, holes[0][0]) + 1
        moved = tuple((first - line, last - line) for first, last in holes)
        example = CodeExample(text[:line], text[line:], len(holes), moved)
        return encode_within(
            example, encoder, self.max_length - 1, lambda count: rng.randint(0, MAX_HOLE_PADDING)
        )


def _text_and_holes(record: FilledTemplate) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the filled text of a template, and the characters of each hole."""
    text, holes = record.texts[0], []
    for fill, after in zip(record.fills, record.texts[1:], strict=True):
        holes.append((len(text), len(text) + len(fill)))
        text += fill + after
    return text, tuple(holes)
