"""Metrics for TensorBoard: read by TensorBoard itself, where it is there."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from redraft.errors import ConfigError
from redraft.train.tensorboard import FOLDER, TensorBoard, check_tensorboard, scalars

ROW = {
    "step": 3, "loss": 1.5, "loss_by_level": [0.5, None, 2.0], "encoder_loss": None,
    "eval": {"held": {"exact": 0.25, "count": 4, "samples": [["a", "b"]]}},
}  # fmt: skip


def test_the_numbers_of_a_row_have_names() -> None:
    assert dict(scalars(ROW)) == {
        "loss": 1.5, "loss_by_level/0": 0.5, "loss_by_level/2": 2.0, "eval/held/exact": 0.25,
        "eval/held/count": 4.0,
    }  # fmt: skip


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name == "tensorboard":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"redraft\[tensorboard\]"):
        check_tensorboard()


def test_tensorboard_reads_it_also_after_a_run_was_cut(tmp_path: Path) -> None:
    event_accumulator: Any = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    first = TensorBoard(tmp_path, 0)
    for step in range(5):
        first.add(ROW | {"step": step, "loss": float(step)})
    first.close()
    second = TensorBoard(tmp_path, 3)  # the state was saved after update 3
    second.add(ROW | {"step": 4, "loss": 40.0})
    second.close()
    read = event_accumulator.EventAccumulator(str(tmp_path / FOLDER))
    read.Reload()
    values = {one.step: one.value for one in read.Scalars("loss")}
    assert values == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0}
    assert read.Scalars("eval/held/exact")[-1].value == 0.25
