"""Runner: run rows in as few forward passes as it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from redraft.diffusion import DenoisingState, DenoisingStep, denoise_step
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.image_encoder import ImageEncoder
from redraft.engine.images import PlacedImage
from redraft.engine.recorded_step import Batches, StepTaken, record_step
from redraft.engine.recorded_tokens import record_tokens
from redraft.engine.row import (
    Drawn,
    LastState,
    NextToken,
    Part,
    Readout,
    Result,
    Row,
    StepOfRow,
    TokenScores,
    tensor_of,
)
from redraft.engine.sampling import next_tokens
from redraft.engine.scoring import score_tokens
from redraft.errors import NonFiniteError
from redraft.grammar.pace import UnfinishedError, at_pace
from redraft.network import PREFILL_CHUNK, DiffusionGemma
from redraft.network.segments import Clean
from redraft.ops.vocabulary import Readout as VocabularyReadout
from redraft.ops.vocabulary import VocabularyStatistics

Parts = list[tuple[Row, Part]]
# Steps for which shorter prompts may pass a long one.
MAX_PASSED = 8


@dataclass
class Plan:
    """One step of the engine.

    Attributes:
        cache_only: parts that are encoded for the cache alone. read: parts with a readout.
        canvases: rows that take a denoising step. failed: rows that could not get a cache.
        apart: rows that take one by themselves, each with the work that the inference of its
            constraints may do now, in edges; what that does not suffice for is done later.
        images: at most one image that is encoded, and the row whose prompt it is in.
    """

    cache_only: Parts = field(default_factory=list)
    read: Parts = field(default_factory=list)
    canvases: list[Row] = field(default_factory=list)
    apart: list[tuple[Row, int]] = field(default_factory=list)
    failed: list[tuple[Row, Exception]] = field(default_factory=list)
    images: list[tuple[Row, PlacedImage]] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        """All parts."""
        return self.cache_only + self.read


class Runner:
    """Runs forward passes.

    Args:
        prefill_chunk: clean tokens that a step encodes at most; longer prompts take several steps.
        images: the image encoder; None for a model that reads text alone.
    """

    def __init__(
        self,
        model: DiffusionGemma,
        prefill_chunk: int = PREFILL_CHUNK,
        images: ImageEncoder | None = None,
    ) -> None:
        self.model = model
        self.prefill_chunk = prefill_chunk
        self.images = images
        self._batches = Batches()

    def plan(self, rows: Sequence[Row], now: int, groups: Mapping[int, int] | None = None) -> Plan:
        """Take what the next step encodes of the rows' pending tokens, and who is denoised.

        Rows that wait longest go first, so that commits cannot keep a long prompt waiting; `now`
        counts steps. Rows of one group (`groups`: its number, by a row's identity) wait together,
        so that many prompts of one do not go before those of others. A short prompt passes long
        ones that have waited a few steps more. A prompt is
        cut at multiples of `prefill_chunk` of its own, or of what was known of it, whatever else
        waits: it is always read alike. Of prompts with the same beginning one is encoded first: the
        others wait for what the prefix cache then knows. At most one image is encoded a step.
        """
        plan = Plan()
        budget = self.prefill_chunk
        pending = [row for row in rows if row.pending]
        for row in pending:
            row.encoded_at = row.encoded_at or now
        begun = {row.next_block for row in pending if row.cache is not None}
        # What the prefix cache knows of a prompt is looked up once a step.
        counts = [row.pending_tokens for row in pending]
        for row, count in self._in_turn(
            rows, list(zip(pending, counts, strict=True)), groups or {}
        ):
            if min(count, self.prefill_chunk) > budget:
                break
            if row.cache is None and (block := row.next_block):
                if block in begun:
                    continue
                begun.add(block)
            try:
                row.begin()
            except Exception as error:
                plan.failed.append((row, error))
                continue
            if (image := row.unread_image(self.prefill_chunk)) is not None:
                # One a step, so that canvases need not wait for several; its prompt goes on then.
                if not plan.images:
                    plan.images.append((row, image))
                    row.encoded_at = now
                continue
            part = row.take(self.prefill_chunk)
            if part is not None:
                (plan.read if part.readout else plan.cache_only).append((row, part))
                row.encoded_at = now
                budget -= len(part.tokens)
        plan.canvases = [row for row in rows if row.canvas is not None and not row.pending]
        return plan

    def _in_turn(
        self, rows: Sequence[Row], waiting: list[tuple[Row, int]], groups: Mapping[int, int]
    ) -> list[tuple[Row, int]]:
        """Return rows with their pending tokens in the order of their turns: group by group, and in
        a group by the steps that each has waited."""

        def group_of(row: Row) -> tuple[bool, int]:
            return id(row) in groups, groups.get(id(row), id(row))

        last: dict[tuple[bool, int], int] = {}  # step at which a row of the group was encoded
        for row in rows:
            if row.cache is not None:
                last[group_of(row)] = max(row.encoded_at, last.get(group_of(row), 0))
        passed = [min(MAX_PASSED, count / self.prefill_chunk) for _, count in waiting]
        turns: list[tuple[float, tuple[Row, int]]] = sorted(
            ((one[0].encoded_at + more, one) for one, more in zip(waiting, passed, strict=True)),
            key=lambda turn: turn[0],
        )
        fronts: dict[tuple[bool, int], float] = {}
        for turn, (row, _) in turns:
            group = group_of(row)
            since = max(0, last.get(group, 0) - row.encoded_at)
            fronts.setdefault(group, turn + since)
        return [one for _, one in sorted(turns, key=lambda turn: fronts[group_of(turn[1][0])])]

    def run(self, plan: Plan) -> None:
        """Run the passes of a step, and give every row that got through its result.

        Raises:
            NonFiniteError: the model gave NaN or infinity; the message names the weights that
                hold such numbers.
        """
        stepped: list[tuple[Row, DenoisingState]] = []
        results: list[tuple[Row, Result]] = []
        with _encoding(plan.parts):
            for row, image in plan.images:
                assert self.images is not None
                row.features[image.start] = self.images.features(image.image)
            if plan.canvases:
                steps, states = self.denoise(plan.canvases, plan.cache_only)
                results += zip(plan.canvases, steps, strict=True)
                stepped += zip(plan.canvases, states, strict=True)
            elif plan.cache_only:
                self.encode(plan.cache_only)
            for row, work in plan.apart:
                for step, state in self._denoise_apart(row, work):
                    results.append((row, step))
                    stepped.append((row, state))
            if plan.read:
                results += self.read(plan.read)
        # Nothing moves on before every pass is through: a step that failed is taken again.
        for row, state in stepped:
            assert row.canvas is not None
            row.canvas.state = state
            row.canvas.pace.clear()
        for row, result in results:
            row.result = result
            row.note_read()
        for row, part in plan.parts:
            if part.images and not row.pending:
                row.features.clear()
            row.encoder_passes += row.pending  # more to come: nothing was written in this pass

    def encode(self, parts: Parts) -> None:
        """Run one causal pass for the caches alone."""
        clean = self._clean(parts)
        self.model.prefill(clean.tokens, clean.caches, clean.images)

    def denoise(
        self, rows: Sequence[Row], parts: Parts
    ) -> tuple[list[StepOfRow], list[DenoisingState]]:
        """Run one denoising step of every canvas; return it and the states behind it, row by row.

        The same pass encodes `parts`, of these rows or of others: a commit costs no pass.
        """
        canvases = [row.canvas for row in rows if row.canvas is not None]
        state = self._batches.state_of(canvases)
        options, noise = self._batches.settings_of(canvases, self.model.device)
        caches = [row.begin() for row in rows]
        clean = self._clean(parts) if parts else None
        taken = record_step(self.model, state, caches, options, noise, clean)
        if taken is None:
            denoiser = self.model if clean is None else _Encoder(self.model, clean)
            step, state, done = denoise_step(denoiser, state, caches, options, noise)
            finite = bool(step.entropy.isfinite().all())
            taken = StepTaken(_steps_of_rows(step, done) if finite else [], state, finite)
        if not taken.finite:
            raise NonFiniteError(describe_non_finite(self.model))
        return taken.rows, self._batches.take(taken)

    def _denoise_apart(self, row: Row, work: int) -> Iterator[tuple[StepOfRow, DenoisingState]]:
        """Go on with a step whose inference takes several turns; yield it where it is through."""
        assert row.canvas is not None
        pace = row.canvas.pace
        pace.work = work
        if not pace.go_on():
            return
        try:
            with at_pace(pace):
                steps, states = self.denoise([row], [])
        except UnfinishedError:
            return
        yield steps[0], states[0]

    def read(self, parts: Parts) -> list[tuple[Row, Result]]:
        """Encode parts and read what each asks for."""
        if (tokens := record_tokens(self.model, parts)) is not None:
            return [(row, drawn) for (row, _), drawn in zip(parts, tokens, strict=True)]
        states: dict[int, Tensor] = {}
        kinds = dict.fromkeys((part.batch_invariant, part.keep) for _, part in parts)
        for invariant, keep in kinds:
            group = [
                one for one in parts if (one[1].batch_invariant, one[1].keep) == (invariant, keep)
            ]
            clean = self._clean(group)
            encoded = self.model.encode(
                clean.tokens,
                clean.caches,
                batch_invariant=invariant,
                keep=keep,
                images=clean.images,
            )
            states |= {id(row): hidden for (row, _), hidden in zip(group, encoded, strict=True)}
        drawn = [(row, part.readout) for row, part in parts if isinstance(part.readout, NextToken)]
        found = self._draw(drawn, states)
        return [(row, self._result(part.readout, states[id(row)], found.get(id(row))))
                for row, part in parts]  # fmt: skip

    def _draw(self, rows: list[tuple[Row, NextToken]], states: dict[int, Tensor]) -> dict[int, int]:
        """Return the next token of each row, by its identity."""
        if not rows:
            return {}
        hidden = torch.stack([states[id(row)][-1] for row, _ in rows])
        tokens = next_tokens(self.model, hidden, [readout for _, readout in rows])
        return {id(row): token for (row, _), token in zip(rows, tokens, strict=True)}

    def _result(self, readout: Readout | None, states: Tensor, token: int | None) -> Result:
        match readout:
            case LastState():
                return states[-1]
            case TokenScores():
                return score_tokens(self.model, states, readout)
        assert token is not None
        return Drawn(token, states[-1])

    def _clean(self, parts: Parts) -> Clean:
        tokens = [tensor_of(part.tokens, self.model.device) for _, part in parts]
        images = [row.spans(part) for row, part in parts]
        return Clean(tokens, [row.begin() for row, _ in parts], images if any(images) else ())


def _steps_of_rows(step: DenoisingStep, done: Tensor) -> list[StepOfRow]:
    columns = (step.argmax_canvas, step.accepted, step.entropy, step.confidence)
    rows = zip(*(column.tolist() for column in columns), done.tolist(), strict=True)
    return [
        StepOfRow(tuple(tokens), tuple(accepted), tuple(entropy), tuple(confidence), ended)
        for tokens, accepted, entropy, confidence, ended in rows
    ]


@contextmanager
def _encoding(parts: Parts) -> Iterator[None]:
    """Guard the caches that a step writes: where it fails they are in doubt, and read again."""
    try:
        yield
    except BaseException:
        for row, _ in parts:
            row.forget()
        raise


@dataclass(frozen=True)
class _Encoder:
    """The model, whose denoising pass encodes `clean` on its way."""

    model: DiffusionGemma
    clean: Clean

    @property
    def vocab_size(self) -> int:
        return self.model.vocab_size

    def embed(self, tokens: Tensor) -> Tensor:
        return self.model.embed(tokens)

    def denoise(
        self,
        canvas: Tensor,
        caches: Iterable[Any],
        self_conditioning: Tensor,
        readout: VocabularyReadout,
    ) -> VocabularyStatistics:
        return self.model.denoise(canvas, list(caches), self_conditioning, readout, self.clean)
