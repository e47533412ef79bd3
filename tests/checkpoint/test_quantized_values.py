"""Quantized files whose numbers are none, or that are not what their config says."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import redraft
from redraft.errors import CheckpointError, RedraftError
from tests.checkpoint.test_formats import LAYER, write

UP = f"{LAYER}mlp.up_proj."
EXPERT = f"{LAYER}experts.1.up_proj."
# e4m3: all bits but the sign's are NaN, with either sign.
NAN_CODES = (0x7F, 0xFF)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    kept: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in kept:
            kept[name] = tmp_path_factory.mktemp("values") / "file"
            write(kept[name], name)
        return kept[name]

    return get


def changed(source: Path, folder: Path, name: str, value: float | int, place: int = 0) -> Path:
    """Return a copy of a checkpoint with one element of a tensor changed; ints are bits."""
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    tensor = tensors[name] = tensors[name].clone()
    flat: Tensor = tensor.view(torch.uint8) if isinstance(value, int) else tensor
    flat.reshape(-1)[place] = value
    save_file(tensors, folder / "model.safetensors")
    return folder


INF, NAN = float("inf"), float("nan")
WRONG: list[tuple[str, str, float | int, str]] = [
    *(("fp8", f"{UP}weight", code, r"holds NaN or infinity at \[0, 5\]") for code in NAN_CODES),
    ("fp8", f"{UP}weight_scale", NAN, "holds NaN"),
    ("fp8", f"{UP}weight_scale", INF, "infinity"),
    ("fp8", f"{UP}weight_scale", 0.0, "is 0 where the weights are not"),
    ("int8", f"{UP}weight_scale", NAN, "holds NaN"),
    ("int8", f"{UP}weight_scale", 0.0, "is 0 where the weights are not"),
    ("int4", f"{UP}weight_scale", INF, "infinity"),
    ("int4", f"{UP}weight_scale", 0.0, "is 0 where the weights are not"),
    ("int4 lopsided", f"{UP}weight_scale", 0.0, "is 0 where the weights are not"),
    ("int8 packed", f"{UP}weight_scale", NAN, "NaN"),
    ("int8 packed", f"{UP}weight_scale", 0.0, "is 0 where the weights are not"),
    *(("int4", f"{LAYER}input_layernorm.weight", wrong, "NaN or infinity") for wrong in (NAN, INF)),
    ("int4", f"{LAYER}layer_scalar", INF, "NaN or infinity"),
    *(("nvfp4", f"{UP}weight_scale", code, "holds NaN") for code in NAN_CODES),
    ("nvfp4", f"{UP}weight_scale", 0, "is 0 where the weights are not"),
    ("nvfp4", f"{UP}weight_global_scale", 0.0, "is 0, a factor is more than 0"),
    ("nvfp4", f"{UP}weight_global_scale", NAN, "holds NaN"),
    ("nvfp4", f"{UP}weight_global_scale", INF, "holds NaN or infinity"),
    ("nvfp4", f"{UP}weight_global_scale", 1e-45, "too large"),
    ("modelopt", f"{EXPERT}weight_scale", NAN_CODES[0], "holds NaN"),
    ("modelopt", f"{EXPERT}weight_scale_2", 0.0, "is 0, a factor is more than 0"),
    ("modelopt", f"{EXPERT}weight_scale_2", -1.0, "is -1, a factor is more than 0"),
    ("modelopt", f"{EXPERT}weight_scale_2", INF, "infinity"),
    ("modelopt", f"{EXPERT}weight_scale_2", 3e38, "too large"),
]


@pytest.mark.parametrize(("form", "name", "value", "words"), WRONG)
def test_numbers_that_are_none_are_named_at_load(
    form: str, name: str, value: Any, words: str, files: Any, tmp_path: Path
) -> None:
    source = files(form)
    size = load_file(source / "model.safetensors")[name].numel()
    folder = changed(source, tmp_path / "copy", name, value, min(5, size - 1))
    with pytest.raises(CheckpointError, match=words) as caught:
        redraft.load(folder)
    assert name in str(caught.value) or "too large" in words


def test_a_group_of_zeros_may_have_a_scale_of_zero(files: Any, tmp_path: Path) -> None:
    folder = changed(files("nvfp4"), tmp_path / "copy", f"{UP}weight_scale", 0)
    tensors = load_file(folder / "model.safetensors")
    tensors[f"{UP}weight_packed"][0, :8] = 0x80  # sixteen zeros, half of them negative
    save_file(tensors, folder / "model.safetensors")
    assert redraft.load(folder).network.dtype


@pytest.mark.parametrize("form", ["int4", "int4 lopsided"])
def test_a_group_of_packed_zeros_may_have_a_scale_of_zero(
    form: str, files: Any, tmp_path: Path
) -> None:
    folder = changed(files(form), tmp_path / "copy", f"{UP}weight_scale", 0.0)
    tensors = load_file(folder / "model.safetensors")
    point, words = 8, tensors[f"{UP}weight_packed"]
    if form != "int4":
        point = int(tensors[f"{UP}weight_zero_point"][0, 0]) & 15
    words.view(torch.uint8)[0, :16] = 17 * point  # the 32 weights of the first group
    save_file(tensors, folder / "model.safetensors")
    assert redraft.load(folder).network.dtype


def settings(**weights: Any) -> dict[str, Any]:
    """Return a quantization_config with one group."""
    usual = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
    group = {"targets": ["Linear"], "weights": usual | weights}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": group},
    }


def load_with(said: Any, source: Path, folder: Path) -> None:
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    redraft.load(folder)


SAID: list[tuple[Any, str]] = [
    (settings(symmetric=False), "has no zero points, config_groups.group_0 says"),
    (settings(num_bits=8), "says num_bits 8"),
    (settings(type="float"), "says type 'float'"),
    (settings(group_size=64), "says one for 64 of 64 columns"),
    (settings(strategy="channel", group_size=None), "says strategy 'channel'"),
    (settings(strategy="block"), "says strategy 'block'"),
    (settings(actorder="group"), "says actorder 'group'"),
    (settings() | {"transform_config": {"config_groups": {"R1": {}}}}, "transform_config"),
    (settings() | {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"),
    (settings() | {"format": "int-quantized"}, "says format 'int-quantized'"),
    (settings() | {"config_groups": 3}, "config_groups=3 must be an object"),
    (settings() | {"config_groups": {"a": {"weights": []}}}, "weights=.. must be an object"),
    (settings() | {"config_groups": {"a": {"weights": {}, "targets": 1}}}, "targets=1"),
    (settings() | {"transform_config": []}, "transform_config=.. must be an object"),
    ({"quant_method": "modelopt", "quant_algo": "FP8"}, "quant_algo 'FP8'"),
]


@pytest.mark.parametrize(("said", "words"), SAID, ids=lambda value: str(value)[-40:])
def test_a_config_that_says_something_else_is_refused(
    said: Any, words: str, files: Any, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_with(said, files("int4"), tmp_path / "copy")


AGREES: list[tuple[str, Any]] = [
    ("int4", settings() | {"transform_config": {}, "sparsity_config": {"format": "dense"}}),
    ("int4", settings(actorder="weight", group_size=32.0)),
    ("int4 lopsided", settings(symmetric=False)),
]


@pytest.mark.parametrize(("form", "said"), AGREES, ids=lambda value: str(value)[:20])
def test_a_config_that_agrees_loads(form: str, said: Any, files: Any, tmp_path: Path) -> None:
    load_with(said, files(form), tmp_path / "copy")


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "x", [], [1], {}, {"a": 1}, 10**30])
def test_settings_of_any_type_give_typed_errors(value: Any, files: Any, tmp_path: Path) -> None:
    source = files("int4")
    for number, key in enumerate(("num_bits", "type", "symmetric", "strategy", "group_size")):
        with contextlib.suppress(RedraftError):
            load_with(settings(**{key: value}), source, tmp_path / str(number))
