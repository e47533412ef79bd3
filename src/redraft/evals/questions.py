"""Requests for the comparison of two models: held-out examples, prompts of a file, or our own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redraft.api import Model
from redraft.checkpoint.source import SHIPPED
from redraft.config import GenerationOptions
from redraft.engine import Request
from redraft.errors import RequestError
from redraft.evals.example_requests import example_request
from redraft.evals.sets import SETS
from redraft.tasks import Example
from redraft.tasks.task import held_out
from redraft.text import Message

Conversation = list[Message]

# Knowledge, explanations, stories, arithmetic, code, fixed forms, translation: one prompt of each.
PROMPTS = (
    "Why does the moon keep the same face towards the earth?",
    "Tell the fable of the fox and the grapes in your own words, and say what it teaches.",
    "Write a sonnet about a lighthouse keeper in winter.",
    "A train leaves at 9:40 and arrives at 13:05. How long is it under way? Show each step.",
    "Write a Python function that says whether a word is a palindrome, with a docstring and three "
    "examples.",
    "Explain to a child of eight how bread rises.",
    "List the planets from the sun outwards as a JSON array of objects with name and number.",
    "Translate into French: The garden behind the old mill was full of bees.",
    "Describe how a water mill turns the flow of a river into flour.",
    "Write a short letter that asks a neighbour to look after a cat for a week.",
    "What speaks for a town building a tram, and what against it? Give three points each.",
    "Continue the story: When the clock in the tower struck thirteen, nobody in the market looked "
    "up but Anna.",
)


@dataclass(frozen=True)
class Question:
    """A request that both models serve.

    Attributes:
        example, set: of a held-out example, and the name of its set; None for other requests.
    """

    request: Request
    example: Example | None = None
    set: str | None = None


def known_sets(*models: Model) -> list[str]:
    """Return the sets that the first shipped model among these knows; none if there is no such."""
    for model in models:
        if model.checkpoint is None:
            continue
        folder = model.checkpoint.folder.resolve()
        for name, shipped in SHIPPED.items():
            if folder == shipped.resolve():
                return [set_ for set_, held in SETS.items() if held.model == name and held.known]
    return []


def questions_of_sets(
    model: Model, names: Sequence[str], count: int, seed: int, options: GenerationOptions
) -> list[Question]:
    """Return `count` held-out examples of each set; example i of a set has the seed seed + i."""
    questions = []
    for name in names:
        for number, example in enumerate(held_out(SETS[name].task, count)):
            request = example_request(model, example, seed + number, options)
            questions.append(Question(request, example, name))
    return questions


def questions_of_conversations(
    model: Model, conversations: Sequence[Conversation], seed: int, options: GenerationOptions
) -> list[Question]:
    """Return conversations as requests, through the model's chat template.

    Without a chat template a conversation must be one plain text, which the model continues.

    Raises:
        RequestError: there is no tokenizer, or a prompt cannot be served.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise RequestError("this checkpoint has no tokenizer: prompts cannot be read")
    questions = []
    for number, conversation in enumerate(conversations):
        if model.chat_template is None:
            tokens = tokenizer.encode(_plain(conversation))
        else:
            tokens = model.chat_prompt(conversation)
        config = model.generation_config.with_options({**options, "seed": seed + number})
        questions.append(Question(Request.checked(tokens, config, model.config)))
    return questions


def _plain(conversation: Conversation) -> str:
    if len(conversation) != 1 or not isinstance(conversation[0].get("content"), str):
        raise RequestError(
            "this checkpoint has no chat template: give prompts of one plain text each"
        )
    return str(conversation[0]["content"])


def conversation_of(text: str) -> Conversation:
    """Return a text as the one message of a conversation."""
    return [{"role": "user", "content": text}]


def read_prompts(path: Path) -> list[Conversation]:
    """Read the prompts of a file: one a line, or in a `.jsonl` one object a line.

    An object has `messages` or `prompt`.

    Raises:
        RequestError: there is no such file, it is empty, or a line is not a prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise RequestError(f"{path} holds no prompt: write one on each line")
    if path.suffix != ".jsonl":
        return [conversation_of(line) for _, line in numbered]
    return [_object(line, f"{path}, line {number}") for number, line in numbered]


def _object(line: str, where: str) -> Conversation:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{where} is not JSON: {error}") from error
    if isinstance(raw, dict) and isinstance(raw.get("prompt"), str):
        return conversation_of(raw["prompt"])
    messages = raw.get("messages") if isinstance(raw, dict) else None
    if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
        return messages
    raise RequestError(
        f"{where} is no prompt: it needs `messages`, a list of objects with role and content, "
        "or `prompt`"
    )
