"""One denoising step, against a peer on the same checkpoint.

    python benchmarks/step.py --model mid --dtype bfloat16 --threads 1 --peer transformers --json

A step's cost is the difference of two generations, one of few forced steps and one of more, so that loading, the prompt and the
commit drop out; everything that a step needs is in it: the network, the vocabulary, sampling, acceptance, the stop test.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from measure import gemm_rate, in_turn, machine, median_ratio, seconds
from shapes import SHAPES, checkpoint

import redraft
from redraft.config import ModelConfig

FEW, MORE = 2, 5
SETTINGS = {"confidence_threshold": 1e-9, "eos_token_id": ()}  # nothing stops early


def ours(folder: str, dtype: torch.dtype, prompt: list[int], canvas: int) -> Callable[[int], object]:
    """Generate one canvas in so many steps."""
    model = redraft.load(folder, dtype=dtype)
    return lambda steps: model.generate(prompt, seed=1, max_new_tokens=canvas, max_denoising_steps=steps, **SETTINGS)


def transformers(folder: str, dtype: torch.dtype, prompt: list[int], canvas: int) -> Callable[[int], object]:
    """The same by the reference."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

    model = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=dtype).eval()
    ids = torch.tensor([prompt])

    @torch.no_grad()
    def run(steps: int) -> object:
        settings = generation.DiffusionGemmaGenerationConfig(
            max_new_tokens=canvas, max_denoising_steps=steps, eos_token_id=None, pad_token_id=0,
            confidence_threshold=SETTINGS["confidence_threshold"],
            sampler_config=generation.EntropyBoundSamplerConfig(0.1),
        )  # fmt: skip
        return model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)

    return run


def flops(shape: ModelConfig, prefix: int) -> float:
    """Multiplications and additions of one step's products: layers, attention, and the vocabulary twice."""
    hidden, heads = shape.hidden_size, shape.num_attention_heads
    total = 0
    for layer in shape.layers:
        projected = 2 * heads + (1 if layer.keys_are_values else 2) * layer.num_key_value_heads
        total += hidden * layer.head_dim * projected
        total += 3 * hidden * (shape.intermediate_size + shape.top_k_experts * shape.moe_intermediate_size)
        total += 2 * heads * layer.head_dim * (prefix + shape.canvas_length)
    return 2.0 * shape.canvas_length * (total + 2 * hidden * shape.vocab_size)


def main() -> None:
    """Measure, print a line for a person, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="mid")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", choices=("transformers", "none"), default="transformers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefix", type=int, default=256)
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    dtype = getattr(torch, given.dtype)
    folder, canvas = str(checkpoint(given.model, dtype)), SHAPES[given.model].canvas_length
    prompt = torch.randint(200, 30000, (given.prefix,), generator=torch.Generator().manual_seed(0)).tolist()
    runs = {"redraft": ours(folder, dtype, prompt, canvas)}
    if given.peer != "none":
        runs[given.peer] = transformers(folder, dtype, prompt, canvas)
    for run in runs.values():
        run(FEW)  # warm

    def step(run: Callable[[int], object]) -> float:
        few = seconds(lambda: run(FEW))
        return (seconds(lambda: run(MORE)) - few) / (MORE - FEW)

    taken = in_turn({name: (lambda run=run: step(run)) for name, run in runs.items()}, given.rounds)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    achieved = flops(SHAPES[given.model], given.prefix) / medians["redraft"] / 1e9
    line = {
        "benchmark": "step", "model": given.model, "dtype": given.dtype, "threads": given.threads, "prefix": given.prefix,
        "seconds": medians, "ratio": median_ratio(taken, given.peer, "redraft") if given.peer != "none" else None,
        "gflops": achieved, "gemm_gflops": gemm_rate(dtype), "machine": machine(),
    }  # fmt: skip
    if not given.json:
        print(", ".join(f"{name} {value:.3f} s a step" for name, value in medians.items()))
    print(json.dumps(line))


if __name__ == "__main__":
    main()
