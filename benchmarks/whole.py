"""The full shape of the released 26B on this machine, with random weights.

`make FOLDER` makes the weights, quantizes and writes them shard by shard: only one matrix and one
shard are in memory at a time, and no unquantized weight is on disk. `run FOLDER` loads them,
encodes a prefix, denoises a canvas and commits it, and reports the peak memory of the process. Each
prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure import machine
from torch import Tensor

from redraft.checkpoint.names import to_file
from redraft.checkpoint.plan import weight_shapes
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.quantize_to_disk import QuantizationSource, quantized_copy
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.config.presets import PRESETS
from redraft.testing.tiny import randomise_tensors

SMALL = {"num_hidden_layers": 2, "num_experts": 4, "top_k_experts": 2, "vocab_size": 2048}


class RandomWeights:
    """A reader of weights that are made when they are read, alike each time."""

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


def make(args: argparse.Namespace, config: ModelConfig) -> None:
    """Write the quantized weights."""
    shapes = weight_shapes(config)
    reader = RandomWeights({to_file(name): shape for name, shape in shapes.items()})
    raw_config = model_config_to_dict(config) | {"dtype": "bfloat16"}
    source = QuantizationSource(reader, shapes, torch.bfloat16, raw_config, name="random")
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty() or done % 60 == 0:
            seconds = time.perf_counter() - began
            print(f"{done} of {total} weights, {seconds:.0f} s", file=sys.stderr)

    quantization = Quantization(args.format, args.group, args.embedding)
    summary = quantized_copy(source, args.folder, quantization, progress=progress)
    print_result(
        args,
        parameters=sum(torch.Size(shape).numel() for shape in shapes.values()),
        file_bytes=summary.bytes,
        seconds=time.perf_counter() - began,
    )


def run(args: argparse.Namespace, config: ModelConfig) -> None:
    """Load, encode a prefix, denoise a canvas, commit it."""
    import redraft
    from redraft.engine import Engine, Request
    from redraft.events import Committed, Draft

    began = time.perf_counter()
    model = redraft.load(args.folder)
    loaded, resident = time.perf_counter() - began, memory("VmRSS")
    settings = GenerationConfig(
        max_new_tokens=2 * config.canvas_length,
        max_denoising_steps=args.steps,
        stability_threshold=args.steps,
        confidence_threshold=1e-9,
        eos_token_id=(),
        seed=1,
    )
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(5, config.vocab_size, (args.prefix,), generator=generator).tolist()
    engine = Engine(model.network)
    engine.add(Request.checked(prompt, settings, config))
    steps: list[float] = []
    began, prefill, committed = time.perf_counter(), 0.0, 0
    while engine.busy and committed < 1:
        before = time.perf_counter()
        events = engine.step()
        if any(isinstance(event, Draft) for event in events):
            steps.append(time.perf_counter() - before)
            peak = memory("VmHWM") / 1e9
            print(f"step {len(steps)}: {steps[-1]:.1f} s, peak {peak:.2f} GB", file=sys.stderr)
        else:
            prefill = time.perf_counter() - began
        committed += sum(isinstance(event, Committed) for event in events)
    engine.step()  # encodes the canvas, in the same pass as the next one's first step
    print_result(
        args,
        load_seconds=loaded,
        resident_bytes=resident,
        prefill_seconds=prefill,
        step_seconds=steps,
        committed_canvases=committed,
        peak_bytes=memory("VmHWM"),
    )


def memory(name: str) -> int:
    """Return the bytes resident in this process: VmRSS now, VmHWM at the peak."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def print_result(args: argparse.Namespace, **figures: Any) -> None:
    """Print the JSON line."""
    options = vars(args) | {"folder": str(args.folder)}
    threads = torch.get_num_threads()
    print(json.dumps({"benchmark": "whole", **options, **figures, "machine": machine(threads)}))


def main() -> None:
    """Make or run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=("int4", "int8", "fp8"), default="int4")
    parser.add_argument("--group", type=int, default=64, help="weights that share a scale, in int4")
    parser.add_argument("--embedding", choices=("int8",))
    parser.add_argument("--prefix", type=int, default=4096, help="tokens of the prompt")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps of the canvas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--small", action="store_true", help="two layers of four experts, to try it out"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = PRESETS["26b"]
    if args.small:
        config = replace(config, **SMALL, layer_types=config.layer_types[4:6])
    {"make": make, "run": run}[args.what](args, config)


if __name__ == "__main__":
    main()
