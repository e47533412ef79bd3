"""Two models write the same requests: steps that each needs, tokens and texts on which they agree,
tasks that each solves."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redraft.api import Model
from redraft.checkpoint import load_weights
from redraft.checkpoint.quantize import Quantization
from redraft.engine import Request
from redraft.errors import ConfigError
from redraft.evals.divergence import Distance, by_step, of_all_steps, text_end, walk
from redraft.evals.questions import Question
from redraft.evals.sets import SETS
from redraft.evals.summary import wilson
from redraft.events import Draft, Finished
from redraft.quant import PackedWeight

RESAMPLES = 2000

Progress = Callable[[], object]


@dataclass(frozen=True)
class Written:
    """What a model made of a request. first: its first canvas as it was committed, whole."""

    first: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Steps:
    """Mean steps a canvas of two models, and the second's over the first's with its 95 % interval:
    requests drawn anew, in pairs. first_counts, second_counts: of each canvas."""

    first: float
    second: float
    ratio: float
    low: float
    high: float
    first_counts: tuple[int, ...]
    second_counts: tuple[int, ...]


@dataclass(frozen=True)
class Agreement:
    """Shares: of free positions of first canvases with the same committed token, of those that
    belong to either text, and of whole texts that are the same."""

    positions: float
    written: float
    texts: float


@dataclass(frozen=True)
class Solved:
    """Shares of a set's examples solved by each, with 95 % intervals; lost, gained: by the first
    alone, by the second alone."""

    set: str
    count: int
    first: float
    first_interval: tuple[float, float]
    second: float
    second_interval: tuple[float, float]
    lost: int
    gained: int


@dataclass(frozen=True)
class Comparison:
    """All that was measured of two models."""

    count: int
    distance: Distance
    distances: list[Distance]
    steps: Steps
    agreement: Agreement
    solved: list[Solved]


def check_pair(first: Model, second: Model, *, same_signal: bool = False) -> None:
    """Whether two models read and write the same canvases, and can hear the same signal.

    Raises:
        ConfigError: they do not.
    """
    for name in ("vocab_size", "canvas_length", *(["hidden_size"] if same_signal else [])):
        ours, theirs = getattr(first.config, name), getattr(second.config, name)
        if ours != theirs:
            raise ConfigError(
                f"A has {name} {ours}, B {theirs}: only models that share what they read can be compared"
            )
    if first.tokenizer is None or second.tokenizer is None:
        return
    if first.tokenizer.backend.get_vocab() != second.tokenizer.backend.get_vocab():
        raise ConfigError(
            "the tokenizers of A and B have other tokens at the same places: nothing can be compared"
        )


def quantized(model: Model, quantization: Quantization) -> Model:
    """The same model, read again with its weights in few bits.

    Raises:
        ConfigError: it was not loaded from a checkpoint, or is in few bits already.
    """
    network, checkpoint = model.network, model.checkpoint
    if checkpoint is None:
        raise ConfigError(
            "only a model from a checkpoint can be read again in few bits: save it first"
        )
    if any(isinstance(module, PackedWeight) for module in network.modules()):
        raise ConfigError("A is in few bits already: name the whole model as A")
    again = load_weights(
        checkpoint, dtype=network.dtype, device=network.device, quantization=quantization
    )
    if not any(isinstance(module, PackedWeight) for module in again.modules()):
        raise ConfigError(
            f"no weight of A has rows that divide into groups of {quantization.group}: all would stay whole"
        )
    return Model(again, model.tokenizer, model.chat_template, model.generation_config, checkpoint)


def compare_pair(
    first: Model,
    second: Model,
    questions: Sequence[Question],
    *,
    batch_size: int = 8,
    same_signal: bool = False,
    begin: Callable[[str], Progress | None] = lambda part: None,
) -> Comparison:
    """Measure all there is of two models, the settings being those of the questions.

    Args:
        same_signal: on A's canvases B hears A's self-conditioning, not its own.
        begin: called with each part's name before it is measured; what it returns is called after
            each question.

    Raises:
        ConfigError, RequestError: the two cannot be compared, or the second cannot serve a
            question.
    """
    check_pair(first, second, same_signal=same_signal)
    requests = [question.request for question in questions]
    for one in requests:
        Request.checked(one.prompt, one.config, second.config, frozen=one.frozen)
    progress = begin("the same canvases")
    walks = walk(
        first.network,
        second.network,
        requests,
        batch_size=batch_size,
        same_signal=same_signal,
        progress=progress,
    )
    ours = write(first, requests, batch_size, begin("A writes"))
    theirs = write(second, requests, batch_size, begin("B writes"))
    return Comparison(
        count=len(questions),
        distance=of_all_steps(walks),
        distances=by_step(walks),
        steps=steps(ours, theirs),
        agreement=agreement(requests, ours, theirs),
        solved=solved(questions, ours, theirs),
    )


def write(
    model: Model, requests: Sequence[Request], batch_size: int, progress: Progress | None = None
) -> list[Written]:
    """What the model makes of requests, in order."""
    firsts: dict[int, tuple[int, ...]] = {}
    found: dict[int, Written] = {}
    for event in model.run(requests, max_batch_size=batch_size):
        if isinstance(event, Draft) and event.canvas == 0:
            firsts[event.request] = event.tokens
        elif isinstance(event, Finished):
            counts = event.statistics.steps_per_canvas
            found[event.request] = Written(firsts[event.request], event.tokens, event.text, counts)
            if progress:
                progress()
    return [found[number] for number in range(len(requests))]


def steps(ours: Sequence[Written], theirs: Sequence[Written], resamples: int = RESAMPLES) -> Steps:
    """Steps a canvas of two models, and the ratio's interval by the bootstrap over requests (B.
    Efron, 1979)."""
    rows = [
        (sum(a.steps), len(a.steps), sum(b.steps), len(b.steps))
        for a, b in zip(ours, theirs, strict=True)
    ]

    def means(chosen: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
        taken, canvases, taken_too, canvases_too = (
            sum(column) for column in zip(*chosen, strict=True)
        )
        return taken / canvases, taken_too / canvases_too

    rng = random.Random(0)
    drawn = [means(rng.choices(rows, k=len(rows))) for _ in range(resamples)]
    ratios = sorted(second / first for first, second in drawn)
    first, second = means(rows)
    return Steps(
        first=first,
        second=second,
        ratio=second / first,
        low=ratios[int(0.025 * resamples)],
        high=ratios[int(0.975 * resamples)],
        first_counts=tuple(count for one in ours for count in one.steps),
        second_counts=tuple(count for one in theirs for count in one.steps),
    )


def agreement(
    requests: Sequence[Request], ours: Sequence[Written], theirs: Sequence[Written]
) -> Agreement:
    """On what two models agree, given positions left out."""
    everywhere: list[bool] = []
    written: list[bool] = []
    for request, a, b in zip(requests, ours, theirs, strict=True):
        end = max(text_end(one.first, request.config) for one in (a, b))
        same = {
            at: x == y
            for at, (x, y) in enumerate(zip(a.first, b.first, strict=True))
            if at not in request.frozen
        }
        everywhere += same.values()
        written += [agree for at, agree in same.items() if at < end]
    texts = [a.tokens == b.tokens for a, b in zip(ours, theirs, strict=True)]
    return Agreement(positions=_share(everywhere), written=_share(written), texts=_share(texts))


def _share(said: Sequence[bool]) -> float:
    return sum(said) / len(said) if said else 1.0


def solved(
    questions: Sequence[Question], ours: Sequence[Written], theirs: Sequence[Written]
) -> list[Solved]:
    """One row a set, in the order of the questions."""
    judged: dict[str, list[tuple[bool, bool]]] = {}
    for question, a, b in zip(questions, ours, theirs, strict=True):
        if question.example is not None and question.set is not None:
            task = SETS[question.set].task
            pair = task.check(question.example, a.text), task.check(question.example, b.text)
            judged.setdefault(question.set, []).append(pair)
    rows = []
    for name, pairs in judged.items():
        first, second, count = sum(a for a, _ in pairs), sum(b for _, b in pairs), len(pairs)
        lost, gained = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
        intervals = wilson(first, count), wilson(second, count)
        rows.append(
            Solved(
                name, count, first / count, intervals[0], second / count, intervals[1], lost, gained
            )
        )
    return rows
