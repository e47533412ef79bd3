"""Infill: candidates of a text with holes, denoised as rows behind one prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from redraft.config import GenerationConfig, ModelConfig
from redraft.diffusion import Sampler, StoppingCriteria
from redraft.editing.candidate_row import CandidateRow
from redraft.editing.layout import Placed, behind
from redraft.editing.result import Candidate, Infilled
from redraft.editing.scores import score_texts, total
from redraft.editing.template import Template
from redraft.engine.logit_edits import logit_edits
from redraft.engine.memory_budget import Share
from redraft.engine.prefix_rows import SessionPrefix, prefix_row
from redraft.engine.row import LastState, Row
from redraft.engine.work import Course, Resources, Work
from redraft.grammar import TokenDFA
from redraft.grammar.reach import memory_of
from redraft.text import Tokenizer
from redraft.text.tokenizer import REPLACEMENT_CHARACTER


@dataclass(frozen=True)
class InfillPlan:
    """Everything that filling one template takes, checked.

    Attributes:
        placed: one a candidate; at least one has no borders.
        config: with a seed. pad_token_id: fills the rest of a hole.
        max_steps: denoising steps of all candidates together; None for no limit.
        dfas: the constraint of each hole, None for a free one.
        sampler, stopping: None for those of the config.
        session: the prefix of an edit session, kept from edit to edit.
    """

    tokenizer: Tokenizer
    template: Template
    placed: list[Placed]
    config: GenerationConfig
    pad_token_id: int
    max_steps: int | None
    dfas: tuple[TokenDFA | None, ...]
    sampler: Sampler | None = None
    stopping: StoppingCriteria | None = None
    session: SessionPrefix | None = None


class InfillCandidates(Work):
    """Fills the holes of a template; completes with Infilled.

    It sends a Draft for each candidate and step.
    """

    def __init__(self, plan: InfillPlan) -> None:
        super().__init__()
        self.plan = plan

    def share(self, config: ModelConfig) -> Share:
        # The prefix, and a copy of it for each candidate of several canvases.
        placed = self.plan.placed
        copies = sum(len(one.layout.canvases) > 1 for one in placed)
        return Share(
            len(placed),
            1 + copies,
            len(placed[0].pieces.prefix) + self._capacity_behind(config),
            inference=sum(self._inference(one, config.canvas_length) for one in placed),
        )

    def _inference(self, placed: Placed, canvas: int) -> int:
        """Return the bytes that inference over the holes of a candidate holds at most."""
        holes = zip(placed.layout.holes, self.plan.dfas, strict=False)
        return sum(memory_of(dfa, min(len(hole), canvas)) for hole, dfa in holes if dfa)

    def _capacity_behind(self, config: ModelConfig) -> int:
        """Return the tokens behind the prefix that a candidate's cache holds at most."""
        canvases = max(len(placed.layout.canvases) for placed in self.plan.placed)
        return canvases * config.canvas_length

    def course(self, resources: Resources) -> Course:
        plan = self.plan
        pieces = plan.placed[0].pieces
        prefix = self._prefix(resources, pieces.prefix)
        yield [prefix]
        last = prefix.result
        assert isinstance(last, Tensor)
        if plan.session is not None:
            plan.session.note(pieces.prefix)
        rows = self._candidates(prefix, resources)
        yield from self._denoise(rows)
        if not any(row.complete for row in rows):
            # The deadline came first: what was not reached stays empty.
            for row in rows:
                row.end(plan.pad_token_id)
        complete = [row for row in rows if row.complete]
        scores = yield from score_texts(resources, prefix, last, self._texts(complete))
        self.complete(self._result(complete, [total(found) for found in scores]))

    def _prefix(self, resources: Resources, tokens: Sequence[int]) -> Row:
        pieces, behind_prefix = self.plan.placed[0].pieces, self._capacity_behind(resources.config)
        if self.plan.session is None:
            return prefix_row(resources, tokens, len(tokens) + behind_prefix, LastState())
        # What is kept for later edits has behind_prefix for the whole text.
        whole = pieces.between_length + len(pieces.right)
        return self.plan.session.row(resources, tokens, len(tokens) + behind_prefix + whole)

    def _candidates(self, prefix: Row, resources: Resources) -> list[CandidateRow]:
        plan = self.plan
        ignored = frozenset(plan.tokenizer.special_tokens() | {plan.pad_token_id})
        edits = logit_edits(plan.config, plan.placed[0].pieces.prefix, resources.device)
        return [
            CandidateRow(
                number,
                placed.layout,
                prefix,
                resources,
                plan.config,
                edits,
                ignored,
                plan.dfas,
                plan.sampler,
                plan.stopping,
            )
            for number, placed in enumerate(plan.placed)
        ]

    def _denoise(self, rows: Sequence[CandidateRow]) -> Iterator[Sequence[Row]]:
        """Run all candidates until each has settled, the steps are used up and one is whole, or the
        deadline is over."""
        limit = self.plan.max_steps
        while left := [row for row in rows if not row.settled]:
            spent = limit is not None and sum(row.steps for row in rows) >= limit
            late = self.late and any(row.steps for row in rows)
            if late or (spent and any(row.complete for row in rows)):
                return
            yield [row.row for row in left]
            drafts = [row.absorb() for row in left]
            if self.drafts:
                for draft in drafts:
                    fills = self._fills(rows[draft.candidate])
                    text = self.plan.template.filled([fill or "" for fill in fills])
                    self.emit(replace(draft, request=self.number, text=text))

    def _result(self, rows: list[CandidateRow], scores: list[float]) -> Infilled:
        """Return the best candidate, and all others behind it."""
        tried: list[tuple[Candidate, CandidateRow]] = []
        for row, score in zip(rows, scores, strict=True):
            row.check_frozen()
            fills = self._fills(row)
            # A text that changes what stands outside its holes is no candidate: the tokenizer
            # joined what should stay apart.
            kept = tuple(text for text in fills if text is not None)
            if len(kept) == len(fills):
                widths = self.plan.placed[row.number].widths
                tried.append((Candidate(widths, kept, row.steps, score), row))
        # Half a character is worse than any other filling.
        tried.sort(key=lambda one: (REPLACEMENT_CHARACTER in "".join(one[0].fills), -one[0].score))
        best, row = tried[0]
        placed = self.plan.placed[row.number]
        assert self.plan.config.seed is not None
        return Infilled(
            text=self.plan.template.filled(best.fills),
            fills=best.fills,
            candidates=tuple(candidate for candidate, _ in tried),
            right_context=(placed.right_seen, placed.pieces.right_length),
            seed=self.plan.config.seed,
            history=tuple(tuple(held) for held in row.history.values()),
            settled=row.settled,
        )

    def _fills(self, row: CandidateRow) -> list[str | None]:
        """Return the text of each hole so far, without what its borders have from outside.

        None where the text outside would change.
        """
        fills: list[str | None] = []
        pieces = self.plan.placed[row.number].pieces
        for number, (left, right) in enumerate(pieces.borders):
            text = self.plan.tokenizer.decode(row.fill(number))
            first, last = (left.text if left else ""), (right.text if right else "")
            if row.written < row.layout.holes[number].stop:
                fills.append(text.removeprefix(first))
                continue
            same = text.startswith(first) and text.endswith(last)
            whole = same and len(text) >= len(first) + len(last)
            fills.append(text[len(first) : len(text) - len(last)] if whole else None)
        return fills

    def _texts(self, rows: Sequence[CandidateRow]) -> list[list[int]]:
        """Return what is scored of each row: the text up to the end of its last hole, and what
        stands behind as far as any row sees it."""
        placed = [self.plan.placed[row.number] for row in rows]
        limit = max(one.right_seen for one in placed)
        return [
            row.text_tokens(range(row.layout.holes[-1].stop)) + behind(one.pieces, limit)
            for row, one in zip(rows, placed, strict=True)
        ]
