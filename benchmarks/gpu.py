"""The released 26B's shape on a CUDA device: a denoising step, text written in so many steps a
canvas, and memory.

Random weights are made on the device, whole or in few bits; the peer gets the same shape in
bfloat16. One side a run: two such models do not fit beside each other. `--profile` tells what the
kernels of a step take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from redraft.checkpoint.load import place_weight
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.save import VISION_STUB
from redraft.config import ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.config.presets import PRESETS
from redraft.network import DiffusionGemma
from redraft.quant import FORMATS, ExpertList, Fp4Weight, PackedWeight

UNSETTLED = {"confidence_threshold": 1e-9, "stability_threshold": 1000}
Write = Callable[
    [list[list[int]], int, int], None
]  # prompts, canvases behind each, steps of each canvas


def random_fp4(weight: Tensor) -> PackedWeight:
    """NVFP4 of weight's shape: nothing here writes it, so its bits are random."""
    height, width = weight.shape
    values = torch.randint(0, 256, (height, width // 2), dtype=torch.uint8, device=weight.device)
    scale = (torch.rand(height, width // 16, device=weight.device) + 0.5).to(torch.float8_e4m3fn)
    return Fp4Weight(values, scale, torch.tensor(0.35 * width**-0.5), weight.dtype)


def random_weight(name: str, shape: torch.Size) -> Tensor:
    """Numbers with which a random model behaves."""
    weight = torch.empty(shape, dtype=torch.bfloat16, device="cuda")
    if len(shape) < 2:
        return weight.fill_(0.1 if name.endswith("q_norm.weight") else 1.0)
    return weight.normal_(
        0, (0.1 if name.startswith("self_conditioning.down") else 1.0) * shape[-1] ** -0.5
    )


def random_network(config: ModelConfig, form: str, group: int) -> DiffusionGemma:
    """A model on the device. Experts of all layers are alike, but each layer has its own copy."""
    with torch.device("meta"):
        network = DiffusionGemma(config)
    quantization = (
        None if form == "bf16" else Quantization("int4" if form == "fp4" else form, group)
    )
    known: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        own = name.rpartition(".")[2]
        found: Any
        if ".experts." in name and own in known:
            found = deepcopy(known[own])
        else:
            found = weight = random_weight(name, tensor.shape)
            if quantization and form != "fp4":
                found = quantization.of(name, weight, weight.dtype)
            elif quantization and quantization.covers(name, weight.shape):
                found = (
                    random_fp4(weight)
                    if weight.ndim == 2
                    else ExpertList([random_fp4(one) for one in weight])
                )
            if ".experts." in name:
                known[own] = found
        place_weight(network, name, found)
    return network.eval()


def redraft(config: ModelConfig, given: argparse.Namespace) -> Write:
    """Our own."""
    from redraft.api import Model

    model = Model(random_network(config, given.form, given.group))

    def write(prompts: list[list[int]], canvases: int, steps: int) -> None:
        asked = {
            "max_new_tokens": canvases * config.canvas_length,
            "max_denoising_steps": steps,
            "seed": 1,
            "eos_token_id": (),
        }
        for written in model.generate(prompts, **asked, **UNSETTLED):
            assert written.statistics.steps_per_canvas == (steps,) * canvases

    return write


def transformers(config: ModelConfig, given: argparse.Namespace) -> Write:
    """The reference."""
    from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

    whole = DiffusionGemmaConfig.from_dict(
        model_config_to_dict(config) | {"vision_config": VISION_STUB}
    )
    with torch.device("meta"):
        model = DiffusionGemmaForBlockDiffusion(whole).eval()
    model.generation_config.eos_token_id = (
        None  # else the config's own fill the gap in what a call asks for
    )
    model.tie_weights()
    known: dict[int, torch.nn.Parameter] = {}  # what stands in several places is one weight
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in known:
                    known[id(parameter)] = torch.nn.Parameter(
                        random_weight(name, parameter.shape), requires_grad=False
                    )
                module._parameters[name] = known[id(parameter)]
        for name, buffer in module._buffers.items():
            if name == "embed_scale":
                module._buffers[name] = torch.tensor(
                    config.hidden_size**0.5, dtype=torch.bfloat16, device="cuda"
                )
            elif name.endswith("inv_freq"):
                module._buffers[name] = torch.logspace(0, -4, buffer.numel(), device="cuda")
            elif buffer is not None:
                module._buffers[name] = torch.ones(
                    buffer.shape, dtype=torch.bfloat16, device="cuda"
                )

    @torch.no_grad()
    def write(prompts: list[list[int]], canvases: int, steps: int) -> None:
        settings = generation.DiffusionGemmaGenerationConfig(
            max_new_tokens=canvases * config.canvas_length, max_denoising_steps=steps, eos_token_id=None, pad_token_id=0,
            sampler_config=generation.EntropyBoundSamplerConfig(0.1), **UNSETTLED,
        )  # fmt: skip
        ids = torch.tensor(prompts, device="cuda")
        model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )

    return write


def taken(work: Callable[[], None]) -> float:
    """Seconds, the device's among them."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writer", choices=("redraft", "transformers"), default="redraft")
    parser.add_argument(
        "--form", choices=("bf16", *FORMATS, "fp4"), default="bf16", help="of redraft's weights"
    )
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--prefix", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=1, help="texts at once")
    parser.add_argument("--canvases", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device")
    whole = PRESETS["26b"]
    config = replace(
        whole, num_hidden_layers=given.layers, layer_types=whole.layer_types[-given.layers :]
    )
    began = time.perf_counter()
    write = {"redraft": redraft, "transformers": transformers}[given.writer](config, given)
    torch.cuda.synchronize()
    made, weights = time.perf_counter() - began, torch.cuda.memory_allocated()
    asked_for = torch.randint(
        200,
        config.vocab_size,
        (given.batch, given.prefix),
        generator=torch.Generator().manual_seed(0),
    )
    prompts = asked_for.tolist()
    first = taken(lambda: write(prompts, 2, 4))  # kernels are compiled
    torch.cuda.reset_peak_memory_stats()
    few, more = 4, 20
    steps: list[float] = []
    drafts: list[float] = []
    texts: list[float] = []
    for _ in range(given.rounds):
        drafts.append(taken(lambda: write(prompts, 1, 1)))
        short = taken(lambda: write(prompts, 1, few))
        steps.append((taken(lambda: write(prompts, 1, more)) - short) / (more - few))
        texts.append(taken(lambda: write(prompts, given.canvases, given.steps)))
    step, text = statistics.median(steps), statistics.median(texts)
    asked = vars(given)
    rate = given.batch * given.canvases * config.canvas_length / text
    print(
        f"{given.writer} {given.form}: {1e3 * step:.1f} ms a step, {rate:.0f} tokens/s at {given.steps} steps a canvas"
    )
    figures = {
        "step_seconds": step, "first_draft_seconds": statistics.median(drafts), "tokens_per_second": rate,
        "weight_bytes": weights, "peak_bytes": torch.cuda.max_memory_allocated(), "first_seconds": first, "made_seconds": made,
    }  # fmt: skip
    if given.profile:
        profile(write, prompts)
    name = torch.cuda.get_device_name()
    print(
        json.dumps(
            {
                "benchmark": "gpu",
                **asked,
                **figures,
                "machine": f"{name}, torch {torch.__version__}",
            }
        )
    )


def profile(write: Write, prompts: list[list[int]]) -> None:
    """A table of what took the device longest in ten more steps."""
    from collections import Counter

    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    spent: list[Counter[str]] = []
    for steps in (10, 20):
        with profiler(activities=[ProfilerActivity.CUDA]) as found:
            write(prompts, 1, steps)
            torch.cuda.synchronize()
        spent.append(Counter())
        for event in found.key_averages():
            spent[-1][event.key] += event.self_device_time_total
            spent[-1][f"# {event.key}"] += event.count
    spent[1].subtract(spent[0])
    kernels = [(name, spell) for name, spell in spent[1].most_common() if not name.startswith("#")]
    print(f"device: {sum(spell for _, spell in kernels) / 1e4:.2f} ms a step")
    for name, taken_by in kernels[:40]:
        print(f"{taken_by / 1e4:8.3f} ms: {spent[1][f'# {name}'] / 10:7.1f} x {name[:100]}")


if __name__ == "__main__":
    main()
