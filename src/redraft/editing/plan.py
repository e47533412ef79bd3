"""Plan: from what a caller asks of a text to work that the engine can run, checked before."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from redraft.config import GenerationConfig
from redraft.config.check import check_integer
from redraft.diffusion import (
    Sampler,
    StoppingCriteria,
    as_sampler,
    as_stopping,
    check_settings_are_read,
)
from redraft.editing.infill import InfillCandidates, InfillPlan
from redraft.editing.infill_autoregressive import AutoregressiveInfill
from redraft.editing.layout import Pieces, Placed, place, widths_to_try
from redraft.editing.options import InfillOptions, RepairOptions, Search, split_options
from redraft.editing.repair import RepairCandidates
from redraft.editing.template import MAX_TOKENS, Hole, Template, check_text, checked_spans
from redraft.engine import Processor, Work
from redraft.engine.prefix_rows import SessionPrefix
from redraft.engine.request import Method, check_tokens, check_without_canvas, checked_method
from redraft.errors import ConstraintUnsatisfiedError, ContextLengthError, RequestError
from redraft.grammar import TokenDFA, as_constraint
from redraft.text.token_texts import TokenTexts


def plan_infill(
    processor: Processor,
    template: Template,
    instruction: str | None = None,
    options: InfillOptions | None = None,
    *,
    method: Method = "diffusion",
    session: SessionPrefix | None = None,
) -> Work:
    """Return the work that fills a template; see `Model.infill` for the arguments.

    Raises:
        RequestError, ConfigError: the template or an option cannot be used; the message says why.
    """
    search, settings = split_options(options or {})
    constrained = any(hole.constraint is not None for hole in template.holes)
    config = processor.settings(settings, constrained=constrained)
    if checked_method(method) == "autoregressive":
        check_without_canvas(search.sampler, search.stopping)
        return _plan_autoregressive(processor, template, instruction, config)
    sampler, stopping = _strategies(search, settings, config)
    pieces = _pieces(processor, template, instruction)
    dfas = _hole_dfas(processor, template)
    needed = [_min_tokens(dfa) for dfa in dfas]
    widths = widths_to_try(template, search.max_candidates, needed)
    _check_length(processor, pieces, pieces.between_length + sum(widths[0]))
    forms = [pieces]
    if search.heal:
        healed = _healed(processor, pieces, dfas)
        forms += [healed] if any(any(pair) for pair in healed.borders) else []
    placed = _place_all(processor, forms, widths, processor.fill_token(config))
    return InfillCandidates(
        InfillPlan(
            processor.require_tokenizer("infilling"),
            template,
            placed,
            config,
            processor.config.pad_token_id,
            search.max_steps,
            dfas,
            sampler,
            stopping,
            session,
        )
    )


def plan_repair(
    processor: Processor,
    text: str,
    instruction: str | None = None,
    options: RepairOptions | None = None,
    *,
    max_noised: int = 8,
    rounds: int = 4,
) -> Work:
    """Return the work that repairs a text; see `Model.repair` for the arguments.

    Raises:
        RequestError, ConfigError: the text or an option cannot be used; the message says why.
    """
    check_integer("rounds", rounds, minimum=1)
    check_integer("max_noised", max_noised, minimum=1)
    search, settings = split_options(options or {})
    config = processor.settings(settings)
    sampler, stopping = _strategies(search, settings, config)
    check_text(text)
    tokenizer = processor.require_tokenizer("repair")
    opening, closing = processor.around(instruction)
    if not opening:
        raise RequestError(
            "this tokenizer has no BOS for a text to stand behind: give an instruction"
        )
    tokens = tokenizer.encode(text, bos=False)
    check_tokens([*opening, *tokens], processor.config)
    needed = len(opening) + len(tokens) + processor.config.canvas_length
    limit = processor.config.max_position_embeddings
    if needed > limit:
        raise ContextLengthError(
            f"the text and a canvas need {needed} tokens, the context holds {limit}: repair it in "
            "parts"
        )
    return RepairCandidates(
        tokenizer,
        config,
        text,
        opening,
        closing,
        processor.fill_token(config),
        processor.config.pad_token_id,
        max_noised,
        rounds,
        sampler,
        stopping,
    )


def rewriting(
    processor: Processor,
    text: str,
    spans: Sequence[tuple[int, int]],
    instruction: str | None,
    hole: Hole | None,
) -> tuple[Template, str | None]:
    """Return the template that has a hole for each span, and the instruction that names the spans.

    The model does not see what it writes over: `rewrite SPANS: INSTRUCTION` says it.
    """
    template = Template.around(text, spans, hole)
    old = [text[first:last] for first, last in sorted(checked_spans(text, spans))]
    if hole is None:
        tokenizer = processor.require_tokenizer("infilling")
        tokens = max(len(tokenizer.encode(part, bos=False)) for part in old)
        template = Template.around(text, spans, Hole(1, max(MAX_TOKENS, 2 * tokens)))
    if instruction is not None:
        instruction = f"rewrite {' ... '.join(part.strip() for part in old)}: {instruction}"
    return template, instruction


def _strategies(
    search: Search, settings: Mapping[str, Any], config: GenerationConfig
) -> tuple[Sampler | None, StoppingCriteria | None]:
    """Return the sampler and the stopping criterion that options ask for."""
    sampler = as_sampler(search.sampler, config)
    stopping = as_stopping(search.stopping, config)
    check_settings_are_read(settings, sampler, stopping)
    return sampler, stopping


def _plan_autoregressive(
    processor: Processor,
    template: Template,
    instruction: str | None,
    config: GenerationConfig,
) -> Work:
    if any(hole.constraint for hole in template.holes):
        raise RequestError(
            "the autoregressive method cannot fill holes that have a constraint: it does not know "
            "where they end"
        )
    pieces = _pieces(processor, template, instruction)
    room = sum(hole.max_tokens for hole in template.holes) + pieces.between_length
    _check_length(processor, pieces, room + processor.config.canvas_length)
    tokenizer = processor.require_tokenizer("infilling")
    ends = processor.end_tokens(config)
    return AutoregressiveInfill(tokenizer, template, pieces, ends, config.seed or 0)


def _pieces(processor: Processor, template: Template, instruction: str | None) -> Pieces:
    tokenizer = processor.require_tokenizer("infilling")
    opening, closing = processor.around(instruction)
    end = closing or processor.end_tokens(processor.generation_config)[:1]
    length = processor.config.canvas_length
    pieces = Pieces.of(template, tokenizer, opening, closing, end, length)
    between = itertools.chain(*pieces.between)
    check_tokens([*pieces.prefix, *pieces.left, *between, *pieces.right], processor.config)
    if not pieces.prefix:
        raise RequestError(
            "nothing stands before the hole and this tokenizer has no BOS: give an instruction"
        )
    return pieces


def _healed(processor: Processor, pieces: Pieces, dfas: Sequence[TokenDFA | None]) -> Pieces:
    """Return the pieces with borders where a hole begins or ends inside a word."""
    texts = processor.require_tokenizer("infilling").token_texts
    if len(texts) > processor.config.vocab_size:
        texts = TokenTexts(texts[: processor.config.vocab_size])
    return pieces.healed(texts, [dfa is not None for dfa in dfas])


def _place_all(
    processor: Processor,
    forms: Sequence[Pieces],
    widths: Sequence[tuple[int, ...]],
    fill_token: int,
) -> list[Placed]:
    """Lay out every form with every width, as far as the context holds it; the first must fit."""
    length = processor.config.canvas_length
    limit = processor.config.max_position_embeddings
    placed: list[Placed] = []
    for one, form in itertools.product(widths, forms):
        # What the context cannot hold is not laid out: a hole may be said to have a million tokens.
        least = len(form.prefix) + form.between_length + sum(one)
        if least > limit:
            continue
        candidate = place(form, one, length, fill_token)
        end = candidate.layout.canvases[-1].start + length
        if not placed:
            _check_length(processor, forms[0], end)
        if len(forms[0].prefix) + end <= limit:
            placed.append(candidate)
    return placed


def _hole_dfas(processor: Processor, template: Template) -> tuple[TokenDFA | None, ...]:
    """Return what each hole must be, compiled: a text, then padding."""
    return tuple(
        _compiled(processor, hole, number) for number, hole in enumerate(template.holes, 1)
    )


def _compiled(processor: Processor, hole: Hole, number: int) -> TokenDFA | None:
    """Return the constraint of one hole over tokens, None for a free hole."""
    constraint = as_constraint(hole.constraint)
    if constraint is None:
        return None
    tokenizer, pad = processor.require_tokenizer("infilling"), processor.config.pad_token_id
    dfa = constraint.compile(tokenizer, [pad], pad, processor.config.vocab_size)
    shortest = 0 if dfa is None else dfa.min_tokens
    if shortest > hole.max_tokens:
        raise ConstraintUnsatisfiedError(
            f"the shortest text for hole {number} has {shortest} tokens, it has room for "
            f"{hole.max_tokens}: give it more"
        )
    return dfa


def _min_tokens(dfa: TokenDFA | None) -> int:
    """Return the tokens that a hole needs at least."""
    return 1 if dfa is None else max(1, dfa.min_tokens)


def _check_length(processor: Processor, pieces: Pieces, behind: int) -> None:
    needed, limit = len(pieces.prefix) + behind, processor.config.max_position_embeddings
    if needed > limit:
        raise ContextLengthError(
            f"the text before the hole and the canvases behind it need {needed} tokens, the "
            f"context holds {limit}: shorten the text before the hole, or make the holes smaller"
        )
