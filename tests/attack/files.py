"""Checkpoints that are damaged, or that lie: does every reader end in a typed error, in bounded
memory?

`python -m tests.attack.files` mutates 2,000 files of each reader: bytes and lengths of headers,
shapes, values of weights and scales, ends that are lost, and what config.json says.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gguf

import redraft
from redraft.errors import RedraftError
from redraft.testing import tiny_model
from tests.checkpoint import gguf_files, test_formats, test_gptq

# Growth of the process that a reader is allowed, KiB: tiny models take a few MiB.
MOST_KIB = 256 << 10
Kind = gguf.GGMLQuantizationType


@dataclass
class Report:
    """What a reader did with mutated files.

    Attributes:
        loaded, refused: files that were read, and those that ended in a typed error.
        grown: KiB by which the process grew. wrong: other errors, as text.
    """

    loaded: int = 0
    refused: int = 0
    grown: int = 0
    wrong: list[str] = field(default_factory=list)


def mlx(said: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from tests.checkpoint import mlx_files

        mlx_files.write(folder, mlx_files.SETTINGS[said])

    return make


def packed(case: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        test_gptq.write(folder, *test_gptq.CASES[case])
        shutil.rmtree(folder.with_name("twin"))

    return make


def gguf_file(kinds: tuple[Kind, ...], split: int = 0) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir()
        names = [gguf_files.to_gguf(name) for name in tiny_model(**gguf_files.WIDE).state_dict()]
        chosen = {name: kinds[at % len(kinds)] for at, name in enumerate(names)}
        gguf_files.write(folder / "model.gguf", chosen.__getitem__, split=split)

    return make


def formats(name: str) -> Callable[[Path], None]:
    return lambda folder: (test_formats.write(folder, name), None)[1]


READERS: dict[str, Callable[[Path], None]] = {
    **{f"mlx {said}": mlx(said) for said in ("affine 3", "affine 4", "affine 8", "mxfp4", "mxfp8", "nvfp4")},
    **{case: packed(case) for case in ("gptq", "gptq 3 bits", "gptq act-order", "awq", "auto-round")},
    **{f"compressed-tensors {name}": formats(name) for name in test_formats.NAMES},
    "gguf k": gguf_file((Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K)),
    "gguf iq": gguf_file(gguf_files.FEWER),
    "gguf in parts": gguf_file((Kind.Q8_0, Kind.Q4_0, Kind.F16), split=20),
}  # fmt: skip


def _damaged(folder: Path, rng: random.Random) -> None:
    """Change one file of a folder: its weights, or what its config says of them."""
    weights = sorted(folder.glob("*.gguf")) or [folder / "model.safetensors"]
    path, config = rng.choice(weights), folder / "config.json"
    if config.exists() and rng.random() < 0.25:
        config.write_bytes(test_formats.mutated_text(config.read_bytes(), rng))
        return
    whole = path.read_bytes()
    if rng.random() < 0.25:  # values: of scales, zero points, orders of columns
        data = bytearray(whole)
        for _ in range(rng.randint(1, 200)):
            data[rng.randrange(len(data))] = rng.choice(
                (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        path.write_bytes(data)
        return
    header = min(
        len(whole), 4096 if path.suffix == ".gguf" else 8 + int.from_bytes(whole[:8], "little")
    )
    path.write_bytes(test_formats.mutated(whole, header, rng))


def attack(name: str, count: int, seed: int = 0) -> Report:
    """Load `count` mutated files of a reader."""
    rng, report = random.Random(f"{name} {seed}"), Report()
    with tempfile.TemporaryDirectory() as place:
        original, copy = Path(place) / "original", Path(place) / "copy"
        READERS[name](original)
        held = 0
        for number in range(count + 1):
            shutil.copytree(original, copy)
            if number:  # the first one is intact
                _damaged(copy, rng)
            files = sorted(copy.glob("*.gguf"))
            try:
                redraft.load(files[0] if files else copy)
                report.loaded += 1
            except RedraftError:
                report.refused += 1
            except Exception:
                report.wrong.append(traceback.format_exc(limit=-3))
            shutil.rmtree(copy)
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            held = held or now
            report.grown = now - held
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="files of each reader")
    parser.add_argument("--reader", action="append", choices=READERS, help="some readers alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = False
    for name in options.reader or READERS:
        report = attack(name, options.cases, options.seed)
        wrong = bool(report.wrong) or report.grown > MOST_KIB or not report.refused
        told: dict[str, Any] = asdict(report) | {
            "wrong": report.wrong[:5],
            "errors": len(report.wrong),
        }
        print(json.dumps({"reader": name, "ok": not wrong, **told}), flush=True)
        bad |= wrong
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
