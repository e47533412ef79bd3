from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.gguf.blocks import BLOCK_TYPES, load_blocks
from redraft.checkpoint.gguf.load import gguf_bytes, plan_gguf
from redraft.checkpoint.gguf.names import to_gguf
from redraft.config import ModelConfig
from redraft.config.model import FULL, SLIDING
from redraft.errors import CheckpointError
from redraft.network import DiffusionGemma
from redraft.quant import ExpertList, Int4Weight, Int8Table, Int8Weight, StackedWeight
from redraft.testing import tiny_model
from redraft.testing.tiny import tiny_config
from tests.checkpoint.gguf_files import (
    FEW,
    FEWER,
    FLOATS,
    WIDE,
    add_metadata,
    metadata,
    random_blocks,
    write,
)

MIXED = {"attn_q": Kind.Q4_K, "attn_v": Kind.Q6_K, "ffn_down.": Kind.Q8_0, "gate_up_exps": Kind.Q4_K, "down_exps": Kind.Q5_0,
         "token_embd": Kind.Q6_K, "ffn_gate_inp": Kind.F32, "self_cond": Kind.Q5_K, "attn_k": Kind.F16}  # fmt: skip


def mixed(name: str) -> Kind:
    return next((kind for part, kind in MIXED.items() if part in name), Kind.BF16)


@torch.no_grad()
def logits(model: DiffusionGemma) -> Tensor:
    """Of a prompt and of a canvas behind it."""
    generator = torch.Generator().manual_seed(0)
    prompt, canvas = (torch.randint(0, 384, (size,), generator=generator) for size in (12, 8))
    signal = torch.randn(1, 8, model.config.hidden_size, generator=generator).to(model.dtype)
    cache = model.new_cache(32)
    encoded = model.encode([prompt], [cache])[0]
    return model.logits(torch.cat((encoded, model.canvas_states(canvas[None], [cache], signal)[0])))


@pytest.mark.parametrize("kind", [*FEW, *FEWER], ids=lambda kind: kind.name)
def test_blocks_are_read_as_their_writer_reads_them(kind: Kind) -> None:
    raw = random_blocks((40, 512), kind)
    wanted = torch.from_numpy(gguf.quants.dequantize(raw, kind))
    for table in (False, True):
        weight = load_blocks(torch.from_numpy(raw), BLOCK_TYPES[kind], torch.float32, table=table)
        assert weight.shape == (40, 512)
        torch.testing.assert_close(weight.dequantize(), wanted, rtol=1e-6, atol=1e-7)
        assert weight.nbytes < 0.45 * wanted.nbytes


ALWAYS = (*FLOATS, *FEW, Kind.Q3_K, Kind.IQ2_S, Kind.MXFP4)


@pytest.mark.parametrize(
    "kind",
    [
        *ALWAYS,
        *(
            pytest.param(kind, marks=pytest.mark.long, id=kind.name)
            for kind in FEWER
            if kind not in ALWAYS
        ),
    ],
    ids=lambda kind: kind.name,
)
def test_a_file_of_one_type_gives_the_logits_of_its_numbers(kind: Kind, tmp_path: Path) -> None:
    twin = write(tmp_path / "model.gguf", kind)
    model = load_weights(open_checkpoint(tmp_path / "model.gguf"), dtype=torch.float32)
    torch.testing.assert_close(logits(model), logits(twin), rtol=0, atol=1e-4)


def test_a_file_of_many_types_does_too(tmp_path: Path) -> None:
    twin = write(tmp_path / "model.gguf", mixed)
    loaded = redraft.load(tmp_path / "model.gguf", dtype="float32", device="cpu")
    torch.testing.assert_close(logits(loaded.network), logits(twin), rtol=0, atol=1e-4)


def test_in_bfloat16_the_same_is_nearly_so(tmp_path: Path) -> None:
    twin = write(tmp_path / "model.gguf", mixed)
    model = redraft.load(tmp_path / "model.gguf", device="cpu")
    assert model.network.dtype == torch.bfloat16
    found, wanted = logits(model.network), logits(twin.to(torch.bfloat16))
    assert (found - wanted).std() < 0.1 * wanted.std()
    finished = model.generate("hello there", max_new_tokens=8, seed=1)
    assert len(finished.tokens) > 0


def test_nothing_in_few_bits_becomes_floats(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", mixed)
    checkpoint = open_checkpoint(tmp_path / "model.gguf")
    model = load_weights(checkpoint)
    layer = model.layers[0]
    assert isinstance(model.embed_tokens.weight, Int8Table)
    assert isinstance(layer.self_attn.q_proj.weight, Int4Weight)
    groups = {"self_attn.v_proj": 16, "mlp.down_proj": 32}
    for name, group in groups.items():
        weight = layer.get_submodule(name).weight
        assert isinstance(weight, Int8Weight)
        assert weight.scale.shape == (weight.shape[0], weight.shape[1] // group)
    for experts, kind in (
        (layer.experts.gate_up_proj, Int4Weight),
        (layer.experts.down_proj, Int8Weight),
    ):
        assert isinstance(experts, ExpertList)
        assert {type(one) for one in experts.each} == {kind}
    assert layer.router.proj.weight.dtype == torch.bfloat16
    kept = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert (
        kept
        == gguf_bytes(checkpoint.gguf, torch.bfloat16)
        - 2 * checkpoint.tensors["rope_freqs.weight"].shape[0]
    )


def test_a_model_in_parts_is_one_model_whichever_part_is_named(tmp_path: Path) -> None:
    twin = write(tmp_path / "model.gguf", mixed, split=20)
    parts = sorted(tmp_path.glob("model-*.gguf"))
    assert len(parts) == 3
    for part in (parts[0], parts[2]):
        checkpoint = open_checkpoint(part)
        assert checkpoint.path == parts[0]
    loaded = load_weights(checkpoint, dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), logits(twin), rtol=0, atol=1e-4)
    assert redraft.load(parts[1]).generate("hello there", max_new_tokens=2, seed=1).tokens


@pytest.mark.parametrize("same", [True, False])
def test_a_copy_of_the_embedding_is_dropped_where_it_is_equal(same: bool, tmp_path: Path) -> None:
    def copy(tensors: dict) -> None:
        data, kind = tensors["token_embd.weight"]
        tensors["output.weight"] = data.copy(), kind
        tensors["output.weight"][0].reshape(-1)[5] += not same

    write(tmp_path / "model.gguf", Kind.Q8_0, edit=copy)
    if same:
        load_weights(open_checkpoint(tmp_path / "model.gguf"))
        return
    with pytest.raises(CheckpointError, match=r"output\.weight differs from token_embd"):
        load_weights(open_checkpoint(tmp_path / "model.gguf"))


def test_all_end_tokens_of_the_file_are_known(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", keys={"tokenizer.ggml.eos_token_ids": [1, 7, 9]})
    config = open_checkpoint(tmp_path / "model.gguf").config
    assert {1, 7, 9} <= set(config.eos_token_id)
    assert len(set(config.eos_token_id)) == len(config.eos_token_id)


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_0, Kind.F32], ids=lambda kind: kind.name)
def test_gate_and_up_may_lie_apart(kind: Kind, tmp_path: Path) -> None:
    def split(tensors: dict) -> None:
        for layer in range(2):
            data, _ = tensors.pop(f"blk.{layer}.ffn_gate_up_exps.weight")
            tensors[f"blk.{layer}.ffn_gate_exps.weight"] = np.ascontiguousarray(data[:, :256]), kind
            tensors[f"blk.{layer}.ffn_up_exps.weight"] = np.ascontiguousarray(data[:, 256:]), kind

    twin = write(tmp_path / "model.gguf", kind, edit=split)
    model = load_weights(open_checkpoint(tmp_path / "model.gguf"), dtype=torch.float32)
    torch.testing.assert_close(logits(model), logits(twin), rtol=0, atol=1e-4)
    assert kind == Kind.F32 or isinstance(model.layers[0].experts.gate_up_proj[0], StackedWeight)


def test_the_config_is_that_of_the_model(tmp_path: Path) -> None:
    model = tiny_model(**WIDE, num_key_value_heads=4)
    write(
        tmp_path / "model.gguf",
        model=model,
        keys={"tokenizer.ggml.tokens": None, "tokenizer.ggml.eot_token_id": 106},
    )
    checkpoint = open_checkpoint(tmp_path / "model.gguf")
    assert checkpoint.config == model.config
    assert checkpoint.config.rope_parameters[FULL].partial_rotary_factor == 0.25
    assert (
        checkpoint.generation_config.max_denoising_steps,
        checkpoint.generation_config.t_min,
    ) == (12, 0.3)


def test_ends_of_a_turn_are_known_by_name(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf")
    config = open_checkpoint(tmp_path / "model.gguf").config
    assert config.eos_token_id == (
        1,
        64,
        50,
    )  # <eos>, and where this vocabulary has <turn|> and <|tool_response>


RELEASE = {
    "hidden_size": 2816, "intermediate_size": 2112, "moe_intermediate_size": 704, "num_hidden_layers": 30, "vocab_size": 262144,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "num_global_key_value_heads": 2,
    "global_head_dim": 512, "num_experts": 128, "top_k_experts": 8, "sliding_window": 1024, "canvas_length": 256,
    "max_position_embeddings": 262144, "layer_types": tuple(FULL if number % 6 == 5 else SLIDING for number in range(30)),
}  # fmt: skip
# Bytes of the tensors in the published Q8_0 file, by its header.
PUBLISHED = 26_863_006_592


def described(path: Path, config: ModelConfig) -> None:
    """A file of the released model's shape in Q8_0, as it was published, with nothing in its
    tensors: a hole on the disk."""
    with torch.device("meta"):
        model = DiffusionGemma(config)
    writer = gguf.GGUFWriter(path, "diffusion-gemma")
    add_metadata(
        writer,
        metadata(model)
        | {"tokenizer.ggml.tokens": [f"{number}" for number in range(config.vocab_size)]},
    )
    end = 0
    for name, tensor in {**model.state_dict(), "rope": torch.ones(256)}.items():
        stored = "rope_freqs.weight" if name == "rope" else to_gguf(name)
        kind = Kind.F32 if tensor.ndim == 1 or "ffn_gate_inp" in stored else Kind.Q8_0
        columns, size = gguf.GGML_QUANT_SIZES[kind]
        nbytes = tensor.numel() // columns * size
        writer.add_tensor_info(stored, tensor.shape, np.dtype(np.float32), nbytes, kind)
        end += -(-nbytes // 32) * 32
    for step in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_ti_data_to_file,
    ):
        step()
    writer.close()
    begin = -(-path.stat().st_size // 32) * 32
    assert end == PUBLISHED
    with path.open("r+b") as file:
        file.truncate(begin + end)
        file.seek(begin + end - 1024)
        file.write(np.array([1.0] * 64 + [1e30] * 192, np.float32).tobytes())


def test_the_released_models_file_is_described_in_a_second(tmp_path: Path) -> None:
    config = tiny_config(**RELEASE)
    described(tmp_path / "model.gguf", config)
    checkpoint = open_checkpoint(tmp_path / "model.gguf")
    assert checkpoint.config == replace(config, eos_token_id=(1,))
    with torch.device("meta"):
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in DiffusionGemma(config).state_dict().items()
        }
    assert len(plan_gguf(checkpoint.gguf, shapes, [])) == 691
    assert 26 < gguf_bytes(checkpoint.gguf, torch.bfloat16) / 1e9 < 27


# What the package's own table of names does not have: the converter writes these itself.
BY_HAND = {
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
    "layer_scalar": "layer_output_scale.weight",
    "encoder_layer_scalar": "enc_layer_output_scale.weight",
    "self_conditioning.pre_norm.weight": "self_cond_pre_norm.weight",
    "self_conditioning.gate_proj.weight": "self_cond_gate.weight",
    "self_conditioning.up_proj.weight": "self_cond_up.weight",
    "self_conditioning.down_proj.weight": "self_cond_down.weight",
}


def test_names_are_those_of_the_packages_own_table() -> None:
    table, told = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA4, 2), set()
    for name in tiny_model(num_hidden_layers=2).state_dict():
        ending = name.partition("layers.")[2].partition(".")[2] or name
        if ending in BY_HAND:
            assert to_gguf(name).endswith(BY_HAND[ending])
            told.add(ending)
        else:
            found = table.get_name(f"model.{name}", try_suffixes=(".weight",))
            assert to_gguf(name) == (
                found if found and found.endswith(".weight") else f"{found}.weight"
            ), name
    assert told == set(BY_HAND)
