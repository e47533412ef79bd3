"""The released 26B's whole shape on this machine: random weights made and quantized shard by shard,
loaded, and run.

`make FOLDER` writes them (one matrix and one shard are in memory, nothing whole is on disk); `run
FOLDER` reads a prefix, denoises a canvas and commits it, and tells the process's peak. A JSON line
each.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import torch
from measure import machine
from torch import Tensor

from redraft.checkpoint.names import to_file
from redraft.checkpoint.plan import shapes_of
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.quantize_to_disk import Source, quantized_copy
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.config.presets import PRESETS
from redraft.testing.tiny import randomise_tensors

SMALL = {"num_hidden_layers": 2, "num_experts": 4, "top_k_experts": 2, "vocab_size": 2048}


class RandomWeights:
    """Weights that are made when they are read, the same for every reading."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def read(self, name: str) -> Tensor:
        tensor = torch.empty(self.shapes[name], dtype=torch.bfloat16)
        randomise_tensors({name: tensor}, zlib.crc32(name.encode()))
        return tensor

    def read_part(self, name: str, index: int) -> Tensor:
        tensor = torch.empty(self.shapes[name][1:], dtype=torch.bfloat16)
        randomise_tensors({name: tensor}, zlib.crc32(name.encode()) + index)
        return tensor


def make(given: argparse.Namespace, config: ModelConfig) -> None:
    """Write the quantized weights."""
    shapes = shapes_of(config)
    reader = RandomWeights({to_file(name): shape for name, shape in shapes.items()})
    source = Source(
        reader,
        shapes,
        torch.bfloat16,
        model_config_to_dict(config) | {"dtype": "bfloat16"},
        name="random",
    )
    began = time.perf_counter()

    def told(done: int, total: int) -> None:
        if sys.stderr.isatty() or done % 60 == 0:
            print(
                f"{done} of {total} weights, {time.perf_counter() - began:.0f} s", file=sys.stderr
            )

    summary = quantized_copy(
        source,
        given.folder,
        Quantization(given.format, given.group, given.embedding),
        progress=told,
    )
    parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    tell(
        given, parameters=parameters, file_bytes=summary.bytes, seconds=time.perf_counter() - began
    )


def run(given: argparse.Namespace, config: ModelConfig) -> None:
    """Load, read a prefix, denoise, commit."""
    import redraft
    from redraft.engine import Engine, Request
    from redraft.events import Draft, Finished

    began = time.perf_counter()
    model = redraft.load(given.folder)
    loaded, resident = time.perf_counter() - began, memory("VmRSS")
    settings = GenerationConfig(
        max_new_tokens=2 * config.canvas_length, max_denoising_steps=given.steps, stability_threshold=given.steps, seed=1,
        confidence_threshold=1e-9, eos_token_id=(),
    )  # fmt: skip
    prompt = torch.randint(
        5, config.vocab_size, (given.prefix,), generator=torch.Generator().manual_seed(1)
    ).tolist()
    engine = Engine(model.network)
    engine.add(Request.checked(prompt, settings, config))
    steps: list[float] = []
    began, prefill, committed = time.perf_counter(), 0.0, 0
    while engine.busy and committed < 1:
        before = time.perf_counter()
        events = engine.step()
        if any(isinstance(event, Draft) for event in events):
            steps.append(time.perf_counter() - before)
            print(
                f"step {len(steps)}: {steps[-1]:.1f} s, peak {memory('VmHWM') / 1e9:.2f} GB",
                file=sys.stderr,
            )
        else:
            prefill = time.perf_counter() - began
        committed += sum(not isinstance(event, Draft | Finished) for event in events)
    engine.step()  # the canvas is encoded on the way of the next one's first step
    tell(
        given, load_seconds=loaded, resident_bytes=resident, prefill_seconds=prefill, step_seconds=steps,
        committed_canvases=committed, peak_bytes=memory("VmHWM"),
    )  # fmt: skip


def memory(name: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def tell(given: argparse.Namespace, **figures: Any) -> None:
    """One JSON line."""
    asked = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(given).items()
    }
    print(
        json.dumps(
            {"benchmark": "whole", **asked, **figures, "machine": machine(torch.get_num_threads())}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=("int4", "int8", "fp8"), default="int4")
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--embedding", choices=("int8",))
    parser.add_argument("--prefix", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--small", action="store_true", help="two layers of four experts, to try it out"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = PRESETS["26b"]
    if given.small:
        from dataclasses import replace

        config = replace(config, **SMALL, layer_types=config.layer_types[4:6])
    {"make": make, "run": run}[given.what](given, config)


if __name__ == "__main__":
    main()
