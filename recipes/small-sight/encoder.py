"""Train the image encoder of small-sight: a soft token becomes the embedding of its cell's digit.

    python recipes/small-sight/fonts.py fonts
    python recipes/small-sight/encoder.py fonts runs/small-sight --minutes 60

The text network has learnt to read 81 digits of a prompt. Of a picture of 9 x 9 soft tokens it
shall read the same, so the encoder learns to make of every cell what the text network's table has
for its digit. The same command goes on from the last state; `--end` lets the rates fall to zero
over this run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import deque
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import redraft
from redraft.config.vision import VisionConfig
from redraft.network.vision import VisionEncoder
from redraft.tasks.sudoku_picture import draw
from redraft.tasks.sudoku_reading import any_grid
from redraft.train.muon import Muon
from redraft.train.vision import soft_tokens

SIDE = 9
CONFIG = VisionConfig(
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=32,
    patch_size=16,
    pooling_kernel_size=2,
    position_embedding_size=64,
    standardize=False,
    rms_norm_eps=1e-6,
    hidden_activation="gelu_pytorch_tanh",
    budget=SIDE**2,
)
PIXELS = SIDE * CONFIG.soft_token_pixels
BATCH = 16
RATE, OTHER_RATE = 0.01, 2e-3
EMA = 0.998
AHEAD, KEPT = 6, 40  # batches
SHARPNESS = 4.0  # of the choice among digits, by squared distance


def examples(arguments: tuple[int, list[Path]]) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of pictures [BATCH, PIXELS, PIXELS, 3] and their digits [BATCH, 81]."""
    seed, fonts = arguments
    rng = random.Random(seed)
    grids = [any_grid(rng, 0.2, 0.8) for _ in range(BATCH)]
    pictures = [
        np.asarray(draw(one, rng, fonts).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC))
        for one in grids
    ]
    return np.stack(pictures), np.array([[int(digit) for digit in one] for one in grids])


def digit_rows() -> Tensor:
    """Return what the text network's table has for the ten digits, scaled, [10, width]."""
    model = redraft.load("small", dtype="float32")
    ids = [model.tokenizer.encode_text(str(digit)) for digit in range(10)]
    assert all(len(one) == 1 for one in ids), ids
    rows: Tensor = model.network.embed(torch.tensor([one[0] for one in ids]))
    return rows.detach().float()


def logits(found: Tensor, rows: Tensor) -> Tensor:
    """Return [..., 10]: how near soft tokens are to the rows of the digits."""
    spread = (rows[:, None] - rows[None]).square().sum(-1)
    unit = spread[spread > 0].mean()
    distance = (found[..., None, :] - rows).square().sum(-1)
    return -SHARPNESS * distance / unit * math.log(10)


def initial(encoder: VisionEncoder, rows: Tensor) -> None:
    """Draw the first weights."""
    torch.manual_seed(1)
    for name, one in encoder.named_parameters():
        if "norm" in name:
            value = 1.3 * CONFIG.head_dim**-0.25 if "q_norm" in name or "k_norm" in name else 1.0
            torch.nn.init.constant_(one, 0.3 if "post" in name else value)
        elif "position" in name:
            torch.nn.init.normal_(one, std=0.02)
        else:
            torch.nn.init.normal_(one, std=0.5 * one.shape[-1] ** -0.5)
    last = encoder.embed_vision.embedding_projection.weight
    torch.nn.init.normal_(last, std=float(rows.std()) * last.shape[-1] ** -0.5)


def main() -> None:
    """Train, and evaluate on fonts that training never sees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fonts", type=Path, help="a folder with the folders train and held")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of this run")
    parser.add_argument("--end", action="store_true", help="let the rates fall to zero")
    parser.add_argument("--check-every", type=int, default=250, help="updates")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    fonts = {name: sorted((args.fonts / name).glob("*.woff")) for name in ("train", "held")}
    rows = digit_rows()
    encoder = VisionEncoder(CONFIG, rows.shape[1])
    initial(encoder, rows)
    parameters = dict(encoder.named_parameters())
    matrices = {n: p for n, p in parameters.items() if p.dim() == 2 and "layers" in n}
    others = [p for n, p in parameters.items() if n not in matrices]
    muon = Muon(matrices.values(), lr=RATE, dtype=torch.float32)
    adam = torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    average = {name: one.detach().clone() for name, one in parameters.items()}
    update = resume(args.out, parameters, average, muon, adam, matrices, others)
    began, first = time.monotonic(), update
    with Pool(1, initializer=quiet) as pool:
        batches = twice(drawn(pool, fonts["train"], 10_000 + update), random.Random(update))
        while (share := (time.monotonic() - began) / 60 / args.minutes) < 1:
            rate = min(1.0, (update + 1) / 50) * (min(1.0, 1.25 * (1 - share)) if args.end else 1.0)
            for group in muon.param_groups:
                group["lr"] = RATE * rate
            for group in adam.param_groups:
                group["lr"] = OTHER_RATE * rate
            pictures, digits = next(batches)
            target = torch.from_numpy(digits)
            found = soft_tokens(encoder, torch.from_numpy(pictures))
            scores = logits(found, rows)
            near = (found - rows[target]).square().mean() / rows.square().mean()
            loss = F.cross_entropy(scores.flatten(0, 1), target.flatten())
            (loss + 0.1 * near).backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            muon.step()
            adam.step()
            muon.zero_grad()
            adam.zero_grad()
            update += 1
            with torch.no_grad():
                weight = min(EMA, update / (update + 20))
                for name, one in average.items():
                    one.lerp_(parameters[name], 1 - weight)
            if update % 25 == 0:
                cells = float((scores.argmax(-1) == target).float().mean())
                speed = (time.monotonic() - began) / (update - first)
                note(
                    args.out,
                    {
                        "update": update,
                        "loss": loss.item(),
                        "near": near.item(),
                        "cells": cells,
                        "seconds_an_update": speed,
                    },
                )
            if update % args.check_every == 0:
                check(args.out, update, average, rows, fonts)
                save(args.out, update, parameters, average, muon, adam, matrices, others)
    check(args.out, update, average, rows, fonts)
    save(args.out, update, parameters, average, muon, adam, matrices, others)


def quiet() -> None:
    """Let this process compute in one thread."""
    torch.set_num_threads(1)


def drawn(pool, fonts: list[Path], first: int):
    """Yield batches that another process draws, at most AHEAD of them before they are wanted."""
    waiting: deque = deque()
    while True:
        while len(waiting) < AHEAD:
            waiting.append(pool.apply_async(examples, ((first, fonts),)))
            first += 1
        yield waiting.popleft().get()


def twice(batches, rng: random.Random):
    """Yield every batch, and once more after some others, in other tones: learning costs three
    times what drawing does."""
    kept = []
    for pictures, digits in batches:
        yield pictures, digits
        kept.append((pictures, digits))
        if len(kept) > KEPT:
            pictures, digits = kept.pop(rng.randrange(len(kept)))
            yield in_other_tones(pictures, rng), digits


def in_other_tones(pictures: np.ndarray, rng: random.Random) -> np.ndarray:
    """Return pictures with other contrast and colours, the light ones in part dark."""
    noise = np.random.default_rng(rng.getrandbits(64))
    shape = (len(pictures), 1, 1, 3)
    changed = pictures.astype(np.float32) - 127.5
    changed *= noise.uniform(0.7, 1.2, shape) * noise.choice(
        [1, 1, 1, -1], (len(pictures), 1, 1, 1)
    )
    changed += 127.5 + noise.uniform(-25, 25, shape)
    return changed.clip(0, 255).astype(np.uint8)


def note(out: Path, line: dict[str, object]) -> None:
    """Print figures, and add them to the run's."""
    print(json.dumps(line), flush=True)
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


@torch.no_grad()
def check(out, update, average, rows, fonts, count=4) -> None:
    """Read held-out pictures with the averaged weights."""
    encoder = VisionEncoder(CONFIG, rows.shape[1])
    encoder.load_state_dict(average)
    line: dict[str, object] = {"update": update}
    for name, files in fonts.items():
        right = []
        for seed in range(count):
            pictures, digits = examples((seed, files))
            found = logits(soft_tokens(encoder, torch.from_numpy(pictures)), rows).argmax(-1)
            right.append(found == torch.from_numpy(digits))
        cells = torch.cat(right)
        line[name] = {
            "cells": float(cells.float().mean()),
            "grids": float(cells.all(-1).float().mean()),
        }
    note(out, line)


def state_of(parameters, average, muon, adam, matrices, others) -> dict[str, Tensor]:
    """Return all tensors of a run by name."""
    found = {f"weights.{name}": one.detach() for name, one in parameters.items()}
    found |= {f"average.{name}": one for name, one in average.items()}
    found |= {f"muon.{name}": muon.state[one]["momentum"] for name, one in matrices.items()}
    for at, one in enumerate(others):
        found |= {f"adam.{at}.{key}": value for key, value in adam.state[one].items()}
    return found


def save(out, update, *parts) -> None:
    """Write the state of the run."""
    tensors = {n: t.contiguous().clone() for n, t in state_of(*parts).items()}
    tensors["update"] = torch.tensor(update)
    half = out / "state.safetensors.half"
    save_file(tensors, half)
    half.replace(out / "state.safetensors")


def resume(out, parameters, average, muon, adam, matrices, others) -> int:
    """Read the state of the run, if there is one; returns the number of updates made."""
    path = out / "state.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    with torch.no_grad():
        for name, one in parameters.items():
            one.copy_(tensors[f"weights.{name}"])
            average[name].copy_(tensors[f"average.{name}"])
    for name, one in matrices.items():
        muon.state[one]["momentum"] = tensors[f"muon.{name}"]
    for at, one in enumerate(others):
        adam.state[one] = {k: tensors[f"adam.{at}.{k}"] for k in ("step", "exp_avg", "exp_avg_sq")}
    return int(tensors["update"])


if __name__ == "__main__":
    main()
