"""Damaged checkpoints in a short form; `python -m tests.attack.files` is the long one."""

from __future__ import annotations

import pytest

from tests.attack.files import MOST_KIB, attack
from tests.attack.subjects import SUBJECTS

# Readers that always run; all of them in `make test-long`.
ALWAYS = {
    "gptq act-order": 8,
    "gguf": 16,
    "gguf in parts": 8,
    "safetensors in shards": 12,
    "texts": 12,
}


@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long) for name in SUBJECTS],
)
def test_a_damaged_file_ends_in_a_typed_error(name: str) -> None:
    if name == "mlx":
        pytest.importorskip("mlx.core")
    report = attack(name, ALWAYS.get(name, 100))
    assert not report.wrong, report.wrong[0]
    assert report.refused
    assert report.loaded
    assert report.grown < MOST_KIB
