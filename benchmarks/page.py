"""The results of the benchmarks as a page of the docs, docs/benchmarks.md, and as a picture."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from shapes import RELEASED, weight_bytes

# The JSON line of a benchmark.
Line = dict[str, Any]
LINE_WIDTH = 120
# Denoising steps a canvas of the 26B, for which memory traffic is counted.
COUNTED_STEPS = 24


def page(found: dict[str, list[Line]]) -> str:
    """Return docs/benchmarks.md.

    Args:
        found: the JSON lines of each benchmark, by its name.
    """
    parts = [
        *introduction(found["step"][0]),
        *step_section(found["step"]),
        *generate_section(found["generate"]),
        *vocabulary_section(found["vocabulary"]),
        *memory_section(*found["memory"]),
        *(images_section(*found["images"]) if "images" in found else ()),
        *batch_section(*found["batch"]),
        *serve_section(*found["serve"]),
        *mixed_load_section(*found["mixed_load"]),
        *context_section(*found["context"]),
        *constraint_section(found["constraint"]),
        *quantized_section(*found["quantized"]),
        *startup_section(*found["startup"]),
    ]
    return "\n\n".join(wrapped(part.rstrip()) for part in parts) + "\n"


def wrapped(part: str) -> str:
    """Return prose in lines of LINE_WIDTH characters; headings, tables and pictures as they are."""
    if part.startswith(("#", "|", "!")):
        return part
    return textwrap.fill(part, LINE_WIDTH, break_long_words=False, break_on_hyphens=False)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)


def factor(value: float | None) -> str:
    """Return a ratio with two digits; nothing if there is none."""
    return "" if value is None else f"{value:.2f}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB"


def introduction(line: Line) -> list[str]:
    processor, _, torch_version = line["machine"].split(", ")
    torch_version = torch_version.removeprefix("torch ")
    return [
        "# Benchmarks",
        f"Measured on {processor} with torch {torch_version}, transformers beside redraft in the "
        "same run, each in a process of its own, on random weights of the same shape (`mid`: "
        "hidden 768, 8 layers, 32 experts of which 4 work, canvas 256, vocabulary 32,768; "
        "`midbig`: vocabulary 262,144; `small`: the model that ships). Ratios are medians of the "
        "rounds' own ratios; absolute times are this machine's on one day. `make bench` measures "
        "and writes this page.",
        "![Times better than transformers](images/benchmarks.png)",
    ]


def step_section(lines: list[Line]) -> list[str]:
    head = ["model", "dtype", "threads", "redraft", "transformers", "times as fast"]
    rows = []
    for line in lines:
        row = [line["model"], line["dtype"], str(line["threads"])]
        row += [milliseconds(line["seconds"][name]) for name in ("redraft", "transformers")]
        row += [f"**{factor(line['ratio'])}**", factor(line["gflops"] / line["gemm_gflops"])]
        rows.append(row)
    return ["## One denoising step", table([*head, "share of the machine's own products"], rows)]


def generate_section(lines: list[Line]) -> list[str]:
    names = ("redraft", "transformers", "autoregressive")
    head = ["model", "dtype", "threads", "rows", *names]
    rows = []
    for line in lines:
        row = [line["model"], line["dtype"], str(line["threads"]), str(line["rows"])]
        for name in names:
            weights = line["weight_bytes_per_token"][name] / 1e6
            rate = f"{line['tokens_per_second'][name]:.0f}"
            row.append(f"{rate} ({line['passes'][name]}; {weights:.2f} MB)")
        rows.append([*row, factor(line["ratio"]), factor(line["over_autoregressive"])])
    return [
        "## From end to end",
        "256 tokens of prompt, 512 new ones, 16 steps a canvas, whatever the model makes of them: "
        "tokens a second (passes; weights read a token, counted).",
        table([*head, "over transformers", "over autoregressive"], rows),
        crossing(lines),
        traffic(),
    ]


def crossing(lines: list[Line]) -> str:
    """Return from how many steps a canvas on autoregressive decoding wins."""
    each = [
        f"{line['steps'] * line['over_autoregressive']:.0f} ({line['model']}, {line['dtype']}, "
        f"{line['threads']} thread(s), {line['rows']} row(s))"
        for line in lines
    ]
    return (
        "Diffusion's time goes by its steps, that of autoregressive decoding does not. On this "
        "machine, which computes more slowly than it reads, autoregressive decoding wins from this "
        f"many steps a canvas on: {', '.join(each)}."
    )


def traffic() -> str:
    """Return the memory traffic of the 26B for each token, counted from its shape."""
    length, experts = RELEASED.canvas_length, RELEASED.num_experts
    canvas = COUNTED_STEPS * weight_bytes(RELEASED, torch.bfloat16, length) / length / 1e9
    token = weight_bytes(RELEASED, torch.bfloat16, 1) / 1e9
    return (
        f"Counted for the released 26B in bfloat16, one reader: {COUNTED_STEPS} forward passes for "
        f"{length} tokens are {length / COUNTED_STEPS:.1f} times fewer passes than one a token. A "
        f"canvas sends its tokens to all experts and reads {canvas:.2f} GB of weights a token, an "
        f"autoregressive token goes to {RELEASED.top_k_experts} of {experts} and reads "
        f"{token:.2f} GB: {token / canvas:.1f} times less memory traffic by diffusion, not ten "
        "times. Ten times is what a dense model would gain, and what a machine gains whose time "
        "goes by passes."
    )


def vocabulary_section(lines: list[Line]) -> list[str]:
    head = ["entries", "in chunks", "over the plain form", "over its two products"]
    rows = []
    for line in lines:
        chunks = milliseconds(line["seconds"]["chunks"])
        row = [str(line["size"]), chunks, factor(line["ratio"]), factor(line["over_products"])]
        rows.append(row)
    return ["## The vocabulary pass", table(head, rows)]


def memory_section(line: Line) -> list[str]:
    over = {name: megabytes(value) for name, value in line["bytes_over_weights"].items()}
    return [
        "## Memory",
        f"Over the weights, at a vocabulary of 262,144: {over['redraft']}, transformers "
        f"{over['transformers']}: {line['ratio']:.1f} times less.",
    ]


def images_section(line: Line) -> list[str]:
    head = ["soft tokens", "redraft", "transformers", "times as fast", "memory over the weights"]
    rows = [
        [
            tokens,
            milliseconds(found["seconds"]["redraft"]),
            milliseconds(found["seconds"]["transformers"]),
            factor(found["ratio"]),
            megabytes(found["bytes"]),
        ]
        for tokens, found in line["images"].items()
    ]
    return [
        "## The image encoder",
        f"At the released shape with random weights in {line['dtype']}, {line['layers']} of its 27 "
        f"layers, {line['threads']} thread(s), the processor's own seconds; images of 64, 256 and "
        "1,089 soft tokens, which transformers gets padded as its processor makes them.",
        table(head, rows),
    ]


def batch_section(line: Line) -> list[str]:
    return [
        "## A batch of rows that need 4 to 48 steps",
        f"{factor(line['ratio'])} times the rows a second of transformers' batch: "
        f"{factor(line['per_step'])} by the step (rows alike), and {factor(line['leaving'])} "
        "against redraft itself by leaving early.",
    ]


def serve_section(line: Line) -> list[str]:
    return [
        "## A server under load",
        f"{line['requests']} requests at once over HTTP, of 16 to 192 tokens of prompt, one or two "
        f"canvases, 2 to 12 steps, in a batch of {line['batch']} that they join and leave: "
        f"{factor(line['ratio'])} times the tokens a second of transformers' static batches of "
        f"{line['batch']}.",
    ]


def mixed_load_section(line: Line) -> list[str]:
    rate, latency = line["requests_per_second"]["redraft"], line["latency"]["redraft"]
    return [
        "## Holes and chats at once",
        f"{line['holes']} holes to infill, {line['candidates']} candidates each, and "
        f"{line['chats']} chats at once over HTTP, on the shipped `{line['model']}`, "
        f"{line['threads']} thread(s): {rate:.2f} requests a second; a hole takes "
        f"{latency['infill']:.1f} s, a chat {latency['chat']:.1f} s (medians, from request to the "
        "last byte).",
    ]


def context_section(line: Line) -> list[str]:
    return [
        "## Long contexts",
        f"A step behind {line['long']:,} tokens takes {factor(line['growth'])} times one behind "
        f"{line['short']}; the work grows by {factor(line['flops_growth'])} "
        f"({factor(line['over_expected'])} of the growth of the work). The prompt is read at "
        f"{factor(line['prefill_share'])} of the rate of the machine's own products.",
    ]


def constraint_section(lines: list[Line]) -> list[str]:
    head = ["strings", "states", "edges", "built in", "a step", "over a free one"]
    rows = []
    for line in lines:
        strings = "any" if line["schema"] == "typical" else f"to {line['schema']}"
        step = milliseconds(line["seconds"]["bound"])
        built = f"{line['building']:.2f} s"
        row = [strings, str(line["states"]), str(line["pairs"]), built, step, factor(line["ratio"])]
        rows.append(row)
    return [
        "## Under a constraint",
        "A step of `midbig` that writes a record of seven members by a JSON Schema, its strings "
        "bounded by so many characters or not, against one that writes anything.",
        table(head, rows),
    ]


def quantized_section(line: Line) -> list[str]:
    rows = []
    for name, ratio in ({"bfloat16": 1.0} | line["ratios"]).items():
        step, peak = milliseconds(line["seconds"][name]), megabytes(line["peak_bytes"][name])
        rows.append([name, step, factor(ratio), peak])
    return [
        "## Quantized weights",
        "A step of `mid` behind 256 tokens, its dense and expert weights "
        "[quantized](how-to/quantize.md), against bfloat16; and the process's peak. The embedding "
        "is not quantized.",
        table(["weights", "a step", "times as fast as bfloat16", "peak"], rows),
    ]


def startup_section(line: Line) -> list[str]:
    each = [f"{name.replace('_', ' ')} {value:.2f} s" for name, value in line["seconds"].items()]
    return ["## From a cold shell", ", ".join(each) + "."]


def picture(found: dict[str, list[Line]], path: Path) -> None:
    """Draw the ratios over transformers as bars."""
    bars: dict[str, float] = {}
    for line in found["step"]:
        bars[f"step, {_setting(line)}"] = line["ratio"]
    for line in found["generate"]:
        bars[f"text, {_setting(line)}, {line['rows']} row(s)"] = line["ratio"]
    bars["batch of 4 to 48 steps"] = found["batch"][0]["ratio"]
    bars["memory over the weights"] = found["memory"][0]["ratio"]
    bars["server under mixed load"] = found["serve"][0]["ratio"]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(bars) + 1), layout="constrained")
    drawn = axes.barh(list(bars)[::-1], list(bars.values())[::-1], color="#3b6ea5")
    axes.bar_label(drawn, fmt="%.1f", padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times better than transformers on the same work")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _setting(line: Line) -> str:
    return f"{line['model']}, {line['dtype']}, {line['threads']} thread(s)"
