"""Recipe: everything that a training run depends on, in one TOML file; with a seed it gives the same weights again."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from redraft.config import ModelConfig
from redraft.config.check import number, whole
from redraft.config.file import model_config_from_dict
from redraft.errors import ConfigError
from redraft.tasks import Arithmetic, Sudoku, Task

TASKS: dict[str, type[Any]] = {"sudoku": Sudoku, "arithmetic": Arithmetic}


@dataclass(frozen=True)
class Source:
    """A task, and its share of every batch."""

    task: Task
    share: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, how long.

    Attributes:
        model: the shape. sources: tasks with shares. steps, batch_size: updates, and examples in each.
        draws: canvases of every example in an update, at levels of noise spread evenly; its prefix is read once for all.
        prefix_length: tokens that a prompt may have.
        matrix_lr, other_lr: peak rates of Muon on matrices and AdamW on the rest; 3 % warm-up, flat to `flat`, then linearly
            to zero.
        encoder_every: every so many steps the answer is also read left to right (0: never).
        ema: decay of the averaged weights, which are what is saved.
        compile: compile the layers' parts; a minute at the start, then about half again as fast.
    """

    model: ModelConfig
    sources: tuple[Source, ...]
    steps: int
    batch_size: int = 32
    draws: int = 1
    prefix_length: int = 112
    seed: int = 0
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    warm_up: float = 0.03
    flat: float = 0.3
    clip: float = 1.0
    encoder_every: int = 4
    ema: float = 0.999
    save_every: int = 200
    log_every: int = 20
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "draws", "prefix_length", "save_every", "log_every"):
            whole(name, getattr(self, name), least=1)
        whole("seed", self.seed, least=0)
        if not isinstance(self.compile, bool):
            raise ConfigError(f"compile={self.compile!r} must be true or false")
        whole("encoder_every", self.encoder_every, least=0)
        for name in ("matrix_lr", "other_lr", "clip"):
            number(name, getattr(self, name), least=0, open_below=True)
        for name in ("warm_up", "flat", "ema"):
            number(name, getattr(self, name), least=0, most=1)
        if not self.sources:
            raise ConfigError("the recipe names no task: give at least one [[task]]")

    @classmethod
    def from_file(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises:
            ConfigError: not TOML, an unknown key or task, or a value out of range.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as a recipe: {error}") from error
        known = {f.name for f in fields(cls)} - {"model", "sources"}
        training, entries = raw.get("training", {}), raw.get("task", [])
        tables = isinstance(training, dict) and isinstance(raw.get("model", {}), dict) and isinstance(entries, list)
        if not tables or not all(isinstance(entry, dict) for entry in entries):
            raise ConfigError(f"{path}: [model] and [training] must be tables, and every task a [[task]] table")
        if unknown := sorted(set(training) - known):
            raise ConfigError(f"{path}: [training] has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        sources = tuple(_source(entry) for entry in entries)
        if "steps" not in training or "model" not in raw:
            raise ConfigError(f"{path} needs a [model] table and training.steps")
        return cls(model=model_config_from_dict(raw["model"]), sources=sources, **training)

    def learning_rate(self, step: int) -> float:
        """Share of the peak rate at an update counted from 0."""
        done = step / self.steps
        if done < self.warm_up:
            return (step + 1) / (self.warm_up * self.steps + 1)
        return 1.0 if done < self.flat else max(0.0, (1 - done) / (1 - self.flat))


def _source(entry: Mapping[str, Any]) -> Source:
    settings = dict(entry)
    name, share = settings.pop("name", None), settings.pop("share", 1.0)
    if not isinstance(name, str) or name not in TASKS:
        raise ConfigError(f"[[task]] name={name!r} is not one of {', '.join(TASKS)}")
    number("share", share, least=0, open_below=True)
    try:
        return Source(TASKS[name](**settings), share)
    except TypeError as error:
        raise ConfigError(f"[[task]] {name}: {error}") from error
