"""All tables of a CUDA machine in one command: each format, prefixes, batches, beside the device's
own ceilings.

    python benchmarks/gpu_tables.py --out build/gpu            everything: an hour and more
    python benchmarks/gpu_tables.py --out build/gpu --quick    a step of each format: ten minutes

Every line is a process of its own (`gpu.py`, `gpu_methods.py`). What is measured is kept in
`measured.jsonl`, so that an interrupted run goes on where it stopped; `tables.md` and `tables.json`
are written anew after each line, pictures at the end (`gpu_pictures.py`).
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
from gpu_pictures import check_plotting, draw

from redraft.config.presets import PRESETS

HERE = Path(__file__).parent
FORMS = ("bf16", "int8", "fp8", "int4", "nvfp4")
PREFIXES = (1024, 4096, 32768, 131072)
BATCHES = (1, 2, 4, 8)
TIMEOUT = 900
# The table of both ways of writing.
METHODS = "Diffusion and token by token"
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
    def command(self) -> list[str]:
        """The script of this folder, and its arguments."""
        if self.table == METHODS:
            return ["gpu_methods.py", "--format", self.form, "--prefix", str(self.prefix)]
        found = ["gpu.py", "--backend", self.backend, "--prefix", str(self.prefix)]
        found += ["--batch", str(self.batch)]
        return found + (["--format", self.form] if self.backend == "redraft" else [])

    @property
    def label(self) -> str:
        if self.table == METHODS:
            return f"both ways, {self.form}, prefix {self.prefix:,}"
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
    methods = [Line(METHODS, "redraft", form) for form in ("bf16", "int4")]
    return [*forms, *peer, *methods, *prefixes, *batches]


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
    jobs |= {line.label: line.command for line in wanted}
    for label, arguments in jobs.items():
        if label in found:
            continue
        figures = found[label] = measured(arguments)
        with store.open("a") as file:
            file.write(json.dumps({"label": label, "figures": figures}) + "\n")
        write_tables(wanted, found, store.with_name("tables.md"))
    return found


def write_tables(wanted: Sequence[Line], found: dict[str, Figures], path: Path) -> None:
    """Write what was found so far: tables, and beside them `tables.json` with all figures."""
    top = found.get("ceilings", {})
    parts = [_machine(top)]
    for table in dict.fromkeys(line.table for line in wanted):
        mine = [line for line in wanted if line.table == table and line.label in found]
        head, row = (METHODS_HEAD, _methods_rows) if table == METHODS else (HEAD, _rows)
        if mine:
            rows = [text for line in mine for text in row(line, found[line.label], top)]
            parts.append("\n".join((f"## {table}\n", head, *rows)))
    path.write_text("\n\n".join(parts) + "\n")
    known = [line for line in wanted if line.label in found]
    document = {
        "ceilings": top,
        "lines": [
            found[line.label]
            | {"table": line.table, "label": line.label, "format": line.form}
            | {"prefix": line.prefix, "batch": line.batch}
            | shares_of_ceilings(line, found[line.label], top)
            for line in known
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")


def shares_of_ceilings(line: Line, figures: Figures, top: Figures) -> Figures:
    """Return how a step stands to what the card itself reaches; nothing where either is unknown.

    `floor_seconds`; `ratio` of the step to it; `copies` and `products`: bytes and operations a
    second of the step, as shares of the measured copies and large products.
    """
    if "step_seconds" not in figures or "bytes_a_second" not in top:
        return {}
    step = figures["step_seconds"]
    parts = phases(PRESETS["26b"], line.form, line.prefix, line.batch, AWAKE)
    speeds = top["bytes_a_second"], top["large_operations_a_second"]
    least = floor_seconds(parts, *speeds)
    return {
        "floor_seconds": least,
        "ratio": step / least,
        "copies": sum(part.bytes for part in parts) / step / speeds[0],
        "products": sum(part.operations for part in parts) / step / speeds[1],
    }


HEAD = """\
| weights | a step | floor | ratio | of copies | of products | tokens/s | second canvas | \
first draft | peak memory |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
METHODS_HEAD = """\
| weights | texts at once | token by token, tokens/s | diffusion, tokens/s (times as fast) | \
as fast at |
| --- | --- | --- | --- | --- |"""


def _machine(top: Figures) -> str:
    if "bytes_a_second" not in top:
        return f"The device's ceilings were not measured: {top.get('error', 'not yet')}."
    return (
        f"{top['device']}, torch {top['torch']}. Copies {top['bytes_a_second'] / 1e12:.2f} TB/s, "
        f"products of a canvas {top['canvas_operations_a_second'] / 1e12:.0f} TFLOP/s, large ones "
        f"{top['large_operations_a_second'] / 1e12:.0f}. The floor of a step is the sum over its "
        "phases of the longer of reading (copies) and computing (large products)."
    )


def _rows(line: Line, figures: Figures, top: Figures) -> list[str]:
    if "error" in figures:
        return [f"| {line.label} | {figures['error']} |" + " |" * 8]
    shares = shares_of_ceilings(line, figures, top)
    against = "| | | | "
    if shares:
        against = (
            f"| {1e3 * shares['floor_seconds']:.1f} ms | {shares['ratio']:.2f} "
            f"| {shares['copies']:.0%} | {shares['products']:.0%} "
        )
    return [
        f"| {line.label} | {1e3 * figures['step_seconds']:.1f} ms {against}"
        f"| {figures['tokens_per_second']:,.0f} | {1e3 * figures['canvas_seconds']:.0f} ms "
        f"| {1e3 * figures['first_draft_seconds']:.0f} ms | {figures['peak_bytes'] / 1e9:.1f} GB |"
    ]


def _methods_rows(line: Line, figures: Figures, top: Figures) -> list[str]:
    if "error" in figures:
        return [f"| {line.label} | {figures['error']} |" + " |" * 3]
    rows = []
    for batch, one in figures["batches"].items():
        written = ", ".join(
            f"{steps} steps {rate:,.0f} ({one['times_as_fast'][steps]:.1f})"
            for steps, rate in one["diffusion_tokens_per_second"].items()
        )
        rows.append(
            f"| {line.form} | {batch} | {one['autoregressive_tokens_per_second']:,.0f} "
            f"| {written} | {one['crossing_steps']:.0f} steps |"
        )
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "gpu")
    parser.add_argument("--quick", action="store_true", help="a step of each format alone")
    parser.add_argument("--ceilings", action="store_true", help="print the device's and no more")
    parser.add_argument("--draw", action="store_true", help="pictures of tables.json, no more")
    args = parser.parse_args()
    import torch

    if args.draw:
        draw(json.loads((args.out / "tables.json").read_text()), args.out)
        return
    if not torch.cuda.is_available():
        parser.error(
            "this needs a CUDA device that torch sees; here "
            f"torch {torch.__version__} sees none. --draw makes pictures of what was measured"
        )
    if args.ceilings:
        print(json.dumps(ceilings()))
        return
    check_plotting()
    args.out.mkdir(parents=True, exist_ok=True)
    found = measure(lines(args.quick), args.out / "measured.jsonl")
    draw(json.loads((args.out / "tables.json").read_text()), args.out)
    failed = [label for label, figures in found.items() if "error" in figures]
    print((args.out / "tables.md").read_text())
    print(json.dumps({"benchmark": "gpu_tables", "measured": len(found), "failed": failed}))


if __name__ == "__main__":
    main()
