"""Candidate row: one way to lay out the holes of a text, denoised canvas by canvas."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import Canvas, Noise, Sampler, StoppingCriteria
from redraft.editing.layout import CanvasLayout
from redraft.engine.row import CanvasInputs, Part, Row, StepOfRow
from redraft.engine.work import Resources
from redraft.events import Draft
from redraft.grammar import TokenDFA
from redraft.grammar.guide import CanvasConstraint, Guide
from redraft.ops.vocabulary import Allowed, LogitEdits


class CandidateRow:
    """One candidate on its way.

    Args:
        number: stream of its noise, and the number of its drafts.
        prefix: its cache holds what stands before the canvases.
        ignored: tokens that are no text where a hole holds them, such as padding.
        dfas: the constraint of each hole, None for a free one; empty for no constraints.

    Attributes:
        row: the engine's row. tokens: all positions, 0 where nothing is written yet.
        written: number of positions that are final or hold a draft. steps: denoising steps so far.
        history: the tokens that each open position held, step by step.
    """

    def __init__(
        self,
        number: int,
        layout: CanvasLayout,
        prefix: Row,
        resources: Resources,
        config: GenerationConfig,
        edits: LogitEdits | None,
        ignored: frozenset[int] = frozenset(),
        dfas: Sequence[TokenDFA | None] = (),
        sampler: Sampler | None = None,
        stopping: StoppingCriteria | None = None,
    ) -> None:
        self.number, self.layout, self.ignored = number, layout, ignored
        self.row = Row(resources.prefixes, base=prefix.begin())
        self.tokens = list(layout.tokens)
        self.written = self.steps = self.canvas = 0
        self.history: dict[int, list[int]] = {}
        for hole in layout.holes:
            self.history |= {at: [] for at in hole}
        self._resources, self._config, self._edits = resources, config, edits
        self._sampler, self._stopping = sampler, stopping
        self._canvas_steps = 0
        self._guides: dict[int, Guide] = {}
        for at, (hole, dfa) in enumerate(zip(layout.holes, dfas, strict=False)):
            if dfa is not None:
                self._guides[at] = Guide(dfa, len(hole))
        self.row.canvas = self._start()

    @property
    def positions(self) -> range:
        """The positions of the canvas that is being denoised."""
        return self.layout.canvases[self.canvas]

    @property
    def settled(self) -> bool:
        """True once the last canvas is done."""
        return self.row.canvas is None

    @property
    def complete(self) -> bool:
        """True where something is written in every hole."""
        return self.written >= self.layout.holes[-1].stop

    def text_tokens(self, positions: range) -> list[int]:
        """Return the tokens at some positions, without those in holes that are no text."""
        return [
            self.tokens[at]
            for at in positions
            if at not in self.history or self.tokens[at] not in self.ignored
        ]

    def check_frozen(self) -> None:
        """Assert that every frozen position holds its token."""
        for at, given in enumerate(self.layout.tokens):
            assert at in self.history or self.tokens[at] == given, "a frozen position changed"

    def fill(self, number: int) -> list[int]:
        """Return the tokens that are written in one hole so far."""
        hole = self.layout.holes[number]
        return self.text_tokens(range(hole.start, min(hole.stop, self.written)))

    def end(self, empty: int) -> None:
        """Leave the row as it stands: positions where nothing is written hold the token `empty`."""
        for at in self.history:
            if at >= self.written:
                self.tokens[at] = empty
        self.written = max(self.written, self.layout.holes[-1].stop)

    def absorb(self) -> Draft:
        """Take in the result of a step: return its draft, and go on to the next canvas if done."""
        result, here = self.row.result, self.positions
        assert isinstance(result, StepOfRow)
        tokens = result.tokens
        before = self.tokens[here.start : here.stop] if self.written > here.start else tokens
        revised = [old != new for old, new in zip(before, tokens, strict=False)]
        revised += [False] * (len(tokens) - len(revised))
        self.tokens[here.start : here.stop] = tokens[: len(here)]
        self.written = here.stop
        self.steps += 1
        self._canvas_steps += 1
        for position in here:
            if position in self.history:
                self.history[position].append(self.tokens[position])
        draft = Draft(
            request=0,
            candidate=self.number,
            canvas=self.canvas,
            step=self._canvas_steps,
            tokens=tokens,
            accepted=result.accepted,
            revised=tuple(revised),
            entropy=result.entropy,
            confidence=result.confidence,
        )
        if result.done:
            self._settle()
        return draft

    def _settle(self) -> None:
        """End this canvas: where there is another, this one is encoded, and the next begins."""
        for number, guide in self._guides.items():
            guide.advance(self.tokens[at] for at in self._part(number))
        if self.canvas + 1 == len(self.layout.canvases):
            self.row.canvas = None
            return
        if tokens := self.text_tokens(self.positions):
            self.row.append(Part(tuple(tokens)))
        self.canvas += 1
        self._canvas_steps = 0
        self.row.canvas = self._start()

    def _start(self) -> CanvasInputs:
        config, device = self._resources.config, self._resources.device
        assert self._config.seed is not None
        noise_row = self._config.seed, self.number, self.canvas
        tokens = Noise.of([noise_row], device).initial(config.canvas_length, config.vocab_size)
        frozen = torch.zeros_like(tokens, dtype=torch.bool)
        given = [at for at in self.positions if at not in self.history]
        index = torch.tensor(given, dtype=torch.int64, device=device) - self.positions.start
        values = [self.tokens[at] for at in given]
        tokens[0, index] = torch.tensor(values, dtype=torch.int64, device=device)
        frozen[0, index] = True
        return self._resources.canvas_inputs(
            Canvas(tokens, frozen, self._allowed(tokens)),
            self._config,
            noise_row,
            edits=self._edits,
            span_constraints=self._span_constraints(),
            sampler=self._sampler,
            stopping=self._stopping,
        )

    def _span_constraints(self) -> list[CanvasConstraint]:
        """Return what the holes' constraints say of this canvas."""
        parts = [(guide, self._part(number)) for number, guide in self._guides.items()]
        start = self.positions.start
        return [
            guide.on_canvas(len(part), first=part.start - start) for guide, part in parts if part
        ]

    def _part(self, number: int) -> range:
        """Return the positions of a hole on this canvas."""
        hole, here = self.layout.holes[number], self.positions
        return range(max(hole.start, here.start), min(hole.stop, here.stop))

    def _allowed(self, tokens: Tensor) -> Allowed | None:
        """Return what the borders of this canvas may take; None where it has none."""
        here = self.positions
        borders = [
            (at - here.start, seam) for at, seam in self.layout.borders.items() if at in here
        ]
        if not borders:
            return None
        size = self._resources.config.vocab_size
        masks = torch.zeros(len(borders), size, dtype=torch.bool, device=tokens.device)
        which = torch.full_like(tokens, -1)
        for number, (at, seam) in enumerate(borders):
            masks[number, list(seam.allowed)] = True
            which[0, at] = number
        return Allowed(masks, which)
