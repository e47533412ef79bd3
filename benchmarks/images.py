"""The image encoder at the released shape with random weights, beside transformers: seconds by soft
tokens, and the memory that a pass takes over the weights.

One layer costs what every other one costs: with --layers 1 the seconds are those of one of the
release's 27 and of what stands around them. transformers gets images as its processor makes them:
padded to all patches that the budget allows.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measure import alternate, benchmark_parser, median_ratio, medians, print_result

from redraft.config.presets import RELEASED_VISION
from redraft.config.vision import VisionConfig, vision_config_to_dict
from redraft.engine.allocator import keep_freed_memory
from redraft.network.vision import VisionEncoder
from redraft.testing.tiny import randomise_tensors, tiny_vision_config

WIDTH = 2816
# Sides of images in soft tokens, with nearly as many as the budgets allow.
SIDES = {70: (8, 8), 280: (16, 16), 1120: (33, 33)}
STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peer_of(encoder: VisionEncoder) -> Any:
    """Return a function of pixels and a budget that runs transformers' encoder over the same
    weights."""
    from transformers import Gemma4VisionConfig
    from transformers.models.gemma4.modeling_gemma4 import Gemma4VisionModel

    shape = Gemma4VisionConfig(
        **{
            **vision_config_to_dict(encoder.config),
            "rope_parameters": {"rope_type": "axial", "rope_theta": encoder.config.rope_theta},
        }
    )
    with torch.device("meta"):
        model = Gemma4VisionModel(shape).eval()
    model.load_state_dict(encoder.vision_tower.state_dict(), assign=True)
    turning = model.encoder.rotary_emb
    half = encoder.config.head_dim // 2
    exponents = torch.arange(0, half, 2).float() / half
    turning.inv_freq = 1.0 / encoder.config.rope_theta**exponents
    size = encoder.config.patch_size

    def run(pixels: torch.Tensor, budget: int) -> torch.Tensor:
        rows, columns = (side // size for side in pixels.shape[:2])
        tiles = (pixels / 255).view(rows, size, columns, size, 3).transpose(1, 2)
        at = torch.arange(rows * columns)
        places = torch.stack((at % columns, at // columns), -1)
        padding = budget * encoder.config.pooling_kernel_size**2 - rows * columns
        patches = F.pad(tiles.reshape(rows * columns, -1), (0, 0, 0, padding))
        places = F.pad(places, (0, 0, 0, padding), value=-1)
        found = model(patches[None], places[None]).last_hidden_state
        projected: torch.Tensor = encoder.embed_vision(found)
        return projected

    return run


def status(name: str) -> int:
    """Return a number of bytes of this process, by the system's name of it."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


def measured(run: Callable[[], object], grown: list[int]) -> float:
    """Return the processor's seconds of a call, which a busy neighbour does not lengthen; note by
    how many bytes this process grew at most."""
    REFERENCES.write_text("5")  # the peak so far is forgotten
    before = status("VmRSS")
    started = time.process_time()
    run()
    seconds = time.process_time() - started
    grown.append(status("VmHWM") - before)
    return seconds


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, dtype="float32", rounds=3)
    parser.add_argument("--layers", type=int, default=RELEASED_VISION.num_hidden_layers)
    parser.add_argument("--tokens", type=int, nargs="+", choices=SIDES, default=list(SIDES))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    config: VisionConfig = dataclasses.replace(RELEASED_VISION, num_hidden_layers=args.layers)
    if args.model == "tiny":
        config = tiny_vision_config()
    encoder = VisionEncoder(config, WIDTH).eval()
    randomise_tensors(encoder.state_dict(), 0)
    encoder = encoder.to(getattr(torch, args.dtype))
    forms: dict[str, Any] = {"redraft": lambda pixels, _: encoder(pixels)}
    if args.peer != "none":
        forms["transformers"] = peer_of(encoder)
    figures: dict[str, Any] = {}
    for tokens in args.tokens:
        side = config.soft_token_pixels
        shape = (SIDES[tokens][0] * side, SIDES[tokens][1] * side, 3)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
        grown: dict[str, list[int]] = {name: [] for name in forms}
        times = alternate(
            {
                name: partial(measured, partial(form, pixels, tokens), grown[name])
                for name, form in forms.items()
            },
            args.rounds,
        )
        found: dict[str, Any] = {"seconds": medians(times), "bytes": max(grown["redraft"])}
        if args.peer != "none":
            found["ratio"] = median_ratio(times, "transformers", "redraft")
        figures[str(tokens)] = found
    largest = figures[str(max(args.tokens))]
    summary = "; ".join(
        f"{tokens} soft tokens: {found['seconds']['redraft']:.2f} s"
        + (f", {found['ratio']:.2f} times as fast as transformers" if "ratio" in found else "")
        for tokens, found in figures.items()
    )
    print_result(
        "images", args, f"{summary}; {largest['bytes'] / 1e6:.0f} MB at most", images=figures
    )


if __name__ == "__main__":
    main()
