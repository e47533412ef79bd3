"""Generation: a text written by diffusion, canvas by canvas."""

from __future__ import annotations

import itertools

import torch

from redraft.config import ModelConfig
from redraft.diffusion import Canvas, Noise
from redraft.engine.images import image_sizes
from redraft.engine.logit_edits import logit_edits
from redraft.engine.memory_budget import Share
from redraft.engine.output import Output
from redraft.engine.request import Request
from redraft.engine.row import CanvasInputs, Part, Row, StepOfRow
from redraft.engine.work import Course, Resources, Work
from redraft.events import Committed, Draft, EngineEvent
from redraft.grammar.guide import Guide
from redraft.grammar.reach import memory_of


class TextWork(Work):
    """Work that writes the text of a Request, by whatever method.

    Attributes:
        output: the text so far. guide: state of the text under its constraint.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request, self.adapter = request, request.adapter
        self.output: Output | None = None
        dfa = request.dfa
        self.guide = Guide(dfa, request.config.max_new_tokens) if dfa else None

    def begin(self, number: int, resources: Resources) -> None:
        super().begin(number, resources)
        self.output = Output(number, self.request, resources.tokenizer)

    def commit(self, tokens: tuple[int, ...], steps: int, *, settled: bool = True) -> None:
        """Add tokens to the text, and send the events of it.

        Args:
            settled: False for a draft that the deadline ended; the text ends with it.
        """
        assert self.output is not None
        index = len(self.output.steps_per_canvas)
        added, text = self.output.commit(tokens, steps, late=self.late, settled=settled)
        if self.guide is not None:
            self.guide.advance(added)
        self.emit(
            Committed(
                request=self.number, canvas=index, steps=steps, tokens=tuple(added), text=text
            )
        )

    def finish(self, row: Row) -> None:
        """Send the closing event."""
        assert self.output is not None
        self.output.encoder_passes = row.encoder_passes
        self.output.cached_tokens = row.cached_tokens
        self.emit(self.output.finished())

    def cancel(self) -> list[EngineEvent]:
        super().cancel()
        return [] if self.output is None else [self.output.cancel()]


class Generation(TextWork):
    """Writes by diffusion: noise, denoising steps, commit, and the next canvas behind it."""

    def share(self, config: ModelConfig) -> Share:
        # The last canvas is never encoded.
        canvases = (self.request.config.max_new_tokens - 1) // config.canvas_length
        tokens = len(self.request.prompt) + canvases * config.canvas_length
        dfa, images = self.request.dfa, image_sizes(self.request.images)
        inference = 0 if dfa is None else memory_of(dfa, config.canvas_length)
        return Share(rows=1, caches=1, tokens=tokens, images=images, inference=inference)

    def course(self, resources: Resources) -> Course:
        output, request = self.output, self.request
        assert output is not None
        capacity = self.share(resources.config).tokens
        row = resources.row(capacity, request.prompt, request.images)
        row.append(Part(request.prompt, images=request.images))
        while output.reason is None:
            row.canvas = self.start_canvas(resources)
            for steps in itertools.count(1):
                yield [row]
                assert isinstance(row.result, StepOfRow)
                step = row.result
                self._draft(step, steps)
                if step.done or self.late:
                    break
            row.canvas = None
            self.commit(step.tokens, steps, settled=step.done)
            if output.reason is None:
                row.append(Part(step.tokens))
        self.finish(row)

    def start_canvas(self, resources: Resources) -> CanvasInputs:
        """Lay out the next canvas: noise, with the request's frozen tokens on the first."""
        assert self.output is not None
        request, config, device = self.request, resources.config, resources.device
        index = len(self.output.steps_per_canvas)
        noise_row = request.seed, request.stream, index
        tokens = Noise.of([noise_row], device).initial(config.canvas_length, config.vocab_size)
        canvas = Canvas.free(tokens)
        frozen = request.frozen if index == 0 else {}
        if frozen:
            at = torch.tensor(list(frozen), device=device)
            tokens[0, at] = torch.tensor(list(frozen.values()), device=device)
            canvas.frozen[0, at] = True
        span_constraints = () if self.guide is None else (
            self.guide.on_canvas(config.canvas_length, frozen),
        )  # fmt: skip
        return resources.canvas_inputs(
            canvas,
            request.config,
            noise_row,
            edits=logit_edits(request.config, self.output.context, device, self.output.tokens),
            span_constraints=span_constraints,
            sampler=request.sampler,
            stopping=request.stopping,
        )

    def _draft(self, result: StepOfRow, step: int) -> None:
        assert self.output is not None
        if not self.drafts:
            self.output.note_draft(result.tokens)
            return
        revised = self.output.revised(result.tokens)
        self.output.note_draft(result.tokens)
        self.emit(
            Draft(
                request=self.number,
                canvas=len(self.output.steps_per_canvas),
                step=step,
                tokens=result.tokens,
                accepted=result.accepted,
                revised=revised,
                entropy=result.entropy,
                confidence=result.confidence,
                text=self.output.draft_text(result.tokens),
            )
        )
