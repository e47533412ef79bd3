"""Quantized files, by writers that are not ours: each gives the logits of its dequantized
twin."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import generate_gparam
from safetensors.torch import load_file, save_file
from torch import Tensor

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.memory_check import stored_bytes
from redraft.checkpoint.names import EXPERTS
from redraft.checkpoint.quantize import DENSE
from redraft.errors import CheckpointError, RedraftError
from redraft.network import DiffusionGemma
from redraft.testing import tiny_checkpoint

SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32, "head_dim": 16, "global_head_dim": 32,
}  # fmt: skip
CASES = int(os.environ.get("REDRAFT_CASES", "100"))  # mutated files of each format
Parts = dict[str, Tensor]
Writer = Callable[
    [Tensor], tuple[Parts, Tensor]
]  # what a file has of a matrix, and the numbers that this means


def scheme(**weights: Any) -> QuantizationScheme:
    return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**weights))


def official(
    name: str, made: QuantizationScheme, prepare: Callable[[Tensor], Parts]
) -> Callable[[Tensor], tuple[Parts, Tensor]]:
    """compressed-tensors' own compressor: what a file has of a matrix, and the numbers that these
    mean."""
    compressor: Any = BaseCompressor.get_value_from_registry(name)

    def write(weight: Tensor) -> tuple[Parts, Tensor]:
        parts = compressor.compress({"weight": weight.bfloat16(), **prepare(weight)}, made)
        if name.startswith("nvfp4"):  # its own way back rounds to bfloat16
            codes = unpack_fp4_from_uint8(
                parts["weight_packed"], weight.shape[0], weight.shape[1]
            ).float()
            scale = parts["weight_scale"].float() / parts["weight_global_scale"]
            return parts, (codes.unflatten(1, (-1, 16)) * scale[..., None]).flatten(1)
        if made.weights.group_size == 32 and made.weights.type == "float":  # so does that of MX
            power = torch.ldexp(
                torch.ones(parts["weight_scale"].shape), parts["weight_scale"].int() - 127
            )
            codes = (
                parts["weight"].float()
                if "weight" in parts
                else unpack_fp4_from_uint8(parts["weight_packed"], *weight.shape).float()
            )
            return parts, (codes.unflatten(1, (-1, 32)) * power[..., None]).flatten(1)
        exact = {
            role: part.float() if role == "weight_scale" else part for role, part in parts.items()
        }
        return parts, compressor.decompress(exact, made)["weight"]

    return write


def by_row(greatest: float) -> Callable[[Tensor], Parts]:
    return lambda weight: {
        "weight_scale": (weight.abs().amax(1, keepdim=True) / greatest).bfloat16()
    }


def by_group(size: int, greatest: float) -> Callable[[Tensor], Parts]:
    return lambda weight: {
        "weight_scale": (weight.unflatten(1, (-1, size)).abs().amax(-1) / greatest).bfloat16()
    }


def lopsided(size: int) -> Callable[[Tensor], Parts]:
    """Scales and zero points of groups that do not lie around 0."""

    def prepare(weight: Tensor) -> Parts:
        grouped = weight.unflatten(1, (-1, size))
        least, most = grouped.amin(-1).clamp_max(0), grouped.amax(-1).clamp_min(0)
        scale = ((most - least) / 15).bfloat16()
        zero = (-8 - least / scale.float()).round().clamp(-8, 7).to(torch.int8)
        return {"weight_scale": scale, "weight_zero_point": zero}

    return prepare


def nvfp4(weight: Tensor) -> Parts:
    factor = generate_gparam(weight.amin(), weight.amax())
    scale = (
        (weight.unflatten(1, (-1, 16)).abs().amax(-1) / 6 * factor).to(torch.float8_e4m3fn).float()
    )
    return {"weight_scale": scale, "weight_global_scale": factor.reshape(1)}


def powers(greatest: int) -> Callable[[Tensor], Parts]:
    """Scales of groups of 32 that are powers of two.

    Args:
        greatest: the exponent of the greatest number of the format.
    """

    def prepare(weight: Tensor) -> Parts:
        most = weight.unflatten(1, (-1, 32)).abs().amax(-1)
        return {"weight_scale": (2.0 ** (most.log2().floor() - greatest)).bfloat16()}

    return prepare


def blocks(role: str) -> Writer:
    """Float8 whose blocks of 128 x 128 share a scale, by hand: compressed-tensors' and DeepSeek's
    differ in a role's name."""

    def write(weight: Tensor) -> tuple[Parts, Tensor]:
        rows, columns = weight.shape
        scale = torch.empty(-(-rows // 128), -(-columns // 128))
        values, numbers = torch.empty(rows, columns), torch.empty(rows, columns)
        for down in range(len(scale)):
            for right in range(scale.shape[1]):
                part = slice(128 * down, 128 * (down + 1)), slice(128 * right, 128 * (right + 1))
                scale[down, right] = weight[part].abs().max() / 448
                values[part] = weight[part] / scale[down, right]
                numbers[part] = values[part].to(torch.float8_e4m3fn).float() * scale[down, right]
        return {"weight": values.to(torch.float8_e4m3fn), role: scale}, numbers

    return write


def modelopt(weight: Tensor) -> tuple[Parts, Tensor]:
    """ModelOpt's bytes by hand: two e2m1 a byte, the first in the lower half; a scale for sixteen;
    one of all."""
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    factor = weight.abs().max() / (448 * 6)
    scale = (weight.unflatten(1, (-1, 16)).abs().amax(-1) / 6 / factor).to(torch.float8_e4m3fn)
    units = weight.unflatten(1, (-1, 16)) / (scale.float() * factor).clamp_min(1e-20)[..., None]
    nearest = (units.abs()[..., None] - table).abs().argmin(-1)
    codes = (nearest + 8 * (units < 0)).flatten(1).to(torch.uint8)
    numbers = (
        (table[nearest] * torch.where(units < 0, -1.0, 1.0)) * (scale.float() * factor)[..., None]
    ).flatten(1)
    parts = {
        "weight": codes[:, ::2] | codes[:, 1::2] << 4,
        "weight_scale": scale,
        "weight_scale_2": factor.float(),
    }
    return parts | {"input_scale": torch.tensor(1.0)}, numbers


def format_of(name: str) -> tuple[Writer, dict[str, Any]]:
    """A writer, and what the config says."""
    ct = {"quant_method": "compressed-tensors"}
    channel = {"symmetric": True, "strategy": "channel"}
    match name:
        case "fp8":
            made = scheme(num_bits=8, type="float", **channel)
            return official("float-quantized", made, by_row(448)), ct | {
                "format": "float-quantized"
            }
        case "int8":
            made = scheme(num_bits=8, type="int", **channel)
            return official("int-quantized", made, by_row(127)), ct | {"format": "int-quantized"}
        case "int8 packed":
            made = scheme(num_bits=8, type="int", symmetric=True, strategy="group", group_size=32)
            return official("pack-quantized", made, by_group(32, 127)), ct | {
                "format": "pack-quantized"
            }
        case "int4":
            made = scheme(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
            return official("pack-quantized", made, by_group(32, 7)), ct | {
                "format": "pack-quantized"
            }
        case "int4 lopsided":
            made = scheme(num_bits=4, type="int", symmetric=False, strategy="group", group_size=32)
            return official("pack-quantized", made, lopsided(32)), ct | {"format": "pack-quantized"}
        case "nvfp4":
            made = scheme(
                num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=16
            )
            return official("nvfp4-pack-quantized", made, nvfp4), ct | {
                "format": "nvfp4-pack-quantized"
            }
        case "mxfp4":
            made = scheme(num_bits=4, type="float", symmetric=True, strategy="group", group_size=32)
            return official("mxfp4-pack-quantized", made, powers(2)), ct | {
                "format": "mxfp4-pack-quantized"
            }
        case "mxfp8":
            made = scheme(num_bits=8, type="float", symmetric=True, strategy="group", group_size=32)
            return official("mxfp8-quantized", made, powers(8)), ct | {"format": "mxfp8-quantized"}
        case "fp8 blocks":
            weights = {
                "num_bits": 8,
                "type": "float",
                "strategy": "block",
                "block_structure": [128, 128],
            }
            groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
            return blocks("weight_scale"), ct | {
                "format": "float-quantized",
                "config_groups": groups,
            }
        case "fp8 deepseek":
            return blocks("weight_scale_inv"), {
                "quant_method": "fp8",
                "fmt": "e4m3",
                "weight_block_size": [128, 128],
            }
    return modelopt, {"quant_method": "modelopt", "quant_algo": "NVFP4"}


NAMES = (
    "fp8", "int8", "int8 packed", "int4", "int4 lopsided", "nvfp4", "modelopt", "mxfp4", "mxfp8", "fp8 blocks",
    "fp8 deepseek",
)  # fmt: skip
# Wider than a block, and no multiple of it.
WIDE = {"intermediate_size": 160, "hidden_size": 192}


def shape_of(name: str) -> dict[str, Any]:
    return SHAPE | (WIDE if name in ("fp8 blocks", "fp8 deepseek") else {})


def write(folder: Path, name: str, **changes: Any) -> dict[str, Tensor]:
    """A tiny checkpoint in a format, its experts one by one; the numbers that its matrices mean, by
    the model's names."""
    make, said = format_of(name)
    tiny_checkpoint(folder, **shape_of(name) | changes)
    plain, stored, meant = load_file(folder / "model.safetensors"), {}, {}
    for tensor_name, tensor in plain.items():
        own = tensor_name.removeprefix("model.decoder.")
        if own.endswith(tuple(EXPERTS)):
            prefix, names = (
                tensor_name.rpartition(".")[0],
                next(EXPERTS[end] for end in EXPERTS if own.endswith(end)),
            )
            numbers = []
            for number, expert in enumerate(tensor):
                for part_name, part in zip(names, expert.chunk(len(names)), strict=True):
                    parts, found = make(part.float())
                    stored |= {
                        f"{prefix}.{number}.{part_name}.{role}": part
                        for role, part in parts.items()
                    }
                    numbers.append(found)
            meant[own] = torch.stack(numbers).unflatten(0, (len(tensor), -1)).flatten(1, 2)
        elif own.endswith(DENSE) and name != "modelopt":
            parts, meant[own] = make(tensor.float())
            stored |= {
                f"{tensor_name.removesuffix('.weight')}.{role}": part
                for role, part in parts.items()
            }
        else:
            stored[tensor_name] = tensor
    save_file(
        {key: part.contiguous() for key, part in stored.items()}, folder / "model.safetensors"
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    return meant


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Path, dict[str, Tensor]]]:
    kept: dict[str, tuple[Path, dict[str, Tensor]]] = {}

    def get(name: str) -> tuple[Path, dict[str, Tensor]]:
        if name not in kept:
            folder = tmp_path_factory.mktemp("format") / name.replace(" ", "-")
            kept[name] = folder, write(folder, name)
        return kept[name]

    return get


def logits(network: DiffusionGemma, prompt: list[int]) -> Tensor:
    with torch.inference_mode():
        states = network.encode([torch.tensor(prompt)], [network.new_cache(len(prompt))])[0]
        return network.logits(states)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_the_logits_of_its_dequantized_twin(
    name: str, written: Any, tmp_path: Path
) -> None:
    folder, meant = written(name)
    twin = redraft.load(tiny_checkpoint(tmp_path / "twin", **shape_of(name)), dtype="float32")
    twin = twin.network
    for own, numbers in meant.items():
        twin.get_parameter(own).data.copy_(numbers)
    prompt = [2, *range(30, 90)]
    expected = logits(twin, prompt)
    found = logits(redraft.load(folder, dtype="float32").network, prompt)
    assert float((found - expected).abs().max()) < 2e-3
    rough = logits(redraft.load(folder, dtype="bfloat16").network, prompt)
    plain = logits(twin.bfloat16(), prompt)
    error, usual = (float((one - expected).norm() / expected.norm()) for one in (rough, plain))
    assert error < 2 * usual + (0.02 if name == "int8" else 0.0)  # int8 rounds the inputs too


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_the_memory_of_a_file_is_counted_to_the_byte(
    name: str, dtype: torch.dtype, written: Any
) -> None:
    checkpoint = open_checkpoint(written(name)[0])
    taken = load_weights(checkpoint, dtype=dtype).state_dict().values()
    assert stored_bytes(checkpoint, dtype) == sum(tensor.nbytes for tensor in taken)


@pytest.mark.parametrize("name", NAMES)
def test_a_quantized_file_writes_text(name: str, written: Any) -> None:
    model = redraft.load(written(name)[0])
    assert model.network.dtype == torch.bfloat16 or model.network.dtype == torch.float32
    texts = {
        model.generate([2, 5, 9], seed=seed, max_new_tokens=20, max_denoising_steps=4).tokens
        for seed in (1, 1, 2)
    }
    assert len(texts) == 2


def change(folder: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


LAYER = "model.decoder.layers.0."
Edit = Callable[[dict[str, Tensor]], Any]


def without(*words: str) -> Edit:
    return lambda tensors: [
        tensors.pop(name) for name in list(tensors) if all(word in name for word in words)
    ]


def having(name: str, tensor: Tensor) -> Edit:
    return lambda tensors: tensors.update({name: tensor})


WRONG: list[tuple[str, Edit, str]] = [
    ("modelopt", without("layers.1.experts.3.up_proj.weight_scale_2"), "no known format"),
    ("modelopt", without(".experts."), "experts.gate_up_proj is missing"),
    ("int4", without("experts.5.down"), "experts.5.down_proj is missing"),
    ("int4", having(f"{LAYER}mlp.up_proj.weight_g_idx", torch.zeros(64)), "no known format"),
    ("fp8", having(f"{LAYER}mlp.up_proj.weight_scale", torch.ones(7, 1)), "weight_scale has shape"),
    ("nvfp4", having("extra.weight_packed", torch.zeros(3)), "extra.weight_packed is unknown"),
    (
        "int8",
        having(f"{LAYER}self_attn.q_proj.weight", torch.zeros(3, 3, dtype=torch.int8)),
        "weight has shape",
    ),
    (
        "int4",
        having(f"{LAYER}self_attn.q_proj.weight_shape", torch.tensor([64, 0])),
        "says that it is 64 x 0",
    ),
]


@pytest.mark.parametrize(
    ("name", "edit", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_nothing_is_guessed(name: str, edit: Any, words: str, written: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(written(name)[0], tmp_path / "copy")
    change(folder, edit)
    with pytest.raises(CheckpointError, match=words):
        redraft.load(folder)


def test_a_format_that_is_not_read_is_refused_by_name(written: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(written("int4")[0], tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    for said, words in (
        ({"quant_method": "bitsandbytes"}, "by bitsandbytes"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "marlin-24"),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "says strategy 'block'"),
    ):
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
        with pytest.raises(CheckpointError, match=words):
            redraft.load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_file_holds_there_are_only_typed_errors(
    name: str, written: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(written(name)[0], tmp_path / "copy")
    file = folder / "model.safetensors"
    whole, rng = file.read_bytes(), random.Random(name)
    header = 8 + int.from_bytes(whole[:8], "little")
    said, config = (folder / "config.json").read_bytes(), folder / "config.json"
    failed, held = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(CASES // len(NAMES) + 1):
        hostile = rng.random() < 0.2
        file.write_bytes(whole if hostile else mutated(whole, header, rng))
        config.write_bytes(mutated_text(said, rng) if hostile else said)
        try:
            redraft.load(folder)
        except RedraftError:
            failed += 1
    assert failed > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 200 << 10  # KiB


def mutated_text(text: bytes, rng: random.Random) -> bytes:
    """A config with another byte, another digit, a number in place of another, or its end lost."""
    data = bytearray(text)
    match rng.randrange(4):
        case 0:
            data[rng.randrange(len(data))] = rng.randrange(256)
        case 1:
            digits = [at for at in range(len(data)) if chr(data[at]).isdigit()]
            for _ in range(rng.randint(1, 3)):
                data[rng.choice(digits)] = ord(str(rng.randrange(10)))
        case 2:
            numbers = list(re.finditer(rb"\d+", data))
            found = rng.choice(numbers)
            data[found.start() : found.end()] = rng.choice(
                (b"-1", b"0", b"1e9", b"99999999999", b"null", b'"x"', b"[]", b"2.5")
            )
        case 3:
            del data[rng.randrange(len(data)) :]
    return bytes(data)


def mutated(whole: bytes, header: int, rng: random.Random) -> bytes:
    """A file with bytes of its header changed, another length said, digits of sizes and offsets
    turned, or its end lost."""
    data = bytearray(whole)
    match rng.randrange(4):
        case 0:
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(8, header)] = rng.randrange(256)
        case 1:
            data[:8] = rng.choice((0, 1, header * 2, 2**40, 2**63)).to_bytes(8, "little")
        case 2:
            digits = [at for at in range(8, header) if chr(data[at]).isdigit()]
            for _ in range(rng.randint(1, 5)):
                data[rng.choice(digits)] = ord(str(rng.randrange(10)))
        case 3:
            del data[rng.randrange(len(data)) :]
    return bytes(data)


def test_whole_experts_may_come_one_by_one(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "one", **SHAPE)
    expected = redraft.load(folder).network.state_dict()

    def apart(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(tuple(EXPERTS))]:
            prefix, parts = (
                name.rpartition(".")[0],
                next(EXPERTS[end] for end in EXPERTS if name.endswith(end)),
            )
            for number, expert in enumerate(tensors.pop(name)):
                pieces = zip(parts, expert.chunk(len(parts)), strict=True)
                tensors |= {
                    f"{prefix}.{number}.{part}.weight": piece.clone() for part, piece in pieces
                }

    change(folder, apart)
    found = redraft.load(folder).network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
