"""Trainer: examples, losses, updates; saved often, resumed where it stopped, told as it goes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redraft.checkpoint.save import save_checkpoint
from redraft.config import GenerationConfig
from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID
from redraft.errors import ConfigError, NonFiniteError
from redraft.network import DiffusionGemma
from redraft.text import ChatTemplate, Tokenizer
from redraft.train import parallel
from redraft.train.batch import Batch, Layout, make_batch
from redraft.train.forward import ForwardPasses
from redraft.train.initial import initialise
from redraft.train.loss import Corruption, Losses, autoregressive_losses, losses
from redraft.train.muon import Muon
from redraft.train.recipe import Recipe
from redraft.train.state import digest, read_state, write_state
from redraft.train.stream import step_examples

LEVELS = 5  # bins of noise level that the loss is told by
STATE = "state.safetensors"
BEFORE_DECAY = "before-decay.safetensors"  # what a longer run can go on from
METRICS = "metrics.jsonl"


class Trainer:
    """One training run in one folder: state.safetensors to resume from, metrics.jsonl, and the
    checkpoint at the end.

    Raises:
        ConfigError: the tokenizer has more ids than the model, the weights to start from are of
            another shape, or the folder holds another recipe's run.
    """

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        folder: Path,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        if tokenizer.vocab_size > recipe.model.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {recipe.model.vocab_size}"
            )
        self.recipe, self.folder = recipe, folder
        self.layout = Layout(tokenizer, template, recipe.model.canvas_length, recipe.prefix_length)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.model = initialise(DiffusionGemma(recipe.model), self.generator)
        self.start = "" if start is None else digest(start)
        if start is not None:
            self._begin_with(start)
        self.passes = ForwardPasses(self.model, compiled=recipe.compile)
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.optimizers = _optimizers(self.model, recipe)
        self.narrow = uses_bfloat16(recipe.precision)
        self.step = 0
        self.stopping = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be the folder of a run: {error}") from error
        if (folder / STATE).exists():
            self._resume()

    def run(self, *, until: float | None = None) -> Iterator[dict[str, Any]]:
        """Train to the recipe's end, or for `until` seconds, or until `stopping` is set (between
        two updates, so that what is saved is whole); yields a row of metrics every `log_every`
        steps, and one of what is left at the end."""
        started, seen, rows = time.perf_counter(), 0, []
        while self.step < self.recipe.steps:
            late = until is not None and time.perf_counter() - started >= until
            if parallel.anyone(self.stopping or late):
                break
            rows.append(self._update())
            seen += self.recipe.batch_size * max(1, self.recipe.draws)
            self.step += 1
            if self.step % self.recipe.log_every == 0:
                yield self._tell(rows, seen / (time.perf_counter() - started))
                rows = []
            if self.step % self.recipe.save_every == 0:
                self.save_state()
            if self.step == self.recipe.decay_start:
                self.save_state(BEFORE_DECAY)
        if rows:
            yield self._tell(rows, seen / (time.perf_counter() - started))
        self.save_state()

    def averaged(self) -> DiffusionGemma:
        """A copy of the model with the averaged weights, ready to write."""
        model = DiffusionGemma(self.recipe.model)
        model.load_state_dict(self.average)
        return model.eval().requires_grad_(False)

    def export(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the averaged weights as a checkpoint with tokenizer and template."""
        config = GenerationConfig(
            max_new_tokens=self.recipe.model.canvas_length, eos_token_id=(EOS_ID, END_OF_TURN_ID)
        )
        config = config.with_options(self.recipe.generation)
        layout = self.layout
        save_checkpoint(
            folder,
            self.averaged().to(dtype),
            config,
            companion=lambda draft: layout.tokenizer.save(draft, layout.template.source),
        )

    def save_state(self, name: str = STATE) -> None:
        """Write all that resuming needs."""
        if parallel.number():
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors["generator"] = self.generator.get_state()
        facts = {"step": str(self.step), "recipe": self.recipe.to_json(), "start": self.start}
        write_state(self.folder / name, tensors, self.optimizers, facts)

    def _tell(self, rows: list[Losses], rate: float) -> dict[str, Any]:
        metrics = summarise(rows) | {
            "step": self.step,
            "learning_rate": self.recipe.learning_rate(self.step - 1),
            "canvases_per_second": rate,
        }
        if not parallel.number():
            with (self.folder / METRICS).open("a") as file:
                file.write(json.dumps(metrics) + "\n")
        return metrics

    def _begin_with(self, start: Mapping[str, Tensor]) -> None:
        wanted = {name: tensor.shape for name, tensor in self.model.state_dict().items()}
        if wanted != {name: tensor.shape for name, tensor in start.items()}:
            raise ConfigError(
                "the weights to start from are of another shape than the recipe's model"
            )
        self.model.load_state_dict(dict(start))

    def _resume(self) -> None:
        tensors, facts = read_state(self.folder / STATE, self.optimizers)
        if not self.recipe.continues(facts["recipe"], int(facts["step"])):
            raise ConfigError(
                f"{self.folder} holds the run of another recipe: name another folder, or remove it"
            )
        if facts.get("start", self.start) != self.start:
            raise ConfigError(
                f"{self.folder} holds a run that began with other weights: begin with the same, or name another folder"
            )
        self.step = int(facts["step"])
        self.generator.set_state(tensors.pop("generator"))
        self.model.load_state_dict(_under("model.", tensors))
        self.average = _under("average.", tensors)
        if not parallel.number():  # steps after the last save are done again, and told again
            kept = [row for row in read_metrics(self.folder / METRICS) if row["step"] <= self.step]
            (self.folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in kept))

    def _update(self) -> Losses:
        recipe = self.recipe
        rng = random.Random(f"{recipe.seed} {self.step}")
        batch = make_batch(step_examples(recipe, rng), self.layout, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.narrow):
            result = self._losses(batch)
        result.total.backward()
        parallel.average_gradients(self.model.parameters())
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        if not bool(norm.isfinite()):
            raise NonFiniteError(
                f"the gradient is not finite at step {self.step}: lower the learning rates"
            )
        rate = recipe.learning_rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            optimizer.step()
            optimizer.zero_grad()
        # Early on the average follows closely, so that it is never that of the first random
        # weights.
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            weights = self.model.state_dict()
            torch._foreach_lerp_(
                [self.average[name] for name in weights], list(weights.values()), 1 - decay
            )
        return result

    def _losses(self, batch: Batch) -> Losses:
        """Of this process's part of a batch."""
        recipe, mine = self.recipe, (parallel.number(), parallel.count())
        if not recipe.draws:
            return autoregressive_losses(self.passes, batch.part(*mine))
        corruption = Corruption.of(batch, recipe.draws, recipe.model.vocab_size, self.generator)
        answer = bool(recipe.encoder_every) and self.step % recipe.encoder_every == 0
        part, noise = batch.part(*mine), corruption.part(*mine)
        return losses(
            self.passes,
            part,
            noise,
            answer=answer,
            self_conditioning=recipe.self_conditioning,
            prefix_weight=recipe.prefix_weight,
        )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def uses_bfloat16(precision: str) -> bool:
    """Check whether products are to be in bfloat16; "auto" asks the processor."""
    if precision == "auto":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return precision == "bfloat16"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; none where it is missing, and without a last line that a crash cut
    off."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def summarise(rows: list[Losses]) -> dict[str, Any]:
    """Mean losses of some steps, the diffusion loss also by noise level (LEVELS bins from 0 to 1,
    null where empty)."""
    level = torch.cat([row.level for row in rows])
    by_row = torch.cat([row.by_row for row in rows])
    which = (level * LEVELS).long().clamp_max(LEVELS - 1)
    bins = [_mean(by_row[which == number]) for number in range(LEVELS)]
    encoder = [row.encoder.detach() for row in rows if row.encoder is not None]
    prefix = [row.prefix.detach() for row in rows if row.prefix is not None]
    told = {"prefix_loss": _mean(torch.stack(prefix))} if prefix else {}
    return told | {
        "loss": _mean(by_row),
        "loss_by_level": bins,
        "encoder_loss": _mean(torch.stack(encoder)) if encoder else None,
    }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _optimizers(model: DiffusionGemma, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for matrices; AdamW for embeddings, norms and scales."""

    def is_matrix(name: str, parameter: Tensor) -> bool:
        return parameter.ndim >= 2 and not name.startswith("embed_tokens")

    matrices = [p for name, p in model.named_parameters() if is_matrix(name, p)]
    others = [p for name, p in model.named_parameters() if not is_matrix(name, p)]
    dtype = torch.bfloat16 if uses_bfloat16(recipe.precision) else torch.float32
    muon = Muon(matrices, lr=recipe.matrix_lr, dtype=dtype)
    adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.98), weight_decay=0.0)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]
