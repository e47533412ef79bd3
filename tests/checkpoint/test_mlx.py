"""Folders as MLX writes them: each gives the logits of its dequantized twin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

pytest.importorskip("mlx.core")

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.memory_check import stored_bytes
from redraft.checkpoint.names import is_vision
from redraft.checkpoint.vision import load_vision, plan_vision, vision_tensors
from redraft.errors import CheckpointError
from redraft.quant import ExpertList, Fp8Weight, Int4Weight, Int8Table, Int8Weight, Nvfp4Weight
from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.checkpoint.mlx_files import SETTINGS, SHAPE, write
from tests.checkpoint.test_formats import logits

CLASSES = {"affine 2": Int4Weight, "affine 3": Int4Weight, "affine 4": Int4Weight, "affine 5": Int8Weight,
           "affine 6": Int8Weight, "affine 8": Int8Weight, "mxfp4": Nvfp4Weight, "mxfp8": Fp8Weight,
           "nvfp4": Nvfp4Weight}  # fmt: skip
FOUR, EIGHT = SETTINGS["affine 4"], SETTINGS["affine 8"]
PROMPT = [2, *range(30, 60)]


def twin_of(folder: Path, meant: dict[str, Tensor], **shape: Any) -> Path:
    """A checkpoint that is not quantized, with these numbers."""
    tiny_checkpoint(folder, **{**SHAPE, **shape})
    save_file(
        {name: tensor.contiguous() for name, tensor in meant.items()}, folder / "model.safetensors"
    )
    return folder


def check(folder: Path, meant: dict[str, Tensor], tmp_path: Path) -> None:
    """A folder gives the logits of its twin, and takes the memory that is told."""
    twin = redraft.load(twin_of(tmp_path / "twin", meant), dtype="float32").network
    checkpoint = open_checkpoint(folder)
    found = load_weights(checkpoint, dtype=torch.float32)
    taken = sum(tensor.nbytes for tensor in found.state_dict().values())
    assert stored_bytes(checkpoint, torch.float32) == taken
    expected = logits(twin, PROMPT)
    assert float((logits(found, PROMPT) - expected).abs().max()) < 1e-3
    rough = load_weights(checkpoint, dtype=torch.bfloat16)
    taken = sum(tensor.nbytes for tensor in rough.state_dict().values())
    assert stored_bytes(checkpoint, torch.bfloat16) == taken
    for near, exact in (
        (rough.layers[1].mlp.up_proj.weight, twin.layers[1].mlp.up_proj.weight),
        (rough.layers[1].experts.gate_up_proj, twin.layers[1].experts.gate_up_proj),
        (rough.embed_tokens.weight, twin.embed_tokens.weight),
    ):
        whole = near if isinstance(near, Tensor) else near.dequantize()
        assert float((whole.float() - exact).norm() / exact.norm()) < 0.01


# Cases that always run; all of them in `make test-long`.
ALWAYS = ("affine 3", "affine 4", "affine 6", "mxfp4", "mxfp8", "nvfp4")


def chosen(names: Iterable[str]) -> list[Any]:
    return [
        name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long) for name in names
    ]


@pytest.mark.parametrize("name", chosen(SETTINGS))
def test_a_folder_gives_the_logits_of_its_dequantized_twin(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "mlx"
    check(folder, write(folder, SETTINGS[name]), tmp_path)
    network = load_weights(open_checkpoint(folder))
    kind = CLASSES[" ".join(name.split()[:2])]
    assert isinstance(network.layers[0].mlp.up_proj.weight, kind)
    experts = network.layers[0].experts.gate_up_proj
    assert isinstance(experts, ExpertList)
    assert isinstance(experts[0], kind)
    table = network.embed_tokens.weight
    assert isinstance(table, Int8Table if name.startswith("affine") else kind)


def mixed(module: str) -> Any:
    """Settings of one's own for some modules, as mixes of precisions have them."""
    if "router" in module or "layers.1.experts.down" in module:
        return False
    eight = module.endswith(("embed_tokens", "mlp.up_proj")) or ".self_attn." in module
    return EIGHT if eight else SETTINGS["mxfp4"] if "layers.0.mlp.down" in module else True


@pytest.mark.parametrize(
    ("apart", "front"),
    [(False, ""), (True, "switch_glu."), pytest.param(True, "", marks=pytest.mark.long)],
    ids=str,
)
def test_modules_may_differ_and_experts_may_be_apart(
    apart: bool, front: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mlx"

    def rename(name: str) -> str:
        return name.replace(".experts.", f".experts.{front}")

    check(folder, write(folder, FOUR, mixed, rename=rename, apart=apart), tmp_path)


def test_the_image_encoder_may_be_quantized_in_part(tmp_path: Path) -> None:
    encoder = tiny_encoder(1, width=128, hidden_size=64, head_dim=32)
    meant = write(tmp_path / "mlx", FOUR, vision=encoder)
    checkpoint = open_checkpoint(tmp_path / "mlx")
    name = "model.encoder.embed_vision.embedding_projection."
    assert checkpoint.tensors[f"{name}weight"].dtype == "U32"
    found = load_vision(checkpoint, plan_vision(checkpoint), dtype=torch.float32)
    assert found is not None
    state = {f"model.encoder.{key}": tensor for key, tensor in found.state_dict().items()}
    for key, tensor in meant.items():
        if is_vision(key):
            torch.testing.assert_close(state[key], tensor, rtol=1e-6, atol=1e-6)
    assert dict(vision_tensors(checkpoint)).keys() == state.keys()


LAYER = "model.decoder.layers.0."
WRONG: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda one: one.update(bits=5), "has bits 4, quantization says 5"),
    (lambda one: one.update(group_size=32), "has group_size 64, quantization says 32"),
    (lambda one: one.update(mode="mxfp4"), "has mode affine"),
    (lambda one: one.update(mode="ternary"), "'ternary' is not read: affine, mxfp4"),
    (lambda one: one.update(bits="4"), "bits='4' must be a number"),
    (
        lambda one: one.update({f"{LAYER}mlp.up_proj": {"group_size": 64, "bits": 8}}),
        "mlp.up_proj has bits 4, quantization.model",
    ),
    (lambda one: one.update({f"{LAYER}mlp.up_proj": False}), "says that it is not"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlx") / "plain"
    write(folder, FOUR)
    return folder


@pytest.mark.parametrize(("edit", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_config_that_says_otherwise_is_refused(
    edit: Callable[[dict[str, Any]], Any], words: str, plain: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    edit(config["quantization"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=words):
        redraft.load(folder)


def test_one_of_the_two_descriptions_is_enough(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    del config["quantization"]
    (folder / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(folder).quantization is not None
    redraft.load(folder)


def test_what_is_missing_or_foreign_is_named(plain: Path, tmp_path: Path) -> None:
    for number, (edit, words) in enumerate(
        (
            (lambda one: one.pop(f"{LAYER}mlp.up_proj.biases"), "mlp.up_proj is stored as"),
            (lambda one: one.pop(f"{LAYER}experts.gate_up_proj.scales"), "gate_up_proj is stored"),
            (
                lambda one: one.update(
                    {f"{LAYER}mlp.up_proj.scales": torch.ones(128, 3).bfloat16()}
                ),
                "scales has shape",
            ),
        )
    ):
        folder = shutil.copytree(plain, tmp_path / str(number))
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=words):
            redraft.load(folder)


def test_few_bit_copies_of_shared_weights_are_dropped_where_they_are_equal(
    plain: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain, tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    table, up = "model.decoder.embed_tokens.", f"{LAYER}mlp.up_proj."
    for role in ("weight", "scales", "biases"):
        tensors[f"lm_head.{role}"] = tensors[table + role].clone()
        copy = up.replace("model.decoder.", "model.encoder.language_model.")
        tensors[copy + role] = tensors[up + role].clone()
    save_file(tensors, folder / "model.safetensors")
    redraft.load(folder)
    tensors["lm_head.biases"] = tensors["lm_head.biases"] + 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lm_head\.biases differs from"):
        redraft.load(folder)
    for role in ("scales", "biases"):
        del tensors[f"lm_head.{role}"]
    tensors["lm_head.weight"] = torch.zeros(tensors["lm_head.weight"].shape[0], 128)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is stored otherwise than"):
        redraft.load(folder)
