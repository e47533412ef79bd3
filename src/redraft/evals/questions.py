"""What two models are both asked: held-out examples of a shipped model's sets, a file's prompts, or
a dozen of our own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redraft.api import Model
from redraft.checkpoint.source import SHIPPED
from redraft.engine import Request
from redraft.errors import RequestError
from redraft.evals import infilling
from redraft.evals.sets import SETS
from redraft.tasks import Example
from redraft.tasks.task import held_out
from redraft.text import Message

Conversation = list[Message]

# One of each kind of thing that is asked for: what is known, explained, told, counted, coded, put
# into a form.
PROMPTS = (
    "Why does the moon keep the same face towards the earth?",
    "Tell the fable of the fox and the grapes in your own words, and say what it teaches.",
    "Write a sonnet about a lighthouse keeper in winter.",
    "A train leaves at 9:40 and arrives at 13:05. How long is it under way? Show each step.",
    "Write a Python function that says whether a word is a palindrome, with a docstring and three examples.",
    "Explain to a child of eight how bread rises.",
    "List the planets from the sun outwards as a JSON array of objects with name and number.",
    "Translate into French: The garden behind the old mill was full of bees.",
    "Describe how a water mill turns the flow of a river into flour.",
    "Write a short letter that asks a neighbour to look after a cat for a week.",
    "What speaks for a town building a tram, and what against it? Give three points each.",
    "Continue the story: When the clock in the tower struck thirteen, nobody in the market looked up but Anna.",
)


@dataclass(frozen=True)
class Question:
    """A request that both models serve; of a held-out example also the example, and the set that it
    comes from."""

    request: Request
    example: Example | None = None
    set: str | None = None


def known_sets(*models: Model) -> list[str]:
    """The sets that the first shipped model among these knows; none where there is no such
    model."""
    for model in models:
        for name, folder in SHIPPED.items():
            if (
                model.checkpoint is not None
                and model.checkpoint.folder.resolve() == folder.resolve()
            ):
                return [each for each, held in SETS.items() if held.model == name]
    return []


def of_sets(
    model: Model, names: Sequence[str], count: int, seed: int, options: dict[str, Any]
) -> list[Question]:
    """`count` held-out examples of each set; example i of a set is asked with seed + i."""
    return [
        Question(infilling.request(model, example, seed + number, options), example, name)
        for name in names
        for number, example in enumerate(held_out(SETS[name].task, count))
    ]


def of_texts(
    model: Model, asked: Sequence[Conversation], seed: int, options: dict[str, Any]
) -> list[Question]:
    """Conversations, through the model's template; without one, what they say is a beginning that
    is gone on with.

    Raises:
        RequestError: there is no tokenizer, or a prompt cannot be served.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise RequestError("this checkpoint has no tokenizer: prompts cannot be read")
    plain = model.chat_template is None

    def tokens(conversation: Conversation) -> list[int]:
        return tokenizer.encode(_plain(conversation)) if plain else model.chat_prompt(conversation)

    configs = [
        model.generation_config.with_options(options | {"seed": seed + number})
        for number in range(len(asked))
    ]
    pairs = zip(asked, configs, strict=True)
    return [Question(Request.checked(tokens(one), config, model.config)) for one, config in pairs]


def _plain(conversation: Conversation) -> str:
    if len(conversation) != 1 or not isinstance(conversation[0].get("content"), str):
        raise RequestError(
            "this checkpoint has no chat template: give prompts of one plain text each"
        )
    return str(conversation[0]["content"])


def said(text: str) -> Conversation:
    """A text as the one message of a conversation."""
    return [{"role": "user", "content": text}]


def read_prompts(path: Path) -> list[Conversation]:
    """The prompts of a file: one a line, or in a `.jsonl` one object a line with `messages` or
    `prompt`.

    Raises:
        RequestError: no such file, nothing in it, or a line that is no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise RequestError(f"{path} holds no prompt: write one a line")
    if path.suffix != ".jsonl":
        return [said(line) for _, line in numbered]
    return [_object(line, f"{path}, line {number}") for number, line in numbered]


def _object(line: str, where: str) -> Conversation:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{where} is not JSON: {error}") from error
    if isinstance(raw, dict) and isinstance(raw.get("prompt"), str):
        return said(raw["prompt"])
    messages = raw.get("messages") if isinstance(raw, dict) else None
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(one, dict) for one in messages)
    ):
        raise RequestError(
            f"{where} is no prompt: it needs `messages`, a list of objects with role and content, or `prompt`"
        )
    return messages
