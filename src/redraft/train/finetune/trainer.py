"""FinetuneTrainer: updates of an adapter, or of all weights, that can be interrupted and resumed.

Every example has its number, and all that is random of it follows from seed and number: a resumed
run, and one in several processes, sees the same examples in the same noise.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from redraft.adapters import adapters_of, attach, save_adapter
from redraft.adapters.attach import weights_of
from redraft.errors import ConfigError, DataError, NonFiniteError
from redraft.network import DiffusionGemma
from redraft.train.context import run_layer
from redraft.train.finetune.average import WeightAverage
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.encode import RecordEncoder
from redraft.train.finetune.objective import CanvasBatch, CanvasLosses, canvas_losses
from redraft.train.finetune.records import RecordFile
from redraft.train.finetune.rows import NO_UPDATES, Row, summarise, waiting_losses, waiting_tensors
from redraft.train.forward import ForwardPasses
from redraft.train.metrics import METRICS, append_metrics, cut_metrics
from redraft.train.parallel import (
    any_process,
    gathered,
    part_like,
    rank,
    summed,
    whole_tensor,
    world_size,
)
from redraft.train.state import digest, read_state, write_state

if TYPE_CHECKING:
    from redraft.train.finetune.shards import Shards

STATE = "state.safetensors"
ADAPTER, CHECKPOINT = "adapter", "checkpoint"
# Positions whose logits are in memory at a time.
CHUNK = 256


class FinetuneTrainer:
    """One fine-tuning in one folder.

    Args:
        network: of the base model; an adapter is attached to it, in place.
        encoder: turns records into canvases. folder: of state, metrics and result.
        evaluate: called with the trainer now and then; what it returns is added to the metrics.

    Attributes:
        step: updates so far. stopping: set it to end `run` after the current update.
        trained: what is trained, by name.

    Raises:
        ConfigError: a target matches nothing, all weights of a quantized model are to be trained,
            or the folder holds the run of another config.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        network: DiffusionGemma,
        encoder: RecordEncoder,
        data: RecordFile,
        folder: Path,
        *,
        base: str = "",
        evaluate: Callable[[FinetuneTrainer], Row] | None = None,
    ) -> None:
        self.config, self.network, self.encoder, self.data = config, network, encoder, data
        self.folder, self.base, self._evaluate = folder, base, evaluate
        self._start = digest({"base": next(network.parameters()).detach()})
        self.trained = _trained(network, config)
        # Several processes divide the weights among them.
        self._shards = _shards(network) if world_size() > 1 else None
        if self._shards is not None:
            self.trained = _requiring_gradient(network)
        # An operation on a divided tensor costs the CPU much; on a list of them, once.
        self._foreach = True if self._shards is not None else None
        self.passes = ForwardPasses(
            network, dense_experts=False, checkpointed=config.checkpointed, chunk=CHUNK,
            layer_runner=self._shards.run_layer if self._shards is not None else run_layer,
            in_step=self._shards is not None,
        )  # fmt: skip
        self.optimizer = torch.optim.AdamW(
            self.trained.values(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            foreach=self._foreach,
        )
        self._average = WeightAverage(self.trained, config.ema) if config.ema else None
        self.step, self.stopping = 0, False
        self._waiting = list[CanvasLosses]()  # of updates that are in no row yet
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE).exists():
            self._resume()

    def run(self) -> Iterator[Row]:
        """Train to the end; save the state now and then, and the result at the end.

        Yields:
            A row of metrics every `log_every` updates, and at the end; before the first update one
            of what `evaluate` finds.

        Raises:
            NonFiniteError: a loss or a gradient is not finite; the last state stays.
            DataError: a record cannot be learnt from.
        """
        config, began, first = self.config, time.perf_counter(), self.step
        if self._evaluate is not None and not self.step and not any_process(self.stopping):
            yield self._write(NO_UPDATES | self._evaluated())
        while self.step < config.steps and not any_process(self.stopping):
            self._waiting += self._update()
            self.step += 1
            due = [self.step % every == 0 or self.step == config.steps for every in (
                config.log_every, config.eval_every, config.save_every)]  # fmt: skip
            if due[0] or due[1]:
                speed = (self.step - first) / (time.perf_counter() - began)
                row = self._log(speed, evaluated=due[1])
                self._waiting = []
                yield row
            if due[2]:
                self.save_state()
        self.save_state()

    def save_state(self) -> None:
        """Write all that resuming needs, whole or not at all; all processes must call this."""
        facts = {"step": str(self.step), "config": self.config.to_json(), "start": self._start}
        tensors = {name: tensor.detach() for name, tensor in self.trained.items()}
        tensors |= self._average.tensors() if self._average is not None else {}
        tensors |= waiting_tensors(gathered(self._waiting))
        write_state(self.folder / STATE, tensors, [self.optimizer], facts)

    def save_adapter(self) -> Path:
        """Write the adapter in PEFT's format; return its folder. All processes must call this."""
        lora, folder = self.config.lora, self.folder / ADAPTER
        assert lora is not None
        with self.whole():
            if not rank():
                save_adapter(folder, adapters_of(self.network), lora, self.base)
        return folder

    @contextmanager
    def whole(self) -> Iterator[DiffusionGemma]:
        """Yield a network with all weights, their average where there is one.

        All processes must enter the context.
        """
        with nullcontext() if self._average is None else self._average.in_place():
            if self._shards is None:
                yield self.network
                return
            with self._shards.whole() as network:
                yield network

    def _update(self) -> list[CanvasLosses]:
        """Make one update; return the losses of its batches."""
        config, found = self.config, list[CanvasLosses]()
        batches = [self._batch(number) for number in range(config.accumulate)]
        # The mean is over the positions of the whole update, in all processes, not of each batch;
        # and gradients become their mean over the processes.
        counted, learnt = summed(
            sum(int(batch.counted.sum()) for batch in batches),
            sum(int(batch.learnt[:, 1:].sum()) for batch in batches),
        )
        self.network.train()
        for number, batch in enumerate(batches):
            # Dropout, the only random number that no example draws itself.
            torch.manual_seed(_seed(config.seed, self.step, number, rank()))
            part = self._losses(batch.to(self.network.device))
            loss = part.diffusion / max(1, counted)
            loss = loss + config.encoder_weight * part.encoder / max(1, learnt)
            (loss * world_size()).backward()
            found.append(part.detached())
        self.network.eval()
        norm = whole_tensor(
            nn.utils.clip_grad_norm_(self.trained.values(), config.clip, foreach=self._foreach)
        )
        if not bool(norm.isfinite()):
            raise NonFiniteError(
                f"the gradient is not finite at update {self.step}: the last state, of "
                f"{self.folder / STATE}, is kept; lower learning_rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.rate(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self.step)
        return found

    def _losses(self, batch: CanvasBatch) -> CanvasLosses:
        if self._shards is None:
            return canvas_losses(self.passes, batch)
        found: CanvasLosses = self._shards(self.passes, batch)[1]
        return found

    def _batch(self, part: int) -> CanvasBatch:
        """Return this process's examples of one batch of the update."""
        config = self.config
        first = (self.step * config.accumulate + part) * config.batch_size
        numbers = range(first + rank(), first + config.batch_size, world_size())
        rngs = [random.Random(f"{config.seed} {number}") for number in numbers]
        canvases = []
        for number, rng in zip(numbers, rngs, strict=True):
            at = self.data.shuffled(number, config.seed)
            try:
                canvases.append(self.encoder.canvas(self.data[at], rng))
            except DataError as error:
                raise DataError(f"{self.data.path}, record {at + 1}: {error}") from error
        return CanvasBatch.of(
            canvases,
            rngs,
            vocab_size=self.network.config.vocab_size,
            pad=self.network.config.pad_token_id,
            self_conditioning=config.self_conditioning,
            min_noise=config.min_noise,
        )

    def _log(self, speed: float, *, evaluated: bool) -> Row:
        """Write and return a row of metrics."""
        row = summarise(gathered(self._waiting)) | {
            "step": self.step,
            "learning_rate": self.config.learning_rate * self.config.rate(self.step - 1),
            "examples_per_second": speed * self.config.batch_size * self.config.accumulate,
            "seconds_left": (self.config.steps - self.step) / speed,
        }
        if evaluated and self._evaluate is not None:
            row |= self._evaluated()
        return self._write(row)

    def _evaluated(self) -> Row:
        assert self._evaluate is not None
        with self.whole():
            return self._evaluate(self)

    def _write(self, row: Row) -> Row:
        if not rank():
            append_metrics(self.folder / METRICS, row)
        return row

    def _resume(self) -> None:
        tensors, facts = read_state(self.folder / STATE, [self.optimizer])
        theirs, ours = json.loads(facts["config"]), json.loads(self.config.to_json())
        changed = [name for name in ours if theirs.get(name) != ours[name] and name != "steps"]
        if changed or facts["start"] != self._start:
            what = ", ".join(changed) or "base model"
            raise ConfigError(f"{self.folder} holds a run with another {what}: name another folder")
        self.step = int(facts["step"])
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(part_like(tensor, tensors[name]))
        if self._average is not None:
            self._average.load(tensors)
        if not rank():
            self._waiting = waiting_losses(tensors)
            cut_metrics(self.folder / METRICS, self.step)


def _trained(network: DiffusionGemma, config: FinetuneConfig) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; everything else is frozen."""
    if config.lora is not None:
        attach(network, config.lora, config.seed)
    elif any(not isinstance(weight, nn.Parameter) for _, weight in weights_of(network)):
        raise ConfigError(
            "the weights are quantized: train an adapter (lora), or load them as bfloat16"
        )
    else:
        network.requires_grad_(True)
    return _requiring_gradient(network)


def _seed(*numbers: int) -> int:
    return random.Random(" ".join(map(str, numbers))).getrandbits(63)


def _requiring_gradient(network: DiffusionGemma) -> dict[str, nn.Parameter]:
    return {name: one for name, one in network.named_parameters() if one.requires_grad}


def _shards(network: DiffusionGemma) -> Shards:
    # What FSDP2 imports takes a second, which a run in one process need not wait for.
    from redraft.train.finetune.shards import Shards

    return Shards(network)
