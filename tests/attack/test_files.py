"""Damaged checkpoints in a short form; `python -m tests.attack.files` is the long one."""

from __future__ import annotations

import pytest

from tests.attack.files import MOST_KIB, READERS, attack

# Files of each reader: one always, all of them in `make test-long`.
ALWAYS = ("mlx affine 4", "gptq act-order", "gguf iq", "gguf in parts")


@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long) for name in READERS],
)
def test_a_damaged_file_ends_in_a_typed_error(name: str) -> None:
    if name.startswith("mlx"):
        pytest.importorskip("mlx.core")
    report = attack(name, 12 if name in ALWAYS else 60)
    assert not report.wrong, report.wrong[0]
    assert report.refused
    assert report.loaded
    assert report.grown < MOST_KIB
