"""The tables of a CUDA machine, with figures that stand for measured ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import gpu_pictures  # noqa: E402
import gpu_tables  # noqa: E402
from gpu_floors import floor_seconds, phases  # noqa: E402
from gpu_methods import crossing_steps, summary  # noqa: E402

from redraft.config.presets import PRESETS  # noqa: E402

CEILINGS = {
    "device": "a card", "torch": "2.0", "bytes_a_second": 3e12,
    "canvas_operations_a_second": 5e14, "large_operations_a_second": 7e14,
}  # fmt: skip
FIGURES = {
    "step_seconds": 0.031, "tokens_per_second": 1234.0, "canvas_seconds": 0.5,
    "first_draft_seconds": 0.06, "peak_bytes": 51.1e9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "gigabytes", "milliseconds"),
    [("bf16", 45.4, 15.5), ("int8", 24.3, 9.0), ("int4", 14.4, 6.0), ("nvfp4", 15.1, 6.2)],
)
def test_the_floor_of_a_step_is_that_of_a_count_by_hand(
    form: str, gigabytes: float, milliseconds: float
) -> None:
    """The hand's: all bytes of the 26B at a prefix of 1,024, and 2.5 TFLOP, at 3.0 TB/s and 700."""
    parts = phases(PRESETS["26b"], form, prefix=1024, batch=1, awake=0.85)
    assert sum(part.bytes for part in parts) / 1e9 == pytest.approx(gigabytes, rel=0.02)
    assert sum(part.operations for part in parts) / 1e12 == pytest.approx(2.53, rel=0.03)
    assert 1e3 * floor_seconds(parts, 3e12, 7e14) == pytest.approx(milliseconds, rel=0.04)


def test_tables_have_what_was_measured_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []

    def measured(arguments: Sequence[str]) -> dict[str, Any]:
        asked.append(arguments)
        if "--ceilings" in arguments:
            return CEILINGS
        return {"error": "out of memory"} if "int8" in arguments else FIGURES

    wanted, store = gpu_tables.lines(quick=True), tmp_path / "measured.jsonl"
    gpu_tables.measure(wanted[:3], store, measured)
    assert len(asked) == 4
    written = (tmp_path / "tables.md").read_text()
    assert "Copies 3.00 TB/s" in written
    # 45.4 GB and 2.53 TFLOP in 31 ms, of 3 TB/s and 700 TFLOP/s.
    line = "| bf16, prefix 1,024, batch 1 | 31.0 ms | 15.5 ms | 2.00 | 49% | 12% | 1,234 |"
    assert line in written
    assert "| int8, prefix 1,024, batch 1 | out of memory | |" in written
    columns = [text.count("|") for text in written.splitlines() if text.startswith("|")]
    assert len(set(columns)) == 1, columns
    gpu_tables.measure(wanted, store, measured)
    again = [arguments[-1] for arguments in asked[4:]]
    assert again == ["int8", "int4", "nvfp4"], "errors are tried again, figures are kept"
    assert len((tmp_path / "tables.md").read_text().splitlines()) == 11


def test_every_line_has_a_command_of_its_own() -> None:
    wanted = gpu_tables.lines(quick=False)
    commands = {" ".join(line.command) for line in wanted}
    assert len(commands) == len({line.label for line in wanted})
    assert {line.prefix for line in wanted} == set(gpu_tables.PREFIXES)
    assert {line.batch for line in wanted} == set(gpu_tables.BATCHES)


def test_a_script_that_fails_or_takes_too_long_is_a_line_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_tables, "HERE", tmp_path)
    (tmp_path / "one.py").write_text("import sys, time\nprint(1)\nexec(sys.argv[1])\n")
    assert gpu_tables.run(["one.py", "print('{\"a\": 2}')"]) == {"a": 2}
    assert gpu_tables.run(["one.py", "sys.exit('no card')"]) == {"error": "no card"}
    slow = gpu_tables.run(["one.py", "time.sleep(60)"], timeout=0.5)
    assert slow == {"error": "longer than 0 s"}


def methods() -> dict[str, Any]:
    """Stand for figures of `gpu_methods.py`: canvases of 30 ms and 20 ms a step; 4 ms a token."""
    canvas = {steps: 0.03 + 0.02 * steps for steps in (12, 16, 24, 48)}
    batches = {batch: summary(canvas, 0.004, 256, batch) for batch in (1, 8)}
    return json.loads(json.dumps({"batches": batches}))


def test_both_ways_are_as_fast_where_a_canvas_takes_as_long_as_its_tokens() -> None:
    one = methods()["batches"]["8"]
    assert one["autoregressive_tokens_per_second"] == pytest.approx(2000)
    assert one["diffusion_tokens_per_second"]["16"] == pytest.approx(8 * 256 / 0.35)
    assert one["times_as_fast"]["16"] == pytest.approx(1.024 / 0.35)
    assert one["crossing_steps"] == pytest.approx((1.024 - 0.03) / 0.02)
    assert crossing_steps({10: 1.0, 20: 2.0}, 0.01, 150) == pytest.approx(15)


def test_all_tables_and_pictures_are_made_of_recorded_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    wanted, store = gpu_tables.lines(quick=False), tmp_path / "measured.jsonl"

    def measured(command: Sequence[str]) -> dict[str, Any]:
        if "--ceilings" in command:
            return CEILINGS
        return methods() if command[0] == "gpu_methods.py" else FIGURES

    found = gpu_tables.measure(wanted, store, measured)
    assert len(found) == len({line.label for line in wanted}) + 1
    written = (tmp_path / "tables.md").read_text()
    for table in ("Formats", "Prefixes", "Batches", gpu_tables.METHODS):
        assert f"## {table}\n" in written
    row = "| int4 | 8 | 2,000 | 12 steps 7,585 (3.8), 16 steps 5,851 (2.9), 24 steps 4,016 (2.0)"
    assert f"{row}, 48 steps 2,069 (1.0) | 50 steps |" in written
    document = json.loads((tmp_path / "tables.json").read_text())
    longest = next(one for one in document["lines"] if one["prefix"] == 131072)
    assert 0 < longest["copies"] < longest["ratio"]
    made = gpu_pictures.draw(document, tmp_path)
    assert [path.name for path in made] == ["methods.png", "prefixes.png", "batches.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a device")
def test_without_a_device_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_tables.py", "--ceilings"])
    with pytest.raises(SystemExit) as stopped:
        gpu_tables.main()
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert "needs a CUDA device" in told.err
    assert not told.out
