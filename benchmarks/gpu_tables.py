"""All tables of a CUDA machine in one command: each format, prefixes, batches, beside the device's
own ceilings.

    python benchmarks/gpu_tables.py --out build/gpu            everything: an hour and more
    python benchmarks/gpu_tables.py --out build/gpu --quick    a step of each format: ten minutes

Every line is a process of its own (`gpu.py`). What is measured is kept in `measured.jsonl`, so that
an interrupted run goes on where it stopped; `tables.md` is written anew after each line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_floors import ceilings, floor_seconds, phases

from redraft.config.presets import PRESETS

HERE = Path(__file__).parent
FORMS = ("bf16", "int8", "fp8", "int4", "nvfp4")
PREFIXES = (1024, 4096, 32768, 131072)
BATCHES = (1, 2, 4, 8)
TIMEOUT = 900
# With random weights a canvas wakes so many of the experts, as was seen on an H100.
AWAKE = 0.85
Figures = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of a table: what is measured, and how `gpu.py` is called for it."""

    table: str
    backend: str
    form: str
    prefix: int = 1024
    batch: int = 1

    @property
    def arguments(self) -> list[str]:
        found = [
            "--backend",
            self.backend,
            "--prefix",
            str(self.prefix),
            "--batch",
            str(self.batch),
        ]
        return found + (["--format", self.form] if self.backend == "redraft" else [])

    @property
    def label(self) -> str:
        name = self.form if self.backend == "redraft" else f"{self.backend}, {self.form}"
        return f"{name}, prefix {self.prefix:,}, batch {self.batch}"


def lines(quick: bool) -> list[Line]:
    """Return what is measured, the most important first."""
    forms = [Line("Formats", "redraft", form) for form in FORMS]
    if quick:
        return forms
    peer = [Line("Formats", "transformers", "bf16")]
    prefixes = [
        Line("Prefixes", "redraft", form, prefix=prefix)
        for prefix in PREFIXES
        for form in ("bf16", "fp8", "int4")
    ]
    batches = [
        Line("Batches", "redraft", form, batch=batch)
        for batch in BATCHES
        for form in ("bf16", "int4")
    ]
    return [*forms, *peer, *prefixes, *batches]


def run(arguments: Sequence[str], timeout: float = TIMEOUT) -> Figures:
    """Return the figures that a script of this folder prints as its last line, or its error."""
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"longer than {timeout:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip() or "no word").splitlines()[-1]}
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(
    wanted: Sequence[Line], store: Path, measured: Callable[[Sequence[str]], Figures] = run
) -> dict[str, Figures]:
    """Measure what the store does not have yet, and yield all by label; errors are tried again."""
    found: dict[str, Figures] = {}
    if store.exists():
        for text in store.read_text().splitlines():
            one = json.loads(text)
            if "error" not in one["figures"]:
                found[one["label"]] = one["figures"]
    jobs = {"ceilings": ["gpu_tables.py", "--ceilings"]}
    jobs |= {line.label: ["gpu.py", *line.arguments] for line in wanted}
    for label, arguments in jobs.items():
        if label in found:
            continue
        figures = found[label] = measured(arguments)
        with store.open("a") as file:
            file.write(json.dumps({"label": label, "figures": figures}) + "\n")
        write_tables(wanted, found, store.with_name("tables.md"))
    return found


def write_tables(wanted: Sequence[Line], found: dict[str, Figures], path: Path) -> None:
    """Write the tables of what was found so far."""
    top = found.get("ceilings", {})
    parts = [_machine(top)]
    for table in dict.fromkeys(line.table for line in wanted):
        rows = [
            _row(line, found[line.label], top)
            for line in wanted
            if line.table == table and line.label in found
        ]
        if rows:
            parts.append("\n".join((f"## {table}\n", HEAD, *rows)))
    path.write_text("\n\n".join(parts) + "\n")


HEAD = """\
| weights | a step | floor | ratio | tokens/s | second canvas | first draft | peak memory |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def _machine(top: Figures) -> str:
    if "bytes_a_second" not in top:
        return f"The device's ceilings were not measured: {top.get('error', 'not yet')}."
    return (
        f"{top['device']}, torch {top['torch']}. Copies {top['bytes_a_second'] / 1e12:.2f} TB/s, "
        f"products of a canvas {top['canvas_operations_a_second'] / 1e12:.0f} TFLOP/s, large ones "
        f"{top['large_operations_a_second'] / 1e12:.0f}. The floor of a step is the sum over its "
        "phases of the longer of reading (copies) and computing (large products)."
    )


def _row(line: Line, figures: Figures, top: Figures) -> str:
    if "error" in figures:
        return f"| {line.label} | {figures['error']} | | | | | | |"
    step = figures["step_seconds"]
    floor = ratio = ""
    if "bytes_a_second" in top:
        parts = phases(PRESETS["26b"], line.form, line.prefix, line.batch, AWAKE)
        least = floor_seconds(parts, top["bytes_a_second"], top["large_operations_a_second"])
        floor, ratio = f"{1e3 * least:.1f} ms", f"{step / least:.2f}"
    return (
        f"| {line.label} | {1e3 * step:.1f} ms | {floor} | {ratio} "
        f"| {figures['tokens_per_second']:,.0f} | {1e3 * figures['canvas_seconds']:.0f} ms "
        f"| {1e3 * figures['first_draft_seconds']:.0f} ms | {figures['peak_bytes'] / 1e9:.1f} GB |"
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "gpu")
    parser.add_argument("--quick", action="store_true", help="a step of each format alone")
    parser.add_argument("--ceilings", action="store_true", help="print the device's and no more")
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device")
    if args.ceilings:
        print(json.dumps(ceilings()))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    found = measure(lines(args.quick), args.out / "measured.jsonl")
    failed = [label for label, figures in found.items() if "error" in figures]
    print((args.out / "tables.md").read_text())
    print(json.dumps({"benchmark": "gpu_tables", "measured": len(found), "failed": failed}))


if __name__ == "__main__":
    main()
