"""Encode records: a clean sequence, and canvases behind parts of it that are to be denoised.

A model's turn is split into canvases from its first token on. A canvas stands behind the clean
tokens before it, as when the model writes. Behind the end of a complete turn a canvas is filled
with end tokens, and these are learnt: so a model learns to stop. A turn that was cut has no end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from redraft.config import ModelConfig
from redraft.errors import DataError, RequestError
from redraft.network import ImageSpan
from redraft.tasks.code.holes import CodeExample
from redraft.tasks.task import Example
from redraft.text import ChatTemplate, Tokenizer
from redraft.text.image_parts import first_image
from redraft.train.code_encoder import encode_within
from redraft.train.example_encoder import EncodedExample, ExampleEncoder
from redraft.train.finetune.encoded import Encoded, TrainingCanvas, Turn
from redraft.train.finetune.records import (
    MODEL_ROLES,
    Continuation,
    Conversation,
    FilledTemplate,
    Record,
)

if TYPE_CHECKING:
    from redraft.engine.images import EncodedPrompt, PlacedImage
    from redraft.images import PreparedImage

MAX_HOLE_PADDING = 6  # tokens of padding in a hole, at most


@dataclass(frozen=True)
class ImageReader:
    """Reads conversations with images.

    Attributes:
        chat: returns the tokens and the images of messages, as `Processor.chat` does.
        features: returns the soft tokens [n, H] of an image.
    """

    chat: Callable[..., EncodedPrompt]
    features: Callable[[PreparedImage], Tensor]


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
    images: ImageReader | None = None

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
        images: tuple[PlacedImage, ...] = ()
        try:
            if isinstance(record, Continuation):
                tokens, turns = self._continuation(record)
            else:
                tokens, turns, images = self._conversation(record)
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
        return Encoded(tokens[: self.max_length], tuple(kept), cut, images)

    def _continuation(self, record: Continuation) -> tuple[list[int], list[Turn]]:
        before = self.tokenizer.encode(record.prompt, bos=True)
        after = [*self.tokenizer.encode_text(record.completion), self.fill]
        return before + after, [Turn(len(before), len(before) + len(after), True)]

    def _conversation(
        self, record: Conversation
    ) -> tuple[list[int], list[Turn], tuple[PlacedImage, ...]]:
        """Return the tokens of a conversation, the model's turns in it, and its images.

        Every turn must begin where the template opens it, so that it stands behind what the model
        reads when it writes it.
        """
        turns: list[Turn] = []
        tokens: list[int] = []
        images: tuple[PlacedImage, ...] = ()
        for number, message in enumerate(record.messages):
            if message.get("role") not in MODEL_ROLES:
                continue
            before, _ = self._rendered(record, number, True)
            whole, images = self._rendered(record, number + 1, False)
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
        return tokens, turns, images

    def _end(self, tokens: list[int], start: int) -> int:
        """Return where a turn ends: behind its first end token."""
        ends = (at for at in range(start, len(tokens)) if tokens[at] in self.ends)
        found = next(ends, None)
        if found is None:
            raise DataError("the chat template does not end the model's turn with an end token")
        return found + 1

    def _rendered(
        self, record: Conversation, count: int, opened: bool
    ) -> tuple[list[int], tuple[PlacedImage, ...]]:
        """Return the tokens and the images of the first `count` messages."""
        if self.template is None:
            raise DataError("this checkpoint has no chat template: give prompt and completion")
        if not count:
            raise DataError("the first message is the model's: it has nothing to answer")
        messages, variables = record.messages[:count], dict(record.variables)
        if found := first_image(messages):
            if self.images is None:
                raise DataError(f"{found[0]} is an image, and the checkpoint reads none")
            chat = self.images.chat(messages, add_generation_prompt=opened, **variables)
            return chat.tokens, chat.images
        prompt = self.template.prompt(messages, add_generation_prompt=opened, **variables)
        return prompt.encode(self.tokenizer), ()

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
            self._spans(encoded, turn.stop, learnt),
        )

    def _spans(self, encoded: Encoded, stop: int, learnt: list[bool]) -> tuple[ImageSpan, ...]:
        """Return the images before `stop`; soft tokens are not learnt, for they are no tokens."""
        spans = []
        for one in encoded.images:
            if one.stop > stop:
                break
            assert self.images is not None
            learnt[one.start : one.stop] = [False] * (one.stop - one.start)
            spans.append(ImageSpan(one.start, one.stop, self.images.features(one.image)))
        return tuple(spans)

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
