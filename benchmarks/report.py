"""Run the benchmarks and write docs/benchmarks.md and its picture.

What was measured is kept, a JSON line each, so that an interrupted report goes on where it stopped;
--anew forgets it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from shapes import RELEASED, weight_bytes

HERE = Path(__file__).parent
DOCS, SOURCE = HERE.parent / "docs", HERE.parent / "src" / "redraft"
KEPT = HERE.parent / "build" / "benchmarks.jsonl"
RUNS = [
    *(
        f"step --dtype {dtype} --threads {threads}"
        for dtype in ("bfloat16", "float32")
        for threads in (1, 2)
    ),
    "step --model midbig --rounds 2",
    "vocabulary",
    "memory",
    "batch",
    "serve",
    "context --rounds 1",
    *(f"generate --dtype {dtype} --rounds 1" for dtype in ("bfloat16", "float32")),
    *(f"generate --dtype {dtype} --threads 2 --rounds 1" for dtype in ("bfloat16", "float32")),
    *(
        f"generate --model small --dtype {dtype} --threads {threads}"
        for dtype in ("float32", "bfloat16")
        for threads in (1, 2)
    ),
    "generate --model small --dtype float32 --rows 8",
    *(f"constraint --schema {name}" for name in ("typical", "40", "100", "200")),
    "quantized",
    "startup",
]

Line = dict[str, Any]


def measured(command: str) -> list[Line]:
    """The JSON lines of one run, measured now unless they are kept."""
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    lines = [line for line in kept if (line["command"], line["code"]) == (command, code())]
    if not lines:
        name, *options = command.split()
        print(f"benchmarks/{command}", flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *options, "--json"],
            check=True,
            stdout=subprocess.PIPE,
        )
        lines = [
            json.loads(line) | {"command": command, "code": code()}
            for line in done.stdout.decode().splitlines()
        ]
        KEPT.parent.mkdir(exist_ok=True)
        with KEPT.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return lines


@cache
def code() -> str:
    """What tells this code from other: figures of another are not told as its own."""
    rooms = ("checkpoint", "diffusion", "engine", "grammar", "model", "ops", "quant", "server")
    own = [path for path in HERE.glob("*.py") if path != Path(__file__)]
    files = sorted([*own, *(file for name in rooms for file in (SOURCE / name).rglob("*.py"))])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def table(head: str, rows: list[str]) -> str:
    """Markdown, from cells between bars."""
    return "\n".join(
        [head, "|".join(["", *["---"] * head.strip("| ").count("|"), "---", ""]), *rows, ""]
    )


def times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def step_rows(lines: list[Line]) -> list[str]:
    return [
        f"| {line['model']} | {line['dtype']} | {line['threads']} | {line['seconds']['redraft'] * 1e3:.0f} ms | "
        f"{line['seconds']['transformers'] * 1e3:.0f} ms | **{line['ratio']:.2f}** | "
        f"{line['gflops'] / line['gemm_gflops']:.2f} |"
        for line in lines
    ]


def generate_rows(lines: list[Line]) -> list[str]:
    return [
        f"| {line['model']} | {line['dtype']} | {line['threads']} | {line['rows']} | "
        + " | ".join(
            f"{line['tokens_per_second'][name]:.0f} "
            f"({line['passes'][name]}; {line['weight_bytes_per_token'][name] / 1e6:.2f} MB)"
            for name in ("redraft", "transformers", "typewriter")
        )
        + f" | {times(line['ratio'])} | {times(line['over_typewriter'])} |"
        for line in lines
    ]


def constraint_rows(lines: list[Line]) -> list[str]:
    return [
        f"| {'any' if line['schema'] == 'typical' else 'to ' + line['schema']} | {line['states']} | {line['pairs']} | "
        f"{line['building']:.2f} s | {line['seconds']['bound'] * 1e3:.0f} ms | {line['ratio']:.2f} |"
        for line in lines
    ]


def crossing(lines: list[Line]) -> str:
    """Return from how many steps a canvas on autoregressive decoding wins."""
    parts = [
        f"{line['steps'] * line['over_typewriter']:.0f} ({line['model']}, {line['dtype']}, {line['threads']} thread(s), "
        f"{line['rows']} row(s))"
        for line in lines
    ]
    return (
        "Diffusion's time goes by its steps, that of autoregressive decoding does not. On this machine, which computes more slowly than it "
        f"reads, autoregressive decoding wins from this many steps a canvas on: {', '.join(parts)}."
    )


def traffic() -> str:
    """What a memory-bound reader of the 26B pays a token, counted from its shape."""
    length, passes = RELEASED.canvas_length, 24
    canvas = passes * weight_bytes(RELEASED, torch.bfloat16, length) / length / 1e9
    typed = weight_bytes(RELEASED, torch.bfloat16, 1) / 1e9
    return (
        f"Counted for the released 26B in bfloat16, one reader: {passes} passes for {length} tokens are {length / passes:.1f} "
        "times fewer passes than one a token. A canvas sends its tokens to all experts and reads "
        f"{canvas:.2f} GB of weights a token, an autoregressive token goes to {RELEASED.top_k_experts} of {RELEASED.num_experts} and "
        f"reads {typed:.2f} GB: {typed / canvas:.1f} times less memory traffic by diffusion, not ten times. Ten times is what "
        "a dense model would gain, and what a machine gains whose time goes by passes."
    )


def page(found: dict[str, list[Line]]) -> str:
    """docs/benchmarks.md."""
    (memory,), (batch,), (context,), (startup,) = (
        found[name] for name in ("memory", "batch", "context", "startup")
    )
    (serve,) = found["serve"]
    over = memory["bytes_over_weights"]
    processor, _, torch_version = found["step"][0]["machine"].split(", ")
    torch_version = torch_version.removeprefix("torch ")
    sizes = [
        f"| {line['size']} | {line['seconds']['chunks'] * 1e3:.0f} ms | {line['ratio']:.2f} | {line['over_products']:.2f} |"
        for line in found["vocabulary"]
    ]
    parts = [
        "# Benchmarks",
        f"Measured on {processor} with torch {torch_version}, transformers beside redraft in the same run, each in a process "
        "of its own, on random weights of the same shape (`mid`: hidden 768, 8 layers, 32 experts of which 4 work, canvas "
        "256, vocabulary 32,768; `midbig`: vocabulary 262,144; `small`: the model that ships). Ratios are medians of the "
        "rounds' own ratios; absolute times are this machine's on one day. `make bench` measures and writes this page.",
        "![Times better than transformers](images/benchmarks.png)",
        "## One denoising step",
        table(
            "| model | dtype | threads | redraft | transformers | times as fast | share of the machine's own products |",
            step_rows(found["step"]),
        ),
        "## From end to end",
        "256 tokens of prompt, 512 new ones, 16 steps a canvas, whatever the model makes of them: tokens a second (passes; "
        "weights read a token, counted).",
        table(
            "| model | dtype | threads | rows | redraft | transformers | autoregressive | over transformers | over autoregressive |",
            generate_rows(found["generate"]),
        ),
        crossing(found["generate"]),
        traffic(),
        "## The vocabulary pass",
        table("| entries | in chunks | over the plain form | over its two products |", sizes),
        "## Memory",
        f"Over the weights, at a vocabulary of 262,144: {over['redraft'] / 1e6:.0f} MB, transformers "
        f"{over['transformers'] / 1e6:.0f} MB: {memory['ratio']:.1f} times less.",
        "## A batch of rows that need 4 to 48 steps",
        f"{batch['ratio']:.2f} times the rows a second of transformers' batch: {batch['per_step']:.2f} by the step "
        f"(rows alike), and {batch['leaving']:.2f} against redraft itself by leaving early.",
        "## A server under load",
        f"{serve['requests']} requests at once over HTTP, of 16 to 192 tokens of prompt, one or two canvases, 2 to 12 steps, "
        f"in a batch of {serve['batch']} that they join and leave: {serve['ratio']:.2f} times the tokens a second of "
        f"transformers' static batches of {serve['batch']}.",
        "## Long contexts",
        f"A step behind {context['long']:,} tokens takes {context['growth']:.2f} times one behind {context['short']}; the work "
        "grows by "
        f"{context['flops_growth']:.2f} ({context['over_expected']:.2f} of the growth of the work). The prompt is read at "
        f"{context['prefill_share']:.2f} of the rate of the machine's own products.",
        "## Under a constraint",
        "A step of `midbig` that writes a record of seven members by a JSON Schema, its strings bounded by so many characters "
        "or not, against one that writes anything.",
        table(
            "| strings | states | edges | built in | a step | over a free one |",
            constraint_rows(found["constraint"]),
        ),
        "## Quantized weights",
        "A step of `mid` behind 256 tokens, its dense and expert weights [quantized](how-to/quantize.md), against bfloat16; "
        "and the process's peak. The embedding is not quantized.",
        table(
            "| weights | a step | times as fast as bfloat16 | peak |",
            quantized_rows(found["quantized"][0]),
        ),
        "## From a cold shell",
        ", ".join(
            f"{name.replace('_', ' ')} {value:.2f} s" for name, value in startup["seconds"].items()
        )
        + ".",
    ]
    return "\n\n".join(wrapped(part.rstrip()) for part in parts) + "\n"


def wrapped(part: str) -> str:
    """Return prose in lines of 120 characters; headings, tables and pictures as they are."""
    if part.startswith(("#", "|", "!")):
        return part
    return textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)


def quantized_rows(line: Line) -> list[str]:
    ratios = {"bfloat16": 1.0} | line["ratios"]
    return [
        f"| {name} | {line['seconds'][name] * 1e3:.0f} ms | {ratios[name]:.2f} | {line['peak_bytes'][name] / 1e6:.0f} MB |"
        for name in ratios
    ]


def picture(found: dict[str, list[Line]], path: Path) -> None:
    """Ratios as bars."""
    bars = {
        f"step, {line['model']}, {line['dtype']}, {line['threads']} thread(s)": line["ratio"]
        for line in found["step"]
    }
    bars |= {
        f"text, {line['model']}, {line['dtype']}, {line['threads']} thread(s), {line['rows']} row(s)": line[
            "ratio"
        ]
        for line in found["generate"]
    }
    bars |= {
        "batch of 4 to 48 steps": found["batch"][0]["ratio"],
        "memory over the weights": found["memory"][0]["ratio"],
    }
    bars |= {"server under mixed load": found["serve"][0]["ratio"]}
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(bars) + 1), layout="constrained")
    drawn = axes.barh(list(bars)[::-1], list(bars.values())[::-1], color="#3b6ea5")
    axes.bar_label(drawn, fmt="%.1f", padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times better than transformers on the same work")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure what is missing, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anew", action="store_true", help="measure everything again")
    if parser.parse_args().anew:
        KEPT.unlink(missing_ok=True)
    found: dict[str, list[Line]] = {}
    for command in RUNS:
        found.setdefault(command.split()[0], []).extend(measured(command))
    (DOCS / "benchmarks.md").write_text(page(found))
    picture(found, DOCS / "images" / "benchmarks.png")


if __name__ == "__main__":
    main()
