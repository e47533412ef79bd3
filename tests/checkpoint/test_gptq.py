"""GPTQ, AWQ and AutoRound: files packed by hand give the logits of their dequantized twins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.memory_check import stored_bytes
from redraft.checkpoint.names import EXPERTS
from redraft.checkpoint.quantize import DENSE
from redraft.errors import CheckpointError
from redraft.quant import Int4Weight, Int8Weight
from redraft.quant.column_order import ReorderedWeight
from redraft.testing import tiny_checkpoint
from tests.checkpoint.gptq_files import awq, gptq
from tests.checkpoint.test_formats import logits

SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32, "head_dim": 16, "global_head_dim": 32,
    "num_hidden_layers": 2, "num_experts": 4,
}  # fmt: skip
PROMPT = [2, *range(30, 60)]
Writer = Callable[[Tensor], tuple[dict[str, Tensor], Tensor]]


def sorted_columns(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """GPTQ with act-order: each matrix has an order of its own."""
    generator = torch.Generator().manual_seed(int(weight.abs().sum() * 1000))
    return gptq(weight, order=torch.randperm(weight.shape[1], generator=generator))


GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
ROUND: dict[str, Any] = {"quant_method": "auto-round", "bits": 4, "group_size": 32, "sym": True}
CASES: dict[str, tuple[Writer, dict[str, Any]]] = {
    "gptq": (gptq, GPTQ),
    "gptq 2 bits": (partial(gptq, bits=2), GPTQ | {"bits": 2}),
    "gptq 3 bits": (partial(gptq, bits=3, index=False), GPTQ | {"bits": 3}),
    "gptq 8 bits": (partial(gptq, bits=8), GPTQ | {"bits": 8}),
    "gptq 8 bits, symmetric": (partial(gptq, bits=8, symmetric=True), GPTQ | {"bits": 8}),
    "gptq act-order": (sorted_columns, GPTQ | {"desc_act": True}),
    "gptq version 2": (partial(gptq, second=True), GPTQ | {"checkpoint_format": "gptq_v2"}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}),
    "auto-round": (
        partial(gptq, symmetric=True, index=False),
        ROUND | {"packing_format": "auto_round:auto_gptq"},
    ),
    "auto-round as it is": (
        partial(gptq, second=True, index=False),
        ROUND | {"packing_format": "auto_round", "sym": False},
    ),
    "auto-round awq": (awq, ROUND | {"packing_format": "auto_round:auto_awq"}),
}


def write(folder: Path, make: Writer, said: dict[str, Any]) -> Path:
    """A tiny checkpoint, its experts one by one; beside it the twin, whose folder is returned."""
    twin = tiny_checkpoint(folder.with_name("twin"), **SHAPE)
    shutil.copytree(twin, folder)
    plain = load_file(twin / "model.safetensors")
    stored: dict[str, Tensor] = {}
    for name, tensor in list(plain.items()):
        if name.endswith(tuple(EXPERTS)):
            prefix, parts = (
                name.rpartition(".")[0],
                next(EXPERTS[end] for end in EXPERTS if name.endswith(end)),
            )
            for number, expert in enumerate(tensor):
                numbers = []
                for part, matrix in zip(parts, expert.chunk(len(parts)), strict=True):
                    packed, meant = make(matrix)
                    base = f"{prefix}.{number}.{part}"
                    stored |= {f"{base}.{role}": one for role, one in packed.items()}
                    numbers.append(meant)
                plain[name][number] = torch.cat(numbers)
        elif name.endswith(DENSE):
            packed, plain[name] = make(tensor)
            base = name.removesuffix(".weight")
            stored |= {f"{base}.{role}": one for role, one in packed.items()}
        else:
            stored[name] = tensor
    for path, tensors in ((twin, plain), (folder, stored)):
        whole = {name: one.contiguous() for name, one in tensors.items()}
        save_file(whole, path / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    return twin


ALWAYS = ("gptq 3 bits", "gptq 8 bits", "gptq act-order", "awq", "auto-round as it is")


@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long) for name in CASES],
)
def test_a_file_gives_the_logits_of_its_dequantized_twin(name: str, tmp_path: Path) -> None:
    twin_folder = write(tmp_path / "file", *CASES[name])
    twin = load_weights(open_checkpoint(twin_folder))
    checkpoint = open_checkpoint(tmp_path / "file")
    expected = logits(twin, PROMPT)
    for dtype in (torch.float32, torch.bfloat16):
        network = load_weights(checkpoint, dtype=dtype)
        taken = sum(tensor.nbytes for tensor in network.state_dict().values())
        # A row of eight bits whose zero points lie in the middle needs no offsets.
        assert stored_bytes(checkpoint, dtype) >= taken
        if dtype == torch.float32:
            assert float((logits(network, PROMPT) - expected).abs().max()) < 2e-3
        found = network.layers[0].mlp.up_proj.weight
        kind = ReorderedWeight if "order" in name else Int8Weight if "8" in name else Int4Weight
        assert isinstance(found, kind)
        torch.testing.assert_close(found.gather(torch.tensor([3, 1])), found.dequantize()[[3, 1]])
        meant = twin.layers[0].mlp.up_proj.weight
        distance = (found.dequantize().float() - meant).norm() / meant.norm()
        assert distance < (0.01 if dtype == torch.bfloat16 else 1e-5)


def test_a_reordered_matrix_has_a_gradient_and_moves(tmp_path: Path) -> None:
    packed, meant = sorted_columns(torch.randn(32, 64, generator=torch.Generator().manual_seed(0)))
    from redraft.quant.gptq import INTEGERS

    storage = next(one for one in INTEGERS.storages if one.name == "gptq of 4 bits")
    weight = storage.load(packed, torch.float32)
    x = torch.randn(3, 64, requires_grad=True)
    weight.product(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, meant.sum(0).expand(3, -1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weight.product(x), x @ meant.T, rtol=1e-4, atol=1e-4)
    rough = weight.to(torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    product = rough.product(x.detach().bfloat16()).float()
    torch.testing.assert_close(product, x.detach() @ meant.T, rtol=0.05, atol=0.2)


UP = "model.decoder.layers.0.mlp.up_proj"
WRONG: list[tuple[dict[str, Any], str]] = [
    (GPTQ | {"bits": 8}, "up_proj has 4 bits, quantization_config says 8"),
    (GPTQ | {"group_size": 64}, "has groups of 32, quantization_config says 64"),
    (GPTQ | {"dynamic": {f"-:.*{UP}": {}}}, "up_proj is quantized, quantization_config says"),
    (GPTQ | {"dynamic": {f"+:.*{UP}": {"bits": 2}}}, "up_proj has 4 bits"),
    (GPTQ | {"dynamic": {"+:(": {"bits": 2}}}, "no pattern"),
    (GPTQ | {"dynamic": 3}, "dynamic=3 must be an object"),
    (
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        "stored as gptq of 4 bits, .* compressed-tensors",
    ),
    ({"quant_method": "modelopt"}, "stored as gptq of 4 bits, quantization_config says modelopt"),
    (GPTQ | {"bits": "4"}, "bits='4' must be a number"),
    (GPTQ | {"checkpoint_format": "marlin"}, "'marlin': gptq and gptq_v2 are read"),
    ({"quant_method": "awq", "bits": 4}, "is stored as gptq of 4 bits, .* says awq"),
    ({"quant_method": "awq", "version": "gemv"}, "version 'gemv': gemm is read"),
    (ROUND | {"packing_format": "auto_round:fp8_static"}, "'auto_round:fp8_static'"),
    (ROUND | {"packing_format": "auto_round:llm_compressor"}, "llm_compressor"),
    (ROUND | {"data_type": "mx_fp"}, "data_type 'mx_fp': int is read"),
    (ROUND | {"extra_config": {UP: {"bits": 8}}}, "up_proj has 4 bits"),
    (ROUND | {"act_bits": 8}, "act_bits 8"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gptq") / "file"
    write(folder, partial(gptq, index=False), GPTQ)
    return folder


@pytest.mark.parametrize(("said", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_config_that_says_otherwise_is_refused(
    said: dict[str, Any], words: str, plain: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    with pytest.raises(CheckpointError, match=words):
        redraft.load(folder)


def changed(plain: Path, tmp_path: Path, edit: Callable[[dict[str, Tensor]], Any]) -> Path:
    folder = shutil.copytree(plain, tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda one: one.update({f"{UP}.g_idx": torch.zeros(64, dtype=torch.int32)}),
            "g_idx does not give 2 groups of 32",
        ),
        (lambda one: one[f"{UP}.scales"].zero_(), "scale of 0"),
        (lambda one: one[f"{UP}.scales"].fill_(float("nan")), "NaN or infinity"),
        (lambda one: one.pop(f"{UP}.qzeros"), "no known format"),
        (
            lambda one: one.update({f"{UP}.qweight": torch.zeros(8, 3, dtype=torch.int32)}),
            "qweight has shape",
        ),
    ],
    ids=["order", "scale of 0", "NaN", "zero points", "shape"],
)
def test_parts_that_contradict_one_another_are_refused(
    edit: Callable[[dict[str, Tensor]], Any], words: str, plain: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        redraft.load(changed(plain, tmp_path, edit))


def test_without_a_config_the_zero_points_would_be_a_guess(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json does not say"):
        redraft.load(folder)
