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

from tests.ops.compiled import (
    BUDGET_CARDS,
    BUDGETS,
    CARDS,
    CHAIN_INSTRUCTIONS,
    MOST_SPILLED,
    main_loop,
    waits_by_itself,
)

triton = pytest.importorskip("triton")
TOOL = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
PRODUCTS = ("int4 experts", "fp8 experts", "fp4 experts")
DENSE = ("int4 canvas", "attention 512 causal", "token attention 512")
ROW_KERNELS = ("heads 512", "group")
# Instructions of the whole kernel on 9.0: what it had when this was written, and a tenth.
MOST_INSTRUCTIONS = {
    "attention 256": 3000, "attention 512 causal": 2300, "token attention 512": 1240,
}  # fmt: skip


def compiled(
    kernels: tuple[str, ...], cards: tuple[int, ...], cache: Path, option: str = ""
) -> list[dict[str, Any]]:
    """Return what `python -m tests.ops.compiled` tells of kernels and cards."""
    wanted = [flag for name in kernels for flag in ("--kernel", name)]
    wanted += [f"--capability={card}" for card in cards] + ([option] if option else [])
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.compiled", *wanted],
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    made: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(one["kernel"], one["capability"]) for one in made} == {
        (kernel, card) for kernel in kernels for card in cards
    }
    return made


@pytest.mark.skipif(not TOOL.exists(), reason="this Triton has no compiler for CUDA")
@pytest.mark.parametrize(
    ("kernels", "cards"),
    [
        (PRODUCTS, (90,)),
        (("int4 experts", *DENSE, *ROW_KERNELS), (80,)),
        pytest.param((*PRODUCTS, "int8 experts"), BUDGET_CARDS, marks=pytest.mark.long),
        pytest.param((*DENSE, *ROW_KERNELS, "attention 256"), tuple(CARDS), marks=pytest.mark.long),
        pytest.param(("table mean", "fp8 canvas"), tuple(CARDS), marks=pytest.mark.long),
    ],
)
def test_kernels_fit_the_cards_that_they_are_for(
    kernels: tuple[str, ...], cards: tuple[int, ...], tmp_path: Path
) -> None:
    for one in compiled(kernels, cards, tmp_path):
        assert one["spilled"] <= MOST_SPILLED, one
        assert one["shared"] <= CARDS[one["capability"]], one
        assert (one["products"] >= 8) == (one["kernel"] not in ROW_KERNELS), one
        if one["kernel"] in BUDGETS and one["capability"] in BUDGET_CARDS:
            assert 0 < one["loop"] <= BUDGETS[one["kernel"]], one
        if one["capability"] == 90 and one["kernel"] in MOST_INSTRUCTIONS:
            assert one["instructions"] <= MOST_INSTRUCTIONS[one["kernel"]], one


@pytest.mark.skipif(not TOOL.exists(), reason="this Triton has no compiler for CUDA")
@pytest.mark.parametrize(
    ("kernels", "cards"),
    [
        (("gated",), (89, 90, 100)),
        pytest.param(
            ("heads 256", "attention 256", "attention merged", "after attention", "end layer",
             "group", "int4 experts"),
            (80, 90, 100, 120),
            marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_kernels_of_a_chain_wait_by_themselves_from_hopper_on(
    kernels: tuple[str, ...], cards: tuple[int, ...], tmp_path: Path
) -> None:
    for chained in (True, False):
        made = compiled(kernels, cards, tmp_path, "--chained" if chained else "")
        for one in made:
            assert one["chained"] == (chained and one["capability"] >= 90), one


def test_a_kernel_that_reads_before_it_waits_is_found() -> None:
    wait, release = (f"{one};" for one in CHAIN_INSTRUCTIONS)
    assert waits_by_itself(f"mov; {wait} ld.global.b32; {release} st.global.b32;")
    assert not waits_by_itself("ld.global.b32; st.global.b32;")
    with pytest.raises(AssertionError, match="reads before it waits"):
        waits_by_itself(f"ld.global.b32; {wait} {release} st.global.b32;")
    with pytest.raises(AssertionError, match="False"):
        waits_by_itself(f"{wait} ld.global.b32; st.global.b32;")


def test_a_loop_is_found_by_the_branch_at_its_end() -> None:
    """The longest one with a product; branches forward end none."""
    lines = [
        ("0000", "MOV R1, R2"),
        ("0010", "FADD R1, R1, R3"),
        ("0020", "HMMA.16816.F32.BF16 R4, R8, R6, R4"),
        ("0030", "@P1 BRA 0x0060"),
        ("0040", "@P0 BRA 0x0010"),
        ("0050", "HMMA.16816.F32.BF16 R4, R8, R6, R4"),
        ("0060", "@!UP0 BRA.U 0x50"),
        ("0070", "FMUL R1, R1, R3"),
        ("0080", "@P0 BRA 0x0070"),
    ]
    assert main_loop(lines) == [line for _, line in lines[1:5]]
    assert main_loop(lines[7:]) == []
