"""How a model answers the records of a file: exactly, to an end, and in how many passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from redraft.api import Model
from redraft.editing import Hole, Template
from redraft.engine import Request
from redraft.engine.images import EncodedPrompt
from redraft.errors import RequestError
from redraft.events import Finished
from redraft.train.finetune.records import (
    MODEL_ROLES,
    Continuation,
    Conversation,
    FilledTemplate,
    Record,
)

# A hole may have so many times its own tokens.
HOLE_FACTOR = 2
BATCH = 16


@dataclass(frozen=True)
class Answered:
    """The answers to some records.

    Attributes:
        count: records that were answered. exact: the share whose answer is the record's own, but
            for white space at its ends. ended: the share of texts that ended by themselves.
        passes: denoising steps a canvas, on average. samples: some answers beside the right ones.
    """

    count: int
    exact: float
    ended: float
    passes: float
    samples: tuple[tuple[str, str], ...]


def answer_records(model: Model, records: Sequence[Record], seed: int = 0) -> Answered:
    """Let the model answer records: the last turn of a conversation, a completion, or holes.

    Raises:
        RequestError: a record cannot be asked.
    """
    requests: list[Request] = []
    wanted: list[str] = []
    pairs: list[tuple[str, str]] = []
    passes: list[float] = []
    for number, record in enumerate(records):
        if isinstance(record, FilledTemplate):
            found, right, steps = _filled(model, record, seed + number)
            pairs.append((found, right))
            passes.append(steps)
        else:
            request, right = _request(model, record, seed + number)
            requests.append(request)
            wanted.append(right)
    ended = [
        event for event in model.run(requests, max_batch_size=BATCH) if isinstance(event, Finished)
    ]
    ended.sort(key=lambda event: event.request)
    pairs += [(event.text, right) for event, right in zip(ended, wanted, strict=True)]
    passes += chain.from_iterable(event.statistics.steps_per_canvas for event in ended)
    exact = sum(found.strip() == right.strip() for found, right in pairs)
    return Answered(
        len(pairs),
        exact / max(1, len(pairs)),
        sum(event.reason == "stop" for event in ended) / max(1, len(ended)),
        sum(passes) / max(1, len(passes)),
        tuple(pairs[:3]),
    )


def _request(model: Model, record: Conversation | Continuation, seed: int) -> tuple[Request, str]:
    """Return the question of a record, and its right answer."""
    config = model.generation_config.with_options({"seed": seed})
    if isinstance(record, Continuation):
        prompt = EncodedPrompt(model.processor.encode(record.prompt, bos=True))
        right = record.completion
    else:
        turns = [n for n, one in enumerate(record.messages) if one.get("role") in MODEL_ROLES]
        content = record.messages[turns[-1]].get("content")
        right = content if isinstance(content, str) else ""
        messages = list(record.messages[: turns[-1]])
        prompt = model.processor.chat(messages, **record.variables)
    left = model.tokens_left(prompt.tokens)
    if left < config.max_new_tokens:
        config = config.with_options({"max_new_tokens": left})
    checked = Request.checked(prompt.tokens, config, model.config, images=prompt.images)
    return checked, right


def _filled(model: Model, record: FilledTemplate, seed: int) -> tuple[str, str, float]:
    """Return what the model fills a template with, the right fills, and its steps."""
    tokenizer = model.processor.require_tokenizer("infilling")
    sizes = [len(tokenizer.encode(fill, bos=False)) for fill in record.fills]
    holes = tuple(Hole(1, max(1, HOLE_FACTOR * size)) for size in sizes)
    try:
        filled = model.infill(
            Template(record.texts, holes), instruction=record.instruction, seed=seed
        )
    except RequestError:
        return "", "\0".join(record.fills), 0.0
    return "\0".join(filled.fills), "\0".join(record.fills), float(filled.candidates[0].steps)
