"""Fill: laid-out candidates denoised as rows of one batch behind one prefix, each over as many
canvases as it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.editing.layout import Placed
from redraft.engine.runner import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.events import Draft
from redraft.grammar import CanvasConstraint, Guide, TokenDFA
from redraft.network import Cache, DiffusionGemma
from redraft.ops.vocabulary import Allowed, LogitEdits


class Row:
    """One candidate on its way.

    Attributes:
        tokens: all positions, 0 where nothing is written yet. written: how many of them are final
            or hold a draft.
        unread: tokens that are no text where a hole holds them, such as padding. guides: of holes
            with a constraint, by number.
        steps: denoising steps so far. history: what each open position held, step by step.
    """

    def __init__(
        self,
        number: int,
        placed: Placed,
        network: DiffusionGemma,
        prefix: Cache,
        seed: int,
        unread: frozenset[int],
        constraints: Sequence[TokenDFA | None] = (),
    ) -> None:
        self.number, self.placed, self.network, self.seed, self.unread = (
            number,
            placed,
            network,
            seed,
            unread,
        )
        self.tokens = list(placed.tokens)
        self.written = 0
        self.steps = 0
        self.canvas = 0
        self.history: dict[int, list[int]] = {at: [] for hole in placed.holes for at in hole}
        self._prefix = self.cache = prefix
        pairs = enumerate(
            zip(placed.holes, constraints, strict=False)
        )  # none at all where there are none
        self.guides = {
            at: Guide(automaton, len(hole))
            for at, (hole, automaton) in pairs
            if automaton is not None
        }
        self.constraints: list[CanvasConstraint] = []
        self.state: DenoisingState | None = self._start()

    @property
    def here(self) -> range:
        """The positions of this canvas."""
        return self.placed.canvases[self.canvas]

    @property
    def noise_row(self) -> tuple[int, int, int]:
        return self.seed, self.number, self.canvas

    @property
    def whole(self) -> bool:
        """Whether something is written in every hole."""
        return self.written >= self.placed.holes[-1].stop

    def clean(self, positions: range) -> list[int]:
        """What is written at some positions, without what is no text in holes."""
        return [
            self.tokens[at]
            for at in positions
            if at not in self.history or self.tokens[at] not in self.unread
        ]

    def hole(self, number: int) -> list[int]:
        """What is written in one hole so far."""
        return self.clean(
            range(
                self.placed.holes[number].start, min(self.placed.holes[number].stop, self.written)
            )
        )

    def take(self, row: Mapping[str, tuple[Any, ...]]) -> Draft:
        """Note this row of a step."""
        tokens = row["tokens"]
        before = (
            self.tokens[self.here.start : self.here.stop]
            if self.written > self.here.start
            else tokens
        )
        self.tokens[self.here.start : self.here.stop] = tokens[: len(self.here)]
        self.written = self.here.stop
        self.steps += 1
        for position in self.here:
            if position in self.history:
                self.history[position].append(self.tokens[position])
        revised = [old != new for old, new in zip(before, tokens, strict=False)]
        revised += [False] * (len(tokens) - len(revised))
        assert self.state is not None
        return Draft(
            request=self.number,
            canvas=self.canvas,
            step=int(self.state.step),
            revised=tuple(revised),
            text="",
            **row,
        )

    def settle(self) -> None:
        """The canvas is done: where there is another, this one is encoded, and the next begins."""
        self.state = None
        for number, guide in self.guides.items():
            guide.advance(self.tokens[at] for at in self._part(number))
        if self.canvas + 1 == len(self.placed.canvases):
            self.cache = self._prefix  # its own is no longer needed
            return
        if clean := self.clean(self.here):
            if self.cache is self._prefix:
                self.cache = self._prefix.fork()
            self.network.prefill([torch.tensor(clean, device=self.network.device)], [self.cache])
        self.canvas += 1
        self.state = self._start()

    def _start(self) -> DenoisingState:
        config, device = self.network.config, self.network.device
        tokens = Noise.of([self.noise_row], device).initial(config.canvas_length, config.vocab_size)
        frozen = torch.zeros_like(tokens, dtype=torch.bool)
        given = [at for at in self.here if at not in self.history]
        index = torch.tensor(given, dtype=torch.int64, device=device) - self.here.start
        tokens[0, index] = torch.tensor(
            [self.tokens[at] for at in given], dtype=torch.int64, device=device
        )
        frozen[0, index] = True
        canvas = Canvas(tokens, frozen, self._allowed(tokens))
        parts = [(guide, self._part(number)) for number, guide in self.guides.items()]
        self.constraints = [
            guide.on_canvas(len(part), first=part.start - self.here.start)
            for guide, part in parts
            if len(part)
        ]
        return DenoisingState.start(canvas, config.hidden_size, self.network.dtype)

    def _part(self, number: int) -> range:
        """The positions of a hole on this canvas."""
        hole = self.placed.holes[number]
        return range(max(hole.start, self.here.start), min(hole.stop, self.here.stop))

    def _allowed(self, tokens: Tensor) -> Allowed | None:
        seams = [
            (at - self.here.start, seam)
            for at, seam in self.placed.seams.items()
            if at in self.here
        ]
        if not seams:
            return None
        masks = torch.zeros(
            len(seams), self.network.vocab_size, dtype=torch.bool, device=tokens.device
        )
        which = torch.full_like(tokens, -1)
        for number, (at, seam) in enumerate(seams):
            masks[number, list(seam.allowed)] = True
            which[0, at] = number
        return Allowed(masks, which)


def fill(
    rows: Sequence[Row],
    network: DiffusionGemma,
    config: GenerationConfig,
    edits: LogitEdits | None,
    budget: int | None = None,
) -> Iterator[Draft]:
    """Denoise all rows, each until its last canvas has settled; rows that are done leave.

    Args:
        budget: steps of all rows together, after which they stay as they stand, once one of them is
            whole.

    Yields:
        A Draft a row and step, its number the candidate's; its text is empty.

    Raises:
        NonFiniteError: entropies are not finite; the message names the weights that hold NaN or
            infinity.
    """
    while left := [row for row in rows if row.state is not None]:
        if (
            budget is not None
            and sum(row.steps for row in rows) >= budget
            and any(row.whole for row in rows)
        ):
            return
        with torch.inference_mode():
            state = DenoisingState.join([row.state for row in left if row.state is not None])
            constraints = [row.constraints for row in left]
            options = DenoisingOptions.of(
                [config] * len(left), [edits] * len(left), network.device, constraints
            )
            noise = Noise.of([row.noise_row for row in left], network.device)
            step, state, done = denoise_step(
                network, state, [row.cache for row in left], options, noise
            )
            if not bool(step.entropy.isfinite().all()):
                raise NonFiniteError(describe_non_finite(network))
            drafts = []
            for at, (row, told, finished) in enumerate(
                zip(left, step.rows(), done.tolist(), strict=True)
            ):
                row.state = state.rows(slice(at, at + 1))
                drafts.append(row.take(told))
                if finished:
                    row.settle()
        yield from drafts
