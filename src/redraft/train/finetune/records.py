"""Records: the lines of a JSONL file as what a model is to learn.

{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
{"prompt": "...", "completion": "..."}
{"template": "a text with <hole> marks", "fills": ["..."], "instruction": "..."}
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redraft.errors import DataError

HOLE = "<hole>"
# The role whose turns are learnt; `model` is what Gemma's own data calls it.
MODEL_ROLES = ("assistant", "model")
# Keys of a record that has messages, beside them: arguments of the chat template.
TEMPLATE_KEYS = ("tools", "documents", "chat_template_kwargs")


@dataclass(frozen=True)
class Conversation:
    """Messages, at least one of them the model's; `variables` are for the chat template."""

    messages: Sequence[Mapping[str, Any]]
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Continuation:
    """A raw prompt and what follows it."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class FilledTemplate:
    """A text with holes and what fills them, behind an instruction or by itself."""

    texts: tuple[str, ...]
    fills: tuple[str, ...]
    instruction: str | None = None


Record = Conversation | Continuation | FilledTemplate


def parse_record(line: str) -> Record:
    """Return the record of a line.

    Raises:
        DataError: it is not JSON, or none of the three forms; the message says why.
    """
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise DataError(f"it is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise DataError(f"it holds a {type(raw).__name__}, not an object")
    forms = [name for name in ("messages", "prompt", "template") if name in raw]
    if len(forms) != 1:
        raise DataError("it needs one of messages, prompt with completion, template with fills")
    parse: dict[str, Callable[[Mapping[str, Any]], Record]] = {
        "messages": _conversation,
        "prompt": _continuation,
        "template": _filled,
    }
    return parse[forms[0]](raw)


def _conversation(raw: Mapping[str, Any]) -> Conversation:
    _check_keys(raw, ("messages", *TEMPLATE_KEYS))
    messages = raw["messages"]
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise DataError("messages must be a list of objects with role and content")
    if not any(one.get("role") in MODEL_ROLES for one in messages):
        raise DataError("no message has the role assistant: there is nothing to learn")
    given = {name: raw[name] for name in ("tools", "documents") if raw.get(name) is not None}
    further = raw.get("chat_template_kwargs") or {}
    if not isinstance(further, dict):
        raise DataError("chat_template_kwargs must be an object")
    return Conversation(messages, given | further)


def _continuation(raw: Mapping[str, Any]) -> Continuation:
    _check_keys(raw, ("prompt", "completion"))
    prompt, completion = raw["prompt"], raw.get("completion")
    if not isinstance(prompt, str) or not isinstance(completion, str):
        raise DataError("prompt and completion must be texts")
    if not completion:
        raise DataError("completion is empty: there is nothing to learn")
    return Continuation(prompt, completion)


def _filled(raw: Mapping[str, Any]) -> FilledTemplate:
    _check_keys(raw, ("template", "fills", "instruction"))
    template, fills, instruction = raw["template"], raw.get("fills"), raw.get("instruction")
    if not isinstance(template, str) or HOLE not in template:
        raise DataError(f"template must be a text with {HOLE} in it")
    texts = tuple(template.split(HOLE))
    if not isinstance(fills, list) or not all(isinstance(one, str) for one in fills):
        raise DataError("fills must be a list of texts")
    if len(fills) != len(texts) - 1:
        raise DataError(f"{len(fills)} fills for {len(texts) - 1} holes: give one each")
    if instruction is not None and not isinstance(instruction, str):
        raise DataError("instruction must be a text")
    return FilledTemplate(texts, tuple(fills), instruction)


def _check_keys(raw: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(raw) - set(known)):
        raise DataError(f"it has {unknown[0]!r}: a record of this form has {', '.join(known)}")


class RecordFile:
    """The records of a file, read one by one: the file itself is never in memory.

    Args:
        skip_bad: leave out lines that are no records, and count them.

    Attributes:
        bad: the numbers of lines that were left out, from 1, each with its problem.

    Raises:
        DataError: the file cannot be read, a line is no record (the message has its number), or
            there is none.
    """

    def __init__(self, path: Path, *, skip_bad: bool = False) -> None:
        self.path = path
        self.bad: list[tuple[int, str]] = []
        self._places: list[int] = []  # the first byte of each record
        self._lines: list[int] = []  # the number of its line
        # The order of the pass that is being read: (epoch, seed), and the records.
        self._order: tuple[tuple[int, int], list[int]] = (-1, -1), []
        try:
            with path.open("rb") as file:
                self._index(file, skip_bad)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        if not self._places:
            raise DataError(f"{path} has no records")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Record:
        with self.path.open("rb") as file:
            file.seek(self._places[number])
            return parse_record(file.readline().decode("utf-8"))

    def check(self, is_cut: Callable[[Record], bool], *, skip_bad: bool = False) -> int:
        """Look at every record before any is learnt; return how many are cut.

        Args:
            is_cut: returns True for a record of which the end is left out; raises DataError for
                one that cannot be learnt.
            skip_bad: leave bad ones out, and count them.

        Raises:
            DataError: a record is bad; the message has its line. Or none is left.
        """
        good: list[int] = []
        cut = 0
        for at, line in enumerate(self._lines):
            try:
                cut += is_cut(self[at])
            except DataError as error:
                if not skip_bad:
                    raise DataError(f"{self.path}, line {line}: {error}") from error
                self.bad.append((line, str(error)))
            else:
                good.append(at)
        if not good:
            raise DataError(f"{self.path} has no record that can be learnt: {self.bad[-1][1]}")
        self._places = [self._places[at] for at in good]
        self._lines = [self._lines[at] for at in good]
        return cut

    def shuffled(self, number: int, seed: int) -> int:
        """Return the record that is read as number `number`, counted over all passes of the file.

        Each pass has every record once, in an order of its own.
        """
        epoch, at = divmod(number, len(self))
        if self._order[0] != (epoch, seed):
            order = list(range(len(self)))
            random.Random(f"{seed} {epoch}").shuffle(order)
            self._order = (epoch, seed), order
        return self._order[1][at]

    def _index(self, file: Any, skip_bad: bool) -> None:
        place = 0
        for number, line in enumerate(file, 1):
            start, place = place, place + len(line)
            if not line.strip():
                continue
            try:
                parse_record(_decoded(line))
            except DataError as error:
                if not skip_bad:
                    raise DataError(f"{self.path}, line {number}: {error}") from error
                self.bad.append((number, str(error)))
                continue
            self._places.append(start)
            self._lines.append(number)


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"it is not UTF-8: {error.reason}") from error
