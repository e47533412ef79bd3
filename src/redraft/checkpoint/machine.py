"""The machine: its devices, and the formats in which they hold the released model."""

from __future__ import annotations

import platform
from typing import Any

import torch

from redraft.checkpoint.memory_plan import plan_memory
from redraft.checkpoint.quantize import Quantization
from redraft.config.presets import PRESETS
from redraft.network.memory_estimate import free_memory
from redraft.ops.linear import multiplies_bfloat16
from redraft.ops.triton import uses_kernels
from redraft.quant import quantizable_formats

CONTEXT = 4096  # tokens, of the memory that is planned for


def devices() -> list[dict[str, Any]]:
    """Return the devices: name, free bytes, what makes them fast, and the formats in which the 26B
    fits into them now."""
    needed = bytes_of_the_26b()
    cpu = torch.device("cpu")
    found = [_device(cpu, platform.processor() or "CPU", free_memory(cpu), needed)]
    found[0] |= {"threads": torch.get_num_threads(), "bfloat16": multiplies_bfloat16()}
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        card = torch.cuda.get_device_name(device)
        with torch.inference_mode():
            kernels = uses_kernels(torch.zeros(1, device=device))
        found.append(_device(device, card, free_memory(device), needed) | {"kernels": kernels})
    return found


def bytes_of_the_26b() -> dict[str, int]:
    """Return the bytes that the released shape needs, by format, for one text of CONTEXT tokens."""
    formats = {name: Quantization(name) for name in quantizable_formats()}
    needed = {}
    for name, quantization in ({"bfloat16": None} | formats).items():
        plan = plan_memory(
            PRESETS["26b"],
            dtype=torch.bfloat16,
            quantization=quantization,
            context=CONTEXT,
            batch=1,
        )
        needed[name] = plan.memory.total
    return needed


def _device(device: torch.device, name: str, free: int, needed: dict[str, int]) -> dict[str, Any]:
    fitting = [format for format, nbytes in needed.items() if nbytes <= free]
    return {"device": str(device), "name": name, "free_bytes": free, "holds_26b_in": fitting}
