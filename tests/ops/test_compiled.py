"""Kernels compile for cards that are not here: without spilling, within a card's shared memory, and
with products on tensor cores. `python -m tests.ops.compiled` does so for all kernels and cards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ops.compiled import CARDS, MOST_SPILLED

triton = pytest.importorskip("triton")
TOOL = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
KERNELS = ("int4 experts", "attention 256", "attention 512 causal", "token attention 512")
ROW_KERNELS = ("heads 512", "group")
# Instructions of the whole kernel on 9.0: what it had when this was written, and a tenth.
MOST_INSTRUCTIONS = {
    "int4 experts": 910, "attention 256": 3000, "attention 512 causal": 2300,
    "token attention 512": 1240,
}  # fmt: skip


@pytest.mark.skipif(not TOOL.exists(), reason="this Triton has no compiler for CUDA")
def test_kernels_fit_the_cards_that_they_are_for(tmp_path: Path) -> None:
    wanted = [flag for name in KERNELS + ROW_KERNELS for flag in ("--kernel", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.compiled", "--capability=80", "--capability=90", *wanted],
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    made: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(one["kernel"], one["capability"]) for one in made} == {
        (kernel, card) for kernel in KERNELS + ROW_KERNELS for card in (80, 90)
    }
    for one in made:
        assert one["spilled"] <= MOST_SPILLED, one
        assert one["shared"] <= CARDS[one["capability"]], one
        assert (one["products"] >= 8) == (one["kernel"] in KERNELS), one
        if one["capability"] == 90 and one["kernel"] in KERNELS:
            assert one["instructions"] <= MOST_INSTRUCTIONS[one["kernel"]], one
