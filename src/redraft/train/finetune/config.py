"""FinetuneConfig: all that a fine-tuning depends on, from a TOML file or from options."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from redraft.adapters import LoraConfig
from redraft.config.check import check_boolean, check_integer, check_number
from redraft.errors import ConfigError

LOSS_ON = ("all", "last")
ENCODER_LOSS_ON = ("sequence", "answer")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """A fine-tuning. The defaults are those of TRL's and Google's code.

    Attributes:
        lora: the form of the adapter; None trains all weights.
        steps, batch_size, accumulate: updates, examples that are read at a time, and how many such
            batches make an update.
        learning_rate: the peak of AdamW's rate. It rises for `warm_up` updates and falls along a
            cosine to `final_rate` times the peak.
        weight_decay, clip: of AdamW; the norm to which a larger gradient is scaled down.
        ema: the share that an update leaves of an average of the weights, which is then what is
            evaluated and written; 0 for no average.
        max_length: tokens of a record, at most; longer ones are cut, and told.
        loss_on: of several turns of the model learn "all", or the "last".
        encoder_weight: the weight of the encoder's loss. encoder_loss_on: it counts the whole
            "sequence", or the "answer" alone.
        self_conditioning: the share of examples with a first pass. min_noise: the least t.
        checkpointed: keep of each layer its input alone, and run it again for the gradient: much
            less memory, a third more time.
        eval_every, eval_examples: updates between evaluations, and records of each.
        skip_bad: leave out lines that are no records, and count them.
    """

    lora: LoraConfig | None = dataclasses.field(default_factory=LoraConfig)
    steps: int = 800
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 1.5e-4
    final_rate: float = 0.1
    warm_up: int = 25
    weight_decay: float = 1e-4
    beta1: float = 0.95
    beta2: float = 0.99
    clip: float = 1.0
    ema: float = 0.0
    max_length: int = 1024
    loss_on: str = "all"
    encoder_weight: float = 1.0
    encoder_loss_on: str = "sequence"
    self_conditioning: float = 0.5
    min_noise: float = 1e-4
    checkpointed: bool = True
    seed: int = 0
    log_every: int = 10
    save_every: int = 100
    eval_every: int = 100
    eval_examples: int = 50
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for name in (
            "steps", "batch_size", "accumulate", "max_length", "log_every", "save_every",
            "eval_every", "eval_examples",
        ):  # fmt: skip
            check_integer(name, getattr(self, name), minimum=1)
        for name in ("warm_up", "seed"):
            check_integer(name, getattr(self, name), minimum=0)
        for name in ("learning_rate", "clip"):
            check_number(name, getattr(self, name), minimum=0, exclusive=True)
        for name in ("final_rate", "self_conditioning"):
            check_number(name, getattr(self, name), minimum=0, maximum=1)
        for name in ("beta1", "beta2", "ema"):
            check_number(name, getattr(self, name), minimum=0, maximum=0.99999)
        for name in ("weight_decay", "encoder_weight"):
            check_number(name, getattr(self, name), minimum=0)
        check_number("min_noise", self.min_noise, minimum=0, maximum=0.49)
        for name in ("checkpointed", "skip_bad"):
            check_boolean(name, getattr(self, name))
        for name, known in (("loss_on", LOSS_ON), ("encoder_loss_on", ENCODER_LOSS_ON)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be {' or '.join(known)}")

    @classmethod
    def from_file(cls, path: Path) -> FinetuneConfig:
        """Read a config: keys of this class, and a table [lora], or `full = true` without one.

        Raises:
            ConfigError: not TOML, an unknown key, or a value out of range.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as a config: {error}") from error
        return cls().with_options(raw)

    def with_options(self, options: Mapping[str, Any]) -> FinetuneConfig:
        """Return a copy with options in place of its fields.

        `full`: train all weights. `lora`: fields of LoraConfig.

        Raises:
            ConfigError: an unknown option, a value out of range, or both of `full` and `lora`.
        """
        given = dict(options)
        full, lora = given.pop("full", False), given.pop("lora", None)
        if not isinstance(full, bool) or (lora is not None and not isinstance(lora, Mapping)):
            raise ConfigError("full must be true or false, and lora a table")
        if full and lora:
            raise ConfigError("full trains all weights, lora an adapter: leave out one of them")
        _check_names(given, FinetuneConfig)
        adapter = self.lora
        if lora is not None:
            _check_names(lora, LoraConfig)
            adapter = dataclasses.replace(self.lora or LoraConfig(), **lora)
        return dataclasses.replace(self, lora=None if full else adapter, **given)

    def rate(self, step: int) -> float:
        """Return the share of the peak rate at update `step`, counted from 0."""
        if step < self.warm_up:
            return (step + 1) / (self.warm_up + 1)
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.final_rate + (1 - self.final_rate) * (1 + math.cos(math.pi * done)) / 2

    def to_json(self) -> str:
        """Return all that the weights depend on, to tell runs apart."""
        apart = ("log_every", "save_every", "eval_every", "eval_examples")
        written = dataclasses.asdict(self)
        return json.dumps({name: written[name] for name in written if name not in apart})


def _check_names(given: Mapping[str, Any], kind: type[Any]) -> None:
    known = [field.name for field in fields(kind)]
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(f"there is no setting {unknown[0]!r}: there are {', '.join(known)}")
