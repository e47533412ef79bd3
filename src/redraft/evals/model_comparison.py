"""Two models write the same requests: their steps, and how far positions, texts, tasks agree."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from redraft.api import Model
from redraft.checkpoint import load_weights
from redraft.checkpoint.quantize import Quantization
from redraft.engine import Request
from redraft.errors import ConfigError
from redraft.evals.divergence import (
    CanvasDivergence,
    Divergence,
    canvas_divergences,
    divergence_by_step,
    divergence_of_all_steps,
    text_end,
)
from redraft.evals.questions import Question
from redraft.evals.sets import SETS
from redraft.evals.summary import wilson
from redraft.events import Draft, Finished
from redraft.quant import PackedWeight

RESAMPLES = 2000

Progress = Callable[[], object]


@dataclass(frozen=True)
class WrittenText:
    """The text that a model wrote for a request.

    Attributes:
        first_canvas: as it was committed, all its tokens.
        steps: of each canvas.
    """

    first_canvas: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    steps: tuple[int, ...]


@dataclass(frozen=True)
class StepComparison:
    """The steps a canvas of two models.

    Attributes:
        first, second: means.
        ratio: the second mean over the first. low, high: its 95 % interval, over requests that are
            resampled in pairs.
        first_counts, second_counts: the steps of each canvas.
    """

    first: float
    second: float
    ratio: float
    low: float
    high: float
    first_counts: tuple[int, ...]
    second_counts: tuple[int, ...]


@dataclass(frozen=True)
class Agreement:
    """The agreement of two models, as shares.

    Attributes:
        positions: free positions of first canvases with the same committed token.
        written: the same, over positions that belong to either text.
        texts: texts that are the same as a whole.
    """

    positions: float
    written: float
    texts: float


@dataclass(frozen=True)
class SolvedExamples:
    """The examples of a set that each model solves.

    Attributes:
        first, second: shares, each with its 95 % interval.
        lost, gained: examples that only the first solves, and that only the second does.
    """

    set: str
    count: int
    first: float
    first_interval: tuple[float, float]
    second: float
    second_interval: tuple[float, float]
    lost: int
    gained: int


@dataclass(frozen=True)
class ModelComparison:
    """All figures of two models."""

    count: int
    distance: Divergence
    distances: list[Divergence]
    steps: StepComparison
    agreement: Agreement
    solved: list[SolvedExamples]


def check_pair(first: Model, second: Model, *, same_signal: bool = False) -> None:
    """Check that two models read and write the same canvases.

    Args:
        same_signal: also check that they can share a self-conditioning signal.

    Raises:
        ConfigError: they do not.
    """
    for name in ("vocab_size", "canvas_length", *(["hidden_size"] if same_signal else [])):
        own, other = getattr(first.config, name), getattr(second.config, name)
        if own != other:
            raise ConfigError(
                f"A has {name} {own}, B {other}: only models with the same {name} can be compared"
            )
    if first.tokenizer is None or second.tokenizer is None:
        return
    if first.tokenizer.backend.get_vocab() != second.tokenizer.backend.get_vocab():
        raise ConfigError(
            "the tokenizers of A and B have different tokens at the same ids: "
            "A and B cannot be compared"
        )


def quantized(model: Model, quantization: Quantization) -> Model:
    """Load a model's checkpoint again, quantized.

    Raises:
        ConfigError: it was not loaded from a checkpoint, it is quantized already, or none of its
            weights can be.
    """
    network, checkpoint = model.network, model.checkpoint
    if checkpoint is None:
        raise ConfigError("only a model from a checkpoint can be quantized again: save it first")
    if any(isinstance(module, PackedWeight) for module in network.modules()):
        raise ConfigError("A is quantized already: name the unquantized model as A")
    again = load_weights(
        checkpoint, dtype=network.dtype, device=network.device, quantization=quantization
    )
    if not any(isinstance(module, PackedWeight) for module in again.modules()):
        raise ConfigError(
            f"no weight of A has rows that divide into groups of {quantization.group}: "
            "none would be quantized"
        )
    return Model(again, model.tokenizer, model.chat_template, model.generation_config, checkpoint)


def compare_models(
    first: Model,
    second: Model,
    questions: Sequence[Question],
    *,
    batch_size: int = 8,
    same_signal: bool = False,
    begin: Callable[[str], Progress | None] = lambda part: None,
) -> ModelComparison:
    """Measure all figures of two models; settings are those of the questions' requests.

    Args:
        same_signal: on A's canvases B gets A's self-conditioning, not its own.
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
    own = write(first, requests, batch_size, begin("A writes"))
    # Canvases that need about the same number of steps share a batch.
    order = sorted(range(len(requests)), key=lambda number: own[number].steps[0])
    progress = begin("the same canvases")
    found = canvas_divergences(
        first.network,
        second.network,
        [requests[number] for number in order],
        batch_size=batch_size,
        same_signal=same_signal,
        progress=progress,
    )
    canvases: dict[int, CanvasDivergence] = dict(zip(order, found, strict=True))
    by_request = [canvases[number] for number in range(len(requests))]
    other = write(second, requests, batch_size, begin("B writes"))
    return ModelComparison(
        count=len(questions),
        distance=divergence_of_all_steps(by_request),
        distances=divergence_by_step(by_request),
        steps=compare_steps(own, other),
        agreement=agreement(requests, own, other),
        solved=solved_examples(questions, own, other),
    )


def write(
    model: Model, requests: Sequence[Request], batch_size: int, progress: Progress | None = None
) -> list[WrittenText]:
    """Return the text that the model writes for each request, in order."""
    canvases: dict[int, tuple[int, ...]] = {}
    found: dict[int, WrittenText] = {}
    for event in model.run(requests, max_batch_size=batch_size):
        number = event.request
        if isinstance(event, Draft) and event.canvas == 0:
            canvases[number] = event.tokens
        elif isinstance(event, Finished):
            steps = event.statistics.steps_per_canvas
            found[number] = WrittenText(canvases[number], event.tokens, event.text, steps)
            if progress:
                progress()
    return [found[number] for number in range(len(requests))]


def compare_steps(
    own: Sequence[WrittenText], other: Sequence[WrittenText], resamples: int = RESAMPLES
) -> StepComparison:
    """Return the steps a canvas of two models.

    The ratio's interval is that of the bootstrap over requests (B. Efron, 1979).
    """
    rows = [
        (sum(a.steps), len(a.steps), sum(b.steps), len(b.steps))
        for a, b in zip(own, other, strict=True)
    ]

    def means(chosen: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
        first_steps, first_canvases, second_steps, second_canvases = map(
            sum, zip(*chosen, strict=True)
        )
        return first_steps / first_canvases, second_steps / second_canvases

    rng = random.Random(0)
    drawn = [means(rng.choices(rows, k=len(rows))) for _ in range(resamples)]
    ratios = sorted(second / first for first, second in drawn)
    first, second = means(rows)
    return StepComparison(
        first=first,
        second=second,
        ratio=second / first,
        low=ratios[int(0.025 * resamples)],
        high=ratios[int(0.975 * resamples)],
        first_counts=_all_steps(own),
        second_counts=_all_steps(other),
    )


def _all_steps(texts: Sequence[WrittenText]) -> tuple[int, ...]:
    return tuple(chain.from_iterable(text.steps for text in texts))


def agreement(
    requests: Sequence[Request], own: Sequence[WrittenText], other: Sequence[WrittenText]
) -> Agreement:
    """Return the agreement of two models; frozen positions are left out."""
    everywhere: list[bool] = []
    written: list[bool] = []
    for request, a, b in zip(requests, own, other, strict=True):
        end = max(text_end(one.first_canvas, request.config) for one in (a, b))
        pairs = enumerate(zip(a.first_canvas, b.first_canvas, strict=True))
        same = {at: x == y for at, (x, y) in pairs if at not in request.frozen}
        everywhere += same.values()
        written += [agree for at, agree in same.items() if at < end]
    texts = [a.tokens == b.tokens for a, b in zip(own, other, strict=True)]
    return Agreement(positions=_share(everywhere), written=_share(written), texts=_share(texts))


def _share(agreed: Sequence[bool]) -> float:
    return sum(agreed) / len(agreed) if agreed else 1.0


def solved_examples(
    questions: Sequence[Question], own: Sequence[WrittenText], other: Sequence[WrittenText]
) -> list[SolvedExamples]:
    """Return one row for each set, in the order of the questions."""
    checked: dict[str, list[tuple[bool, bool]]] = {}
    for question, a, b in zip(questions, own, other, strict=True):
        if question.example is not None and question.set is not None:
            task = SETS[question.set].task
            pair = task.check(question.example, a.text), task.check(question.example, b.text)
            checked.setdefault(question.set, []).append(pair)
    return [_solved(name, pairs) for name, pairs in checked.items()]


def _solved(name: str, pairs: Sequence[tuple[bool, bool]]) -> SolvedExamples:
    first, second, count = sum(a for a, _ in pairs), sum(b for _, b in pairs), len(pairs)
    return SolvedExamples(
        set=name,
        count=count,
        first=first / count,
        first_interval=wilson(first, count),
        second=second / count,
        second_interval=wilson(second, count),
        lost=sum(a and not b for a, b in pairs),
        gained=sum(b and not a for a, b in pairs),
    )
