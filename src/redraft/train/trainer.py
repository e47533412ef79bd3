"""Trainer: examples, losses, updates. It saves often and resumes where it stopped."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from redraft.checkpoint.save import save_checkpoint
from redraft.config import GenerationConfig
from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID
from redraft.errors import ConfigError, NonFiniteError
from redraft.network import DiffusionGemma
from redraft.text import ChatTemplate, Tokenizer
from redraft.train.batch import Batch, make_batch
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.examples import step_examples
from redraft.train.forward import ForwardPasses
from redraft.train.image_noise import with_image_noise
from redraft.train.initial import initialise
from redraft.train.loss import Corruption, Losses, autoregressive_losses, losses
from redraft.train.metrics import (
    METRICS,
    Metrics,
    append_metrics,
    cut_metrics,
    summarise_losses,
)
from redraft.train.optimizers import make_optimizers, product_dtype, update
from redraft.train.parallel import any_process, average_gradients, rank, world_size
from redraft.train.recipe import Recipe
from redraft.train.state import digest, read_state, write_state

STATE = "state.safetensors"
# The state from which a longer run can continue.
BEFORE_DECAY = "before-decay.safetensors"
# Names of tensors in a state file begin with these.
WEIGHTS, AVERAGE = "model.", "average."


class Trainer:
    """One training run in one folder: the state to resume from, metrics, and the checkpoint.

    Args:
        start: the weights to start from; None for random ones.

    Attributes:
        network: what is trained. average: its averaged weights, which are exported.
        step: updates so far.
        stopping: set it to end `run` after the current update.

    Raises:
        ConfigError: the tokenizer has more ids than the network, the weights to start from have
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
        shape = recipe.model
        if tokenizer.vocab_size > shape.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {shape.vocab_size}"
            )
        self.recipe, self.folder = recipe, folder
        begin, end = shape.boi_token_id, shape.eoi_token_id
        borders = None if begin is None or end is None else (begin, end)
        self.encoder = ExampleEncoder(
            tokenizer,
            template,
            shape.canvas_length,
            recipe.prefix_length,
            image_borders=borders,
        )
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.network = initialise(DiffusionGemma(shape), self.generator)
        self.start = "" if start is None else digest(start)
        if start is not None:
            self._start_from(start)
        self.passes = ForwardPasses(self.network, compiled=recipe.compile)
        self.average = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.dtype = product_dtype(recipe.precision)
        self.optimizers = make_optimizers(self.network, recipe, self.dtype)
        self.step = 0
        self.stopping = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be the folder of a run: {error}") from error
        if (folder / STATE).exists():
            self._resume()

    def run(self, *, until: float | None = None) -> Iterator[Metrics]:
        """Train to the recipe's end; save the state now and then, and at the end.

        Args:
            until: seconds after which to stop. It stops after an update, so that what is saved is
                whole; `stopping` does the same.

        Yields:
            A row of metrics every `log_every` updates, and one for what is left at the end.
        """
        recipe = self.recipe
        started = time.perf_counter()
        canvases, updates = 0, list[Losses]()
        while self.step < recipe.steps:
            late = until is not None and time.perf_counter() - started >= until
            if any_process(self.stopping or late):
                break
            updates.append(self._update())
            canvases += recipe.batch_size * max(1, recipe.draws)
            self.step += 1
            if self.step % recipe.log_every == 0:
                yield self._log(updates, canvases / (time.perf_counter() - started))
                updates = []
            if self.step % recipe.save_every == 0:
                self.save_state()
            if self.step == recipe.decay_start:
                self.save_state(BEFORE_DECAY)
        if updates:
            yield self._log(updates, canvases / (time.perf_counter() - started))
        self.save_state()

    def averaged(self) -> DiffusionGemma:
        """Return a copy of the network with the averaged weights, ready to write text."""
        network = DiffusionGemma(self.recipe.model)
        network.load_state_dict(self.average)
        return network.eval().requires_grad_(False)

    def export(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the averaged weights as a checkpoint with tokenizer and template."""
        config = GenerationConfig(
            max_new_tokens=self.recipe.model.canvas_length, eos_token_id=(EOS_ID, END_OF_TURN_ID)
        )
        encoder = self.encoder
        save_checkpoint(
            folder,
            self.averaged().to(dtype),
            config.with_options(self.recipe.generation),
            companion=lambda draft: encoder.tokenizer.save(draft, encoder.template.source),
        )

    def save_state(self, name: str = STATE) -> None:
        """Write everything that resuming needs."""
        if rank():
            return
        tensors = {f"{WEIGHTS}{key}": tensor for key, tensor in self.network.state_dict().items()}
        tensors |= {f"{AVERAGE}{key}": tensor for key, tensor in self.average.items()}
        tensors["generator"] = self.generator.get_state()
        facts = {"step": str(self.step), "recipe": self.recipe.to_json(), "start": self.start}
        write_state(self.folder / name, tensors, self.optimizers, facts)

    def _log(self, updates: Sequence[Losses], rate: float) -> Metrics:
        """Write and return the row of some updates."""
        row = summarise_losses(updates) | {
            "step": self.step,
            "learning_rate": self.recipe.learning_rate(self.step - 1),
            "canvases_per_second": rate,
        }
        if not rank():
            append_metrics(self.folder / METRICS, row)
        return row

    def _start_from(self, weights: Mapping[str, Tensor]) -> None:
        shapes = {name: tensor.shape for name, tensor in self.network.state_dict().items()}
        if shapes != {name: tensor.shape for name, tensor in weights.items()}:
            raise ConfigError(
                "the weights to start from are of another shape than the recipe's model"
            )
        self.network.load_state_dict(dict(weights))

    def _resume(self) -> None:
        tensors, facts = read_state(self.folder / STATE, self.optimizers)
        if not self.recipe.continues(facts["recipe"], int(facts["step"])):
            raise ConfigError(
                f"{self.folder} holds the run of another recipe: name another folder, or remove it"
            )
        if facts.get("start", self.start) != self.start:
            raise ConfigError(
                f"{self.folder} holds a run that began with other weights: begin with the same, or "
                "name another folder"
            )
        self.step = int(facts["step"])
        self.generator.set_state(tensors.pop("generator"))
        self.network.load_state_dict(_with_prefix(WEIGHTS, tensors))
        self.average = _with_prefix(AVERAGE, tensors)
        if not rank():
            cut_metrics(self.folder / METRICS, self.step)

    def _update(self) -> Losses:
        """Make one update of the weights and of their average; return its losses."""
        recipe = self.recipe
        rng = random.Random(f"{recipe.seed} {self.step}")
        fits = self.encoder.fits if recipe.skip_long else lambda example: True
        batch = make_batch(step_examples(recipe, rng, fits), self.encoder, rng)
        if recipe.image_noise:
            batch = with_image_noise(batch, self.network, recipe.image_noise, self.generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            result = self._losses(batch)
        result.total.backward()
        average_gradients(self.network.parameters())
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        if not bool(norm.isfinite()):
            raise NonFiniteError(
                f"the gradient is not finite at step {self.step}: lower the learning rates"
            )
        update(self.optimizers, recipe.learning_rate(self.step))
        # The average follows closely at first, so that it never holds the random first weights.
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            weights = self.network.state_dict()
            average = [self.average[name] for name in weights]
            torch._foreach_lerp_(average, list(weights.values()), 1 - decay)
        return result

    def _losses(self, batch: Batch) -> Losses:
        """Return the losses of this process's part of a batch."""
        recipe, part = self.recipe, (rank(), world_size())
        if not recipe.draws:
            return autoregressive_losses(self.passes, batch.part(*part))
        corruption = Corruption.of(
            batch, recipe.draws, recipe.model.vocab_size, self.generator, recipe.noise_power
        )
        return losses(
            self.passes,
            batch.part(*part),
            corruption.part(*part),
            answer=bool(recipe.encoder_every) and self.step % recipe.encoder_every == 0,
            self_conditioning=recipe.self_conditioning,
            prefix_weight=recipe.prefix_weight,
        )


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
