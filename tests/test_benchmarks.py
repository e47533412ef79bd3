"""The benchmarks run and tell what they measured; what they measure is no matter of tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SOURCE = str(BENCHMARKS.parent / "src")
SHORT_LOAD = ("--holes", "1", "--chats", "1", "--candidates", "1", "--steps", "2")
TINY = ("--model", "tiny", "--rounds", "1", "--json")


@pytest.mark.parametrize(
    ("name", "options", "positive"),
    [
        (
            "step",
            (*TINY, "--dtype", "float32", "--prefix", "20"),
            ("ratio", "gflops", "gemm_gflops"),
        ),
        (
            "generate",
            (*TINY, "--peer", "none", "--prompt", "8", "--tokens", "40", "--steps", "2"),
            ("over_typewriter",),
        ),
        ("batch", (*TINY, "--peer", "none", "--prompt", "8", "--alike", "1"), ("leaving",)),
        ("quantized", (*TINY, "--prefix", "8", "--group", "32"), ()),
        ("serve", (*TINY, "--peer", "none", "--requests", "4"), ("tokens",)),
        ("context", (*TINY, "--short", "8", "--long", "64"), ("gemm_gflops",)),
        ("memory", (*TINY, "--peer", "none", "--prefix", "8"), ()),
        ("vocabulary", (*TINY, "--sizes", "3000"), ("ratio", "over_products")),
        (
            "mixed_load",
            (*SHORT_LOAD, "--rounds", "1", "--source", SOURCE, "--json"),
            ("ratio", "equal_answers"),
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
