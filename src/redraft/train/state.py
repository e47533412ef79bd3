"""The state of a run as one safetensors file: weights, averages, optimizers, generator, step.

Nothing is pickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.durable import replace_durably
from redraft.errors import CheckpointError
from redraft.train.parallel import part_like, rank, whole_tensor


def write_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    facts: Mapping[str, str],
) -> None:
    """Write tensors, the optimizers' tensors, and facts as the file's metadata.

    The file is renamed into its place once it is complete. The first process writes it; where
    tensors are divided among processes, all must call this.

    Raises:
        CheckpointError: it cannot be written, for example because the disk is full.
    """
    flat: dict[str, Tensor] = {}

    def add(name: str, tensor: Tensor) -> None:
        whole = whole_tensor(tensor.detach())
        if not rank():
            flat[name] = whole.contiguous().clone()

    for name, tensor in tensors.items():
        add(name, tensor)
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            for key, tensor in entries.items():
                add(f"optimizer.{number}.{index}.{key}", tensor)
    if rank():
        return
    draft = path.with_suffix(".new")
    try:
        save_file(flat, draft, metadata=dict(facts))
        replace_durably(draft, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written: {error}; the state that was there is kept"
        ) from error


def read_state(
    path: Path, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a state: its optimizers' tensors into `optimizers`, the rest as tensors and facts.

    Where parameters are divided among processes, each takes its part of the optimizers' tensors.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}; remove it to start the run again"
        ) from error
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        parameters = list(chain.from_iterable(one["params"] for one in optimizer.param_groups))
        for name in [name for name in flat if name.startswith(f"optimizer.{number}.")]:
            _, _, index, key = name.split(".")
            part = part_like(parameters[int(index)], flat.pop(name))
            state.setdefault(int(index), {})[key] = part
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    return flat, facts


def step_of(path: Path) -> int | None:
    """Return the step at which a state was written; None if there is no file."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        return int((file.metadata() or {}).get("step", 0))


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of weights, by names and values."""
    result = hashlib.sha256()
    for name in sorted(tensors):
        result.update(name.encode())
        result.update(tensors[name].detach().float().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()
