"""The shape of the released 26B on a CUDA device: a denoising step, text in fixed steps, memory.

Random weights are made on the device, in bfloat16 or quantized; transformers gets the same shape
in bfloat16. A run has one backend: two such models do not fit beside each other. `--profile` prints
the times of a step's kernels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from redraft.checkpoint.quantize import Quantization
from redraft.config import ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.config.presets import PRESETS
from redraft.config.vision import VISION_STUB
from redraft.network import DiffusionGemma, join_weights, place_weight
from redraft.quant import (
    FORMATS,
    ExpertList,
    Nvfp4Weight,
    PackedWeight,
    keep_decoded_matrices,
)

# Settings with which no canvas settles before its last step.
UNSETTLED = {"confidence_threshold": 1e-9, "stability_threshold": 1000}
FEW_STEPS, MORE_STEPS = 4, 20
PROFILED_STEPS, PROFILED_KERNELS = 10, 40
# Writes behind prompts: so many canvases behind each, in so many steps each.
Generate = Callable[[list[list[int]], int, int], None]


def random_nvfp4(weight: Tensor) -> PackedWeight:
    """Return random NVFP4 bits in the shape of a weight: redraft has no writer of this format."""
    height, width = weight.shape
    values = torch.randint(0, 256, (height, width // 2), dtype=torch.uint8, device=weight.device)
    scale = (torch.rand(height, width // 16, device=weight.device) + 0.5).to(torch.float8_e4m3fn)
    return Nvfp4Weight(values, scale, torch.tensor(0.35 * width**-0.5), weight.dtype)


def random_weight(name: str, shape: torch.Size) -> Tensor:
    """Return random numbers of a size with which a random model is neither sharp nor unstable."""
    weight = torch.empty(shape, dtype=torch.bfloat16, device="cuda")
    if len(shape) < 2:
        return weight.fill_(0.1 if name.endswith("q_norm.weight") else 1.0)
    gain = 0.1 if name.startswith("self_conditioning.down") else 1.0
    return weight.normal_(0, gain * shape[-1] ** -0.5)


def random_network(config: ModelConfig, format_: str, group: int) -> DiffusionGemma:
    """Build a network on the device.

    The experts of all layers have the same numbers, but each layer has its own copy.
    """
    with torch.device("meta"):
        network = DiffusionGemma(config)
    quantization = None
    if format_ != "bf16":
        quantization = Quantization("int4" if format_ == "nvfp4" else format_, group)
    experts: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        kind = name.rpartition(".")[2]
        weight: Any
        if ".experts." in name and kind in experts:
            weight = deepcopy(experts[kind])
        else:
            weight = random_weight(name, tensor.shape)
            if quantization and format_ != "nvfp4":
                weight = quantization.quantize(name, weight, weight.dtype)
            elif quantization and quantization.covers(name, weight.shape):
                weight = random_nvfp4_of(weight)
            if ".experts." in name:
                experts[kind] = weight
        place_weight(network, name, weight)
    network.eval().requires_grad_(False)
    join_weights(network)
    keep_decoded_matrices(network)
    return network


def random_nvfp4_of(weight: Tensor) -> PackedWeight | ExpertList:
    """Return random NVFP4 bits for a matrix, or for each expert of a stack."""
    if weight.ndim == 2:
        return random_nvfp4(weight)
    return ExpertList([random_nvfp4(one) for one in weight])


def redraft_backend(config: ModelConfig, args: argparse.Namespace) -> Generate:
    """Build the model in redraft."""
    from redraft.api import Model

    model = Model(random_network(config, args.format, args.group))

    def generate(prompts: list[list[int]], canvases: int, steps: int) -> None:
        options = {
            "max_new_tokens": canvases * config.canvas_length,
            "max_denoising_steps": steps,
            "seed": 1,
            "eos_token_id": (),
        }
        for finished in model.generate(prompts, **options, **UNSETTLED):
            assert finished.statistics.steps_per_canvas == (steps,) * canvases

    return generate


def transformers_backend(config: ModelConfig, args: argparse.Namespace) -> Generate:
    """Build the model in transformers."""
    from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

    raw = model_config_to_dict(config) | {"vision_config": VISION_STUB}
    with torch.device("meta"):
        model = DiffusionGemmaForBlockDiffusion(DiffusionGemmaConfig.from_dict(raw)).eval()
    # Otherwise the config's own ids replace the None of a call.
    model.generation_config.eos_token_id = None
    model.tie_weights()
    tied: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in tied:
                weight = random_weight(name, parameter.shape)
                tied[id(parameter)] = torch.nn.Parameter(weight, requires_grad=False)
            module._parameters[name] = tied[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer_of(name, buffer, config)

    @torch.no_grad()
    def generate(prompts: list[list[int]], canvases: int, steps: int) -> None:
        settings = generation.DiffusionGemmaGenerationConfig(
            max_new_tokens=canvases * config.canvas_length,
            max_denoising_steps=steps,
            eos_token_id=None,
            pad_token_id=0,
            sampler_config=generation.EntropyBoundSamplerConfig(0.1),
            **UNSETTLED,
        )
        ids = torch.tensor(prompts, device="cuda")
        mask = torch.ones_like(ids)
        model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)

    return generate


def buffer_of(name: str, buffer: Tensor, config: ModelConfig) -> Tensor:
    """Return a buffer of the reference on the device: scale, frequencies, or ones."""
    if name == "embed_scale":
        return torch.tensor(config.hidden_size**0.5, dtype=torch.bfloat16, device="cuda")
    if name.endswith("inv_freq"):
        return torch.logspace(0, -4, buffer.numel(), device="cuda")
    return torch.ones(buffer.shape, dtype=torch.bfloat16, device="cuda")


def elapsed(function: Callable[[], None]) -> float:
    """Return the seconds that a call takes, those of the device among them."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=("redraft", "transformers"), default="redraft")
    parser.add_argument(
        "--format", choices=("bf16", *FORMATS), default="bf16", help="of redraft's weights"
    )
    parser.add_argument("--group", type=int, default=64, help="weights that share a scale, in int4")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--prefix", type=int, default=1024, help="tokens of each prompt")
    parser.add_argument("--batch", type=int, default=1, help="texts at a time")
    parser.add_argument("--canvases", type=int, default=3, help="of each text")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of a canvas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print the times of the kernels")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device")
    return args


def main() -> None:
    """Measure and print."""
    args = parse()
    full = PRESETS["26b"]
    layer_types = full.layer_types[-args.layers :]
    config = replace(full, num_hidden_layers=args.layers, layer_types=layer_types)
    backends = {"redraft": redraft_backend, "transformers": transformers_backend}
    began = time.perf_counter()
    generate = backends[args.backend](config, args)
    torch.cuda.synchronize()
    made, weights = time.perf_counter() - began, torch.cuda.memory_allocated()
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, args.prefix)
    prompts = torch.randint(200, config.vocab_size, shape, generator=generator).tolist()
    first = elapsed(lambda: generate(prompts, 2, 4))  # kernels are compiled
    torch.cuda.reset_peak_memory_stats()
    steps: list[float] = []
    drafts: list[float] = []
    texts: list[float] = []
    seconds: list[float] = []
    for _ in range(args.rounds):
        drafts.append(elapsed(lambda: generate(prompts, 1, 1)))
        few = elapsed(lambda: generate(prompts, 1, FEW_STEPS))
        more = elapsed(lambda: generate(prompts, 1, MORE_STEPS))
        steps.append((more - few) / (MORE_STEPS - FEW_STEPS))
        texts.append(elapsed(lambda: generate(prompts, args.canvases, args.steps)))
        one, two = (elapsed(lambda n=n: generate(prompts, n, args.steps)) for n in (1, 2))  # type: ignore[misc]
        seconds.append(two - one)
    step, text = statistics.median(steps), statistics.median(texts)
    rate = args.batch * args.canvases * config.canvas_length / text
    print(
        f"{args.backend} {args.format}: {1e3 * step:.1f} ms a step, "
        f"{rate:.0f} tokens/s at {args.steps} steps a canvas"
    )
    figures = {
        "step_seconds": step,
        "first_draft_seconds": statistics.median(drafts),
        "canvas_seconds": statistics.median(seconds),
        "tokens_per_second": rate,
        "weight_bytes": weights,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "first_seconds": first,
        "made_seconds": made,
    }
    if args.profile:
        profile(generate, prompts)
    machine = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(json.dumps({"benchmark": "gpu", **vars(args), **figures, "machine": machine}))


def profile(generate: Generate, prompts: list[list[int]]) -> None:
    """Print the kernels that took the device longest, in ms a step.

    The figures are the difference of two runs, so that the prompt drops out.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    runs: list[tuple[Counter[str], Counter[str]]] = []
    for steps in (PROFILED_STEPS, 2 * PROFILED_STEPS):
        with profiler(activities=[ProfilerActivity.CUDA]) as recorded:
            generate(prompts, 1, steps)
            torch.cuda.synchronize()
        microseconds, launches = Counter[str](), Counter[str]()
        for event in recorded.key_averages():
            microseconds[event.key] += event.self_device_time_total
            launches[event.key] += event.count
        runs.append((microseconds, launches))
    (fewer, fewer_launches), (microseconds, launches) = runs
    microseconds.subtract(fewer)
    launches.subtract(fewer_launches)
    scale = 1e3 * PROFILED_STEPS
    print(f"device: {microseconds.total() / scale:.2f} ms a step")
    for name, spent in microseconds.most_common(PROFILED_KERNELS):
        count = launches[name] / PROFILED_STEPS
        print(f"{spent / scale:8.3f} ms: {count:7.1f} x {name[:100]}")


if __name__ == "__main__":
    main()
