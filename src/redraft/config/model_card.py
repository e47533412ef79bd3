"""ModelCard: the tasks that a model was trained for, and the forms that it knows them in.

A model of general use has none. The small models that ship with redraft have one each: commands,
server and playground choose by it, and show its forms to who asks for something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from redraft.config.check import check_number
from redraft.errors import ConfigError

CARD_FILE = "model_card.json"


@dataclass(frozen=True)
class KnownTask:
    """A task that a model was trained for.

    Attributes:
        name: of the task, such as "sudoku", "infill" or "edits".
        description: one sentence.
        prompts: examples of what a user says, in the forms that the model knows.
        templates: examples of texts with holes, for a task that fills them in.
    """

    name: str
    description: str
    prompts: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """The purpose of a model, in tasks.

    Attributes:
        purpose: one sentence.
        tasks: at least one.
        surprise_limit: nats a token; a prompt that surprises the model more is unlike what it was
            trained on. None where that was not measured.
    """

    purpose: str
    tasks: tuple[KnownTask, ...]
    surprise_limit: float | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelCard:
        """Build a card from a parsed `model_card.json`.

        Raises:
            ConfigError: a part is missing, unknown or of a wrong type.
        """
        _check_names(raw, cls)
        limit = raw.get("surprise_limit")
        if limit is not None:
            check_number("surprise_limit", limit, minimum=0, exclusive=True)
        tasks = raw.get("tasks")
        if not isinstance(tasks, list) or not tasks:
            raise ConfigError(f"{CARD_FILE}: tasks must be a list of at least one task")
        return cls(_text(raw, "purpose"), tuple(_task(one) for one in tasks), limit)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as it is written to `model_card.json`."""
        return asdict(self)

    def knows(self, task: str) -> bool:
        """Return True for a task that the model was trained for."""
        return any(one.name == task for one in self.tasks)

    def prompts(self) -> list[str]:
        """Return the examples of prompts of all tasks."""
        return list(chain.from_iterable(task.prompts for task in self.tasks))

    def forms(self) -> list[str]:
        """Return an example of each task, as a user would give it."""
        firsts = ((*task.prompts[:1], *task.templates[:1]) for task in self.tasks)
        return list(chain.from_iterable(firsts))


def can_do(card: ModelCard | None, task: str) -> bool:
    """Return True for a model that was trained for a task, or that has no card: a general one."""
    return card is None or card.knows(task)


def _task(raw: object) -> KnownTask:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{CARD_FILE}: a task must be an object, not {raw!r}")
    _check_names(raw, KnownTask)
    lists = {name: _texts(raw, name) for name in ("prompts", "templates")}
    return KnownTask(_text(raw, "name"), _text(raw, "description"), **lists)


def _check_names(raw: Mapping[str, Any], kind: type[ModelCard | KnownTask]) -> None:
    known = kind.__dataclass_fields__
    if unknown := sorted(set(raw) - set(known)):
        raise ConfigError(f"{CARD_FILE} has no {unknown[0]!r}: there are {', '.join(known)}")


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{CARD_FILE}: {name}={value!r} must be a text")
    return value


def _texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = raw.get(name, [])
    if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
        raise ConfigError(f"{CARD_FILE}: {name}={values!r} must be a list of texts")
    return tuple(values)
