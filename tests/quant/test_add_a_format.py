"""The page on adding a format: its format goes through the table, and nothing else is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import redraft
from redraft.checkpoint import Quantization, open_checkpoint
from redraft.checkpoint.memory_check import stored_bytes, weight_bytes
from redraft.checkpoint.quantize_to_disk import quantized_copy, source_of
from redraft.checkpoint.shards import ShardReader
from redraft.errors import CheckpointError, MemoryLimitError, TensorMismatchError
from redraft.ops.linear import linear
from redraft.quant import FORMATS, ExpertList
from redraft.testing import tiny_checkpoint
from tests.checkpoint.test_formats import SHAPE, logits
from tests.docs.blocks import ALL

PAGE = "docs/how-to/add-a-format.md"
PROMPT = [2, *range(30, 60)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "model"
    return tiny_checkpoint(folder, **SHAPE, dtype=torch.bfloat16)


@pytest.fixture
def int2() -> Iterator[dict[str, Any]]:
    """The names of the page's code, whose format is in the table for one test."""
    before, names = dict(FORMATS), {"__name__": "page"}
    definition = next(block for block in ALL[PAGE] if block.language == "python")
    exec(compile(definition.code, PAGE, "exec"), names)
    assert set(FORMATS) == {*before, "int2"}
    yield names
    FORMATS.clear()
    FORMATS.update(before)


def copy(original: Path, folder: Path) -> Path:
    checkpoint = open_checkpoint(original)
    with ShardReader(checkpoint.tensors) as reader:
        source = source_of(checkpoint, reader)
        return quantized_copy(source, folder, Quantization("int2")).folder


def test_a_new_format_is_quantized_saved_loaded_and_run(
    int2: dict[str, Any], original: Path, tmp_path: Path
) -> None:
    direct = redraft.load(original, dtype="int2")
    weight: Any = direct.network.layers[0].mlp.up_proj.weight
    experts: Any = direct.network.layers[1].experts.gate_up_proj
    assert isinstance(weight, int2["Int2Weight"])
    assert isinstance(experts, ExpertList)
    folder = copy(original, tmp_path / "copy")
    stored = redraft.load(folder)
    assert torch.equal(logits(stored.network, PROMPT), logits(direct.network, PROMPT))
    options = {"seed": 1, "max_new_tokens": 20, "max_denoising_steps": 4}
    text = stored.generate([2, 5, 9], **options)
    assert text.tokens == direct.generate([2, 5, 9], **options).tokens
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert config["format"] == "int2-quantized"
    assert config["config_groups"]["group_0"]["weights"]["num_bits"] == 2


def test_its_product_is_that_of_its_numbers(int2: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = FORMATS["int2"].quantize(torch.randn(96, 64, generator=generator), torch.float32)
    x = torch.randn(3, 7, 64, generator=generator)
    assert torch.allclose(linear(x, weight), x @ weight.dequantize().T, atol=1e-5)


def test_its_memory_is_counted_without_a_word_from_it(
    int2: dict[str, Any], original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = redraft.load(original, dtype="int2").network
    taken = sum(tensor.nbytes for tensor in network.state_dict().values())
    assert weight_bytes(network.config, torch.bfloat16, Quantization("int2")) == taken
    assert stored_bytes(open_checkpoint(original), torch.bfloat16, Quantization("int2")) == taken
    folder = copy(original, tmp_path / "copy")
    assert stored_bytes(open_checkpoint(folder), torch.bfloat16) == taken
    monkeypatch.setattr("redraft.checkpoint.memory_check.free_memory", lambda _: taken + 1)
    with pytest.raises(MemoryLimitError, match=r"load it as int2 \("):
        redraft.load(original)


def test_what_a_file_has_wrong_of_it_is_named(
    int2: dict[str, Any], original: Path, tmp_path: Path
) -> None:
    folder = copy(original, tmp_path / "copy")
    (shard,) = folder.glob("*.safetensors")
    tensors = load_file(shard)
    name = "model.decoder.layers.0.mlp.up_proj.weight_scale"
    save_file({**tensors, name: torch.ones(7, 1)}, shard)
    with pytest.raises(TensorMismatchError, match=r"up_proj.weight_scale has shape \[7, 1\]"):
        redraft.load(folder)
    save_file(tensors, shard)
    del FORMATS["int2"]
    with pytest.raises(CheckpointError, match="quantized as int2-quantized"):
        redraft.load(folder)
