"""Recipe: everything that a training run depends on, in one TOML file.

The same recipe gives the same weights again.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from redraft.config import GenerationConfig, ModelConfig
from redraft.config.check import check_boolean, check_integer, check_number
from redraft.config.file import model_config_from_dict
from redraft.errors import ConfigError
from redraft.tasks import Arithmetic, Infill, Rewrite, Sudoku, Task, ToDo, Wiki
from redraft.tasks.code.holes import Code
from redraft.tasks.code.rewrites import CodeRewrites
from redraft.tasks.sudoku_reading import SudokuReading
from redraft.tasks.sums import Sums
from redraft.tasks.todo_open import OpenToDo
from redraft.train.recorded import is_recorded_as

TASKS: dict[str, type[Any]] = {
    "sudoku": Sudoku,
    "arithmetic": Arithmetic,
    "infill": Infill,
    "rewrite": Rewrite,
    "edits": ToDo,
    "wiki": Wiki,
    "code": Code,
    "sums": Sums,
    "open-edits": OpenToDo,
    "code-rewrites": CodeRewrites,
    "sudoku-reading": SudokuReading,
}
TABLES = ("model", "training", "generation")
PRECISIONS = ("bfloat16", "float32", "auto")


@dataclass(frozen=True)
class TaskShare:
    """A task, and its share of every batch."""

    task: Task
    share: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Attributes:
        model: the network's shape.
        tasks: with their shares of every batch.
        steps, batch_size: updates, and examples in each.
        draws: canvases of every example in an update, at evenly spaced noise levels; its prefix is
            encoded once for all of them. 0 trains autoregressively only, for comparison.
        prefix_length: tokens of a prompt, at most.
        skip_long: draw another example in the place of one that is too long for prefix or canvas;
            otherwise such an example is an error.
        self_conditioning: the share of the canvases that get the soft embedding of a first pass, of
            those that get one of a second pass upon the first, and so on; the shares fall.
        image_noise: on what stands in an image's place, as a share of the embeddings' deviation.
        noise_power: 1 draws noise levels evenly; more leans to much noise, where a model still
            learns once it repairs a little without a fault.
        matrix_lr, other_lr: peak learning rates of Muon on matrices and of AdamW on the rest.
        warm_up: updates until the peak.
        decay: the share of the steps, at the end, in which the rates fall linearly to zero. Before
            the decay nothing depends on `steps`: a run can be lengthened from there.
        clip: the norm to which a larger gradient is scaled down.
        encoder_every: every so many steps the answer is encoded too, for the autoregressive loss
            (0: never).
        prefix_weight: the weight of the autoregressive loss of the prefix itself, which is encoded
            anyway (0: it does not count). It is for source code: there is nothing to learn from the
            prompt of a task.
        ema: the decay of the averaged weights, which are what is saved.
        compile: compile the layers' forward; about a minute at the start, then half again as fast.
        precision: "bfloat16" or "float32" of the products, or "auto": bfloat16 if this processor
            multiplies it faster.
        tokenizer: the folder of a tokenizer, relative to the recipe's; if there is none, a
            tokenizer is trained on the tasks.
        start: the recipe whose averaged weights and tokenizer this one begins with; None for random
            weights.
        generation: settings of the checkpoint, fields of GenerationConfig.
    """

    model: ModelConfig
    tasks: tuple[TaskShare, ...]
    steps: int
    batch_size: int = 32
    draws: int = 1
    prefix_length: int = 112
    skip_long: bool = False
    self_conditioning: tuple[float, ...] = (0.5,)
    noise_power: float = 1.0
    image_noise: float = 0.0
    seed: int = 0
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    warm_up: int = 100
    decay: float = 0.4
    clip: float = 1.0
    encoder_every: int = 4
    prefix_weight: float = 0.0
    ema: float = 0.999
    save_every: int = 200
    log_every: int = 20
    compile: bool = False
    precision: str = field(default="bfloat16", repr=False)
    tokenizer: str = field(default="", repr=False)
    start: Recipe | None = None
    # Not in the repr, by which runs are told apart: no weight depends on it.
    generation: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "prefix_length", "save_every", "log_every"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("seed", self.seed, minimum=0)
        check_integer("draws", self.draws, minimum=0)
        for name in ("compile", "skip_long"):
            check_boolean(name, getattr(self, name))
        GenerationConfig().with_options(self.generation)
        check_integer("encoder_every", self.encoder_every, minimum=0)
        for name in ("matrix_lr", "other_lr", "clip", "noise_power"):
            check_number(name, getattr(self, name), minimum=0, exclusive=True)
        check_number("image_noise", self.image_noise, minimum=0)
        check_number("prefix_weight", self.prefix_weight, minimum=0)
        if self.precision not in PRECISIONS:
            raise ConfigError(f"{self.precision=} is not one of {', '.join(PRECISIONS)}")
        check_integer("warm_up", self.warm_up, minimum=0)
        for name in ("decay", "ema"):
            check_number(name, getattr(self, name), minimum=0, maximum=1)
        self._check_shares()
        if not self.tasks:
            raise ConfigError("the recipe names no task: give at least one [[task]]")

    def _check_shares(self) -> None:
        shares = self.self_conditioning
        if not isinstance(shares, list | tuple):
            raise ConfigError(
                f"self_conditioning={shares!r} must be a list of shares, such as [0.5, 0.25]"
            )
        for share in shares:
            check_number("self_conditioning", share, minimum=0, maximum=1, exclusive=True)
        if list(shares) != sorted(shares, reverse=True):
            raise ConfigError(
                f"self_conditioning={shares!r} must fall: a second pass follows a first one"
            )
        object.__setattr__(self, "self_conditioning", tuple(shares))

    @classmethod
    def from_file(cls, path: Path, following: tuple[Path, ...] = ()) -> Recipe:
        """Read a recipe.

        Args:
            following: the recipes that start from this one.

        Raises:
            ConfigError: not TOML, an unknown key or task, or a value out of range.
        """
        raw = _read(path)
        training = dict(raw.get("training", {}))
        known = {field.name for field in fields(cls)} - {"model", "tasks", "generation"}
        if unknown := sorted(set(training) - known):
            raise ConfigError(
                f"{path}: [training] has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        start = None
        if "start" in training:
            start = cls.from_file(*_start(path, training.pop("start"), following))
        if "tokenizer" in training:
            training["tokenizer"] = str(path.parent / str(training["tokenizer"]))
        tasks = tuple(_task_share(entry) for entry in raw.get("task", []))
        if "steps" not in training or ("model" not in raw and start is None):
            raise ConfigError(f"{path} needs training.steps, and a [model] table or training.start")
        if "model" in raw and start is not None:
            raise ConfigError(
                f"{path} has a [model] table and training.start, which has a model: leave out one "
                "of them"
            )
        model = model_config_from_dict(raw["model"]) if start is None else start.model
        return cls(
            model=model,
            tasks=tasks,
            start=start,
            generation=raw.get("generation", {}),
            **training,
        )

    @property
    def decay_start(self) -> int:
        """The number of the update at which the rates begin to fall."""
        return self.steps - int(self.decay * self.steps)

    def learning_rate(self, step: int) -> float:
        """Return the share of the peak rate at update `step`, counted from 0."""
        rising = (step + 1) / (self.warm_up + 1)
        falling = (self.steps - step) / (self.steps - self.decay_start + 1)
        return min(1.0, rising, falling)

    def autoregressive(self) -> Recipe:
        """Return this recipe, and those it starts from, for autoregressive training only."""
        return replace(self, draws=0, start=self.start and self.start.autoregressive())

    def to_json(self) -> str:
        """Return everything that the weights depend on, as JSON, for `continues`."""
        rest = repr(self._without_length())
        return json.dumps({"steps": self.steps, "decay_start": self.decay_start, "rest": rest})

    def continues(self, other: str, step: int) -> bool:
        """Return true if `step` updates of another recipe are those of this one too.

        That is so if both are the same, or differ in length and the rates had not fallen yet.

        Args:
            other: `to_json` of the other recipe, possibly of an earlier version.
        """
        try:
            theirs = json.loads(other)
        except ValueError:
            return False
        if not is_recorded_as(self._without_length(), theirs["rest"]):
            return False
        same_length = (self.steps, self.decay_start) == (theirs["steps"], theirs["decay_start"])
        return bool(same_length or step <= min(self.decay_start, theirs["decay_start"]))

    def _without_length(self) -> Recipe:
        """Return the recipe without what the weights before the decay do not depend on."""
        return replace(self, steps=1, decay=0.0, save_every=1, log_every=1, compile=False)


def _read(path: Path) -> dict[str, Any]:
    """Read a recipe's TOML and check its tables.

    Raises:
        ConfigError: not TOML, or a table is unknown or of the wrong kind.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a recipe: {error}") from error
    tables = all(isinstance(raw.get(name, {}), dict) for name in TABLES)
    entries = raw.get("task", [])
    if not tables or not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigError(
            f"{path}: [model], [training] and [generation] must be tables, and every task a "
            "[[task]] table"
        )
    if unknown := sorted(set(raw) - {*TABLES, "task"}):
        raise ConfigError(
            f"{path} has no use for {', '.join(unknown)}: it has [model], [training], "
            "[generation], [[task]]"
        )
    return raw


def _start(path: Path, name: object, following: tuple[Path, ...]) -> tuple[Path, tuple[Path, ...]]:
    """Return the path of the recipe that this one starts from, and those that follow it.

    Raises:
        ConfigError: the name is not a text, or the recipe starts from this one.
    """
    if not isinstance(name, str) or (path.parent / name).resolve() in following:
        raise ConfigError(
            f"{path}: start={name!r} must be the name of another recipe, which does not start from "
            "this one"
        )
    return path.parent / name, (*following, path.resolve())


def _task_share(entry: Mapping[str, Any]) -> TaskShare:
    settings = dict(entry)
    name, share = settings.pop("name", None), settings.pop("share", 1.0)
    if not isinstance(name, str) or name not in TASKS:
        raise ConfigError(f"[[task]] name={name!r} is not one of {', '.join(TASKS)}")
    check_number("share", share, minimum=0, exclusive=True)
    try:
        return TaskShare(TASKS[name](**settings), share)
    except TypeError as error:
        raise ConfigError(f"[[task]] {name}: {error}") from error
