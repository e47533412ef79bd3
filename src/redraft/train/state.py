"""The state of a run as one safetensors file: weights, averages, optimizers, generator, step. No
pickle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from redraft.errors import CheckpointError


def write_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    facts: Mapping[str, str],
) -> None:
    """Write tensors, the optimizers' own, and facts; the file appears whole or not at all."""
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            flat |= {
                f"optimizer.{number}.{index}.{key}": tensor.clone()
                for key, tensor in entries.items()
            }
    draft = path.with_suffix(".new")
    save_file(flat, draft, metadata=dict(facts))
    os.replace(draft, path)


def read_state(
    path: Path, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and facts; the optimizers' state is put into `optimizers`.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}; remove it to begin the run anew"
        ) from error
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name in [name for name in flat if name.startswith(f"optimizer.{number}.")]:
            _, _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = flat.pop(name)
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    return flat, facts


def step_of(path: Path) -> int | None:
    """The step that a state was written at; None where there is none."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        return int((file.metadata() or {}).get("step", 0))


def digest(tensors: Mapping[str, Tensor]) -> str:
    """What tells weights from others."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().float().contiguous().numpy().tobytes())
    return found.hexdigest()
