"""GPTQ's, AWQ's and AutoRound's packings by AutoRound's own packer: the same bits as packed by hand,
and the same numbers here.

The package is heavy, and what it needs is not installed: only its files that pack are run.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from redraft.quant.gptq import INTEGERS
from tests.checkpoint.gptq_files import awq, gptq, rounded

pytestmark = pytest.mark.long


def _run(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The files that pack, by what they write; a stand-in for what they import says where: here."""
    found = importlib.util.find_spec("auto_round_extension")
    if found is None or not found.submodule_search_locations:
        pytest.skip("auto-round is not installed: pip install --no-deps auto-round")
    extension = Path(next(iter(found.submodule_search_locations)))
    package = extension.parent / "auto_round"
    for name in (
        "auto_round",
        "auto_round.utils",
        "auto_round_extension",
        "auto_round_extension.torch",
    ):
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["auto_round.utils"].get_packing_device = lambda _: torch.device("cpu")  # type: ignore[attr-defined]
    utils, files = package / "utils" / "bit_packing.py", extension / "torch"
    _run("auto_round.utils.bit_packing", utils, monkeypatch)
    name = "auto_round_extension.torch.qlinear_torch"
    plain = _run(name, files / "qlinear_torch.py", monkeypatch)
    less_one = _run(f"{name}_zp", files / "qlinear_torch_zp.py", monkeypatch)
    path = package / "export" / "export_to_awq" / "utils.py"
    interleaved = _run("auto_round.export_to_awq", path, monkeypatch)
    return {
        "gptq_v2": plain.QuantLinear,
        "gptq": less_one.QuantLinear,
        "awq": interleaved.WQLinear_GEMM,
    }


def _linear(weight: torch.Tensor) -> torch.nn.Linear:
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data.copy_(weight)
    return linear


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("method", ["gptq", "gptq_v2"])
def test_what_it_packs_is_read_as_it_means(packers: dict[str, Any], method: str, bits: int) -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(bits))
    _, scales, zeros, _, meant = rounded(weight, bits, 32)
    linear = packers[method](bits, 32, 128, 64, bias=False)
    linear.device = torch.device("cpu")
    linear.pack(_linear(weight), scales.T.contiguous(), zeros.T.contiguous().float())
    parts = {name: getattr(linear, name) for name in ("qweight", "qzeros", "scales")}
    by_hand, _ = gptq(weight, bits, second=method == "gptq_v2", index=False)
    assert all(torch.equal(parts[name], by_hand[name]) for name in parts)
    _check(parts, method, bits, meant)


def test_what_it_packs_for_awq_is_read_as_it_means(packers: dict[str, Any]) -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    _, scales, zeros, _, meant = rounded(weight, 4, 32)
    linear = packers["awq"].from_linear(_linear(weight), 4, 32, scales=scales, zeros=zeros)
    parts = {name: getattr(linear, name) for name in ("qweight", "qzeros", "scales")}
    by_hand, _ = awq(weight)
    assert all(torch.equal(parts[name], by_hand[name]) for name in parts)
    _check(parts, "awq", 4, meant)


def _check(parts: dict[str, torch.Tensor], method: str, bits: int, meant: torch.Tensor) -> None:
    storages = [one for one in INTEGERS.storages if one.method == method]
    storage = next(one for one in storages if f"of {bits} bits" in one.name or method == "awq")
    found = storage.load(parts, torch.float32).dequantize()
    torch.testing.assert_close(found, meant, rtol=1e-5, atol=1e-6)
