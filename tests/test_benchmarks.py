"""The benchmarks run and print one JSON line; the figures themselves are not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SOURCE = str(BENCHMARKS.parent / "src")
SHORT_LOAD = ("--holes", "1", "--chats", "1", "--candidates", "1", "--steps", "2")
TINY = ("--model", "tiny", "--rounds", "1", "--json")


def long(*case: object) -> Any:
    """Return a case that `make test-long` has: each of them starts a process or two."""
    return pytest.param(*case, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("name", "options", "positive"),
    [
        (
            "step",
            (*TINY, "--dtype", "float32", "--prefix", "20"),
            ("ratio", "gflops", "gemm_gflops"),
        ),
        long(
            "generate",
            (*TINY, "--peer", "none", "--prompt", "8", "--tokens", "40", "--steps", "2"),
            ("over_autoregressive",),
        ),
        long("batch", (*TINY, "--peer", "none", "--prompt", "8", "--alike", "1"), ("leaving",)),
        long("quantized", (*TINY, "--prefix", "8", "--group", "32"), ()),
        long("serve", (*TINY, "--peer", "none", "--requests", "4"), ("tokens",)),
        long("context", (*TINY, "--short", "8", "--long", "64"), ("gemm_gflops",)),
        long("memory", (*TINY, "--peer", "none", "--prefix", "8"), ()),
        long("vocabulary", (*TINY, "--sizes", "3000"), ("ratio", "over_products")),
        long("images", (*TINY, "--tokens", "70", "--layers", "1"), ()),
        long(
            "mixed_load",
            (*SHORT_LOAD, "--rounds", "1", "--source", SOURCE, "--json"),
            ("ratio", "equal_answers"),
        ),
        long("startup", ("--rounds", "1", "--json"), ()),
        long(
            "batch_file",
            ("--lines", "8", "--rounds", "1", "--alone", "2", "--json"),
            ("ratio", "equal_answers"),
        ),
        long(
            "capacity",
            ("--rounds", "1", "--requests", "1", "--steps", "4", "--clock", "processor", "--json"),
            ("worst",),
        ),
        ("constraint", (*TINY, "--prefix", "8"), ("ratio", "building", "classes")),
    ],
)
def test_a_benchmark_ends_with_one_line_of_figures(
    name: str, options: tuple[str, ...], positive: tuple[str, ...], tmp_path: Path
) -> None:
    environment = os.environ | {"REDRAFT_BENCH_CACHE": str(tmp_path)}
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    figures = json.loads(line)
    assert figures["benchmark"] == name
    assert "cores" in figures["machine"]
    for key in positive:
        assert figures[key] > 0


MACHINE = "a processor, 1 of 2 cores, torch 2.0"
# The figures of a part of docs/benchmarks.md.
RESULTS = {
    "step": [
        {
            "model": "mid", "dtype": "bfloat16", "threads": 1, "ratio": 3.21, "gflops": 53,
            "gemm_gflops": 100,
            "seconds": {"redraft": 0.217, "transformers": 0.698}, "machine": MACHINE,
        },
    ],
    "generate": [
        {
            "model": "small", "dtype": "float32", "threads": 1, "rows": 8, "steps": 16,
            "ratio": 1.33, "over_autoregressive": 1.27,
            "tokens_per_second": {"redraft": 713, "transformers": 539, "autoregressive": 562},
            "passes": {"redraft": 112, "transformers": 119, "autoregressive": 512},
            "weight_bytes_per_token": {
                "redraft": 0.21e6, "transformers": 0.22e6, "autoregressive": 0.95e6,
            },
        },
    ],
    "vocabulary": [
        {"size": 32768, "seconds": {"chunks": 0.085}, "ratio": 2.27, "over_products": 1.5},
    ],
    "memory": [{"bytes_over_weights": {"redraft": 254e6, "transformers": 2273e6}, "ratio": 8.94}],
    "batch": [{"ratio": 8.85, "per_step": 3.36, "leaving": 2.38}],
    "serve": [{"requests": 16, "batch": 8, "ratio": 10.85}],
    "mixed_load": [
        {
            "model": "small-text", "threads": 1, "holes": 8, "chats": 8, "candidates": 6,
            "requests_per_second": {"redraft": 1.5},
            "latency": {"redraft": {"infill": 4.25, "chat": 2}},
        },
    ],
    "context": [
        {
            "long": 16384, "short": 256, "growth": 2.29, "flops_growth": 2.3, "over_expected": 0.99,
            "prefill_share": 0.49,
        },
    ],
    "constraint": [
        {
            "schema": "typical", "states": 193, "pairs": 549, "building": 0.4, "ratio": 1.07,
            "seconds": {"bound": 0.821},
        },
    ],
    "quantized": [
        {
            "ratios": {"int4": 0.86}, "seconds": {"bfloat16": 0.206, "int4": 0.238},
            "peak_bytes": {"bfloat16": 911e6, "int4": 774e6},
        },
    ],
    "startup": [{"seconds": {"import": 0.02, "help": 0.12, "first_draft": 1.25}}],
}  # fmt: skip


def test_results_become_the_page_of_the_docs() -> None:
    code = "import json, sys; from page import page; print(page(json.load(sys.stdin)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(RESULTS), capture_output=True, text=True, cwd=BENCHMARKS, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stdout
    written = (BENCHMARKS.parent / "docs" / "benchmarks.md").read_text()
    for line in text.splitlines():
        if line.startswith("|"):
            assert line in written
    for paragraph in ("8.85 times the rows", "A step behind 16,384", "Counted for the released"):
        (start,) = (at for at in range(len(text)) if text.startswith(paragraph, at))
        assert text[start : text.index("\n\n", start)] in written
    assert "1.50 requests a second; a hole takes 4.2 s, a chat 2.0 s" in " ".join(text.split())
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 120
