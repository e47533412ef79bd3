"""What cannot be loaded is named, all of it, before weights are read; damaged files end in the same
few errors."""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.gguf.config import REQUIRED_KEYS, SIZES
from redraft.errors import CheckpointError, ConfigError, RedraftError, TensorMismatchError
from redraft.testing import tiny_model
from tests.checkpoint.gguf_files import WIDE, few_bits, metadata, write

ARCH = "diffusion-gemma."
# Mutated files; REDRAFT_CASES=2000 makes it a long one.
CASES = int(os.environ.get("REDRAFT_CASES", "100"))


def test_all_that_is_wrong_with_tensors_is_named_at_once(tmp_path: Path) -> None:
    def edit(tensors: dict) -> None:
        del tensors["blk.1.attn_norm.weight"], tensors["rope_freqs.weight"]
        tensors["output.weight"] = tensors["output_norm.weight"]
        tensors["blk.0.attn_q.weight"] = tensors["blk.0.attn_v.weight"]
        tensors["blk.0.ffn_up.weight"] = np.zeros((256, 292), np.uint8), Kind.Q8_K
        tensors["output_norm.weight"] = (
            few_bits(tensors["output_norm.weight"][0], Kind.Q8_0),
            Kind.Q8_0,
        )
        tensors["blk.1.ffn_gate_inp.scale"] = np.zeros(4, np.float32), Kind.F32

    write(tmp_path / "model.gguf", edit=edit)
    checkpoint = open_checkpoint(tmp_path / "model.gguf")
    read: list[Any] = []
    with pytest.raises(TensorMismatchError) as caught:
        load_weights(checkpoint, progress=lambda *at: read.append(at))
    told = "\n".join(caught.value.problems)
    for problem in (
        "blk.1.attn_norm.weight is missing",
        "rope_freqs.weight is missing",
        "output.weight is stored otherwise than token_embd.weight",
        "blk.0.attn_q.weight has shape [128, 256], the config asks for [256, 256]",
        "blk.0.ffn_up.weight is stored as Q8_K; F32, F16, BF16, Q4_0",
        "output_norm.weight is stored as Q8_0; F32, F16, BF16 are read",
        "blk.1.ffn_gate_inp.scale has shape [4], the config asks for [256]",
    ):
        assert problem in told
    assert len(caught.value.problems) == 7
    assert not read


def test_gate_and_up_of_two_natures_are_refused(tmp_path: Path) -> None:
    def edit(tensors: dict) -> None:
        data, _ = tensors.pop("blk.0.ffn_gate_up_exps.weight")
        tensors["blk.0.ffn_gate_exps.weight"] = np.ascontiguousarray(data[:, :256]), Kind.F32
        tensors["blk.0.ffn_up_exps.weight"] = (
            few_bits(np.ascontiguousarray(data[:, 256:]), Kind.Q8_0),
            Kind.Q8_0,
        )

    write(tmp_path / "model.gguf", edit=edit)
    with pytest.raises(
        TensorMismatchError,
        match=r"of blk.0.ffn_gate_exps.weight and blk.0.ffn_up_exps.weight only one is quantized",
    ):
        redraft.load(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    "key",
    [f"{ARCH}{key}" for key in (*SIZES.values(), *REQUIRED_KEYS)] + ["diffusion.canvas_length"],
)
def test_a_key_that_is_missing_is_named(key: str, tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", keys={key: None}, model=tiny_model())
    with pytest.raises(CheckpointError, match=rf"lacks {key}"):
        open_checkpoint(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("split.count", 3, "one of 3 parts: they are found by names"),
        (f"{ARCH}attention.shared_kv_layers", 2, "shared_kv_layers 2"),
        (f"{ARCH}attention.value_length", 7, "value_length 7"),
        (f"{ARCH}rope.dimension_count", 8, "rope.dimension_count 8"),
        (f"{ARCH}rope.scaling.type", "yarn", "rope.scaling.type 'yarn'"),
        (f"{ARCH}attention.sliding_window_pattern", [True], "a boolean for each of 4 layers"),
        (f"{ARCH}attention.head_count_kv", [1, 2, 4, 1], "one number for all layers of a kind"),
        (f"{ARCH}block_count", 2**31, "num_hidden_layers=2147483648"),
        (f"{ARCH}embedding_length", 2**30, "hidden_size=1073741824"),
        (f"{ARCH}embedding_length", "wide", "hidden_size='wide'"),
        (f"{ARCH}final_logit_softcapping", -1.0, "final_logit_softcapping"),
        ("diffusion.eb_t_min", -1.0, "t_min"),
        ("diffusion.canvas_length", 0, "canvas_length"),
        ("tokenizer.ggml.model", "llama", "tokenizer of model 'llama'"),
        ("tokenizer.ggml.token_type", [1], "does not give each token a type"),
        ("tokenizer.ggml.merges", ["a"], "merges that are not pairs"),
        ("tokenizer.ggml.merges", ["q qq"], "cannot be built"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    key: str, value: Any, message: str, tmp_path: Path
) -> None:
    write(tmp_path / "model.gguf", keys={key: value}, model=tiny_model())
    with pytest.raises((CheckpointError, ConfigError), match=message):
        redraft.load(tmp_path / "model.gguf")


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    model = tiny_model(**WIDE)
    write(tmp_path / "model.gguf", Kind.Q8_0, model=model, split=25)
    first, second, *_ = parts = sorted(tmp_path.glob("model-*.gguf"))
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(CheckpointError, match=f"{second.name} is not beside it"):
        open_checkpoint(first)
    second.write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=r"says that it is part 0 of \d, counted from 0"):
        open_checkpoint(first)
    second.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        open_checkpoint(first)
    second.write_bytes(kept)
    renamed = first.rename(tmp_path / "model.gguf")
    with pytest.raises(CheckpointError, match=f"one of {len(parts)} parts: they are found by name"):
        open_checkpoint(renamed)


def test_rotary_factors_of_another_kind_are_refused(tmp_path: Path) -> None:
    factors = np.array([1, 1, 2, 4, 8, 16, 32, 64], np.float32), Kind.F32
    write(
        tmp_path / "model.gguf",
        edit=lambda tensors: tensors.update({"rope_freqs.weight": factors}),
        model=tiny_model(),
    )
    with pytest.raises(CheckpointError, match="rope_freqs"):
        open_checkpoint(tmp_path / "model.gguf")


def test_other_files_are_told_from_gguf(tmp_path: Path) -> None:
    write(tmp_path / "gemma.gguf", arch="gemma4", model=tiny_model())
    with pytest.raises(CheckpointError, match="architecture 'gemma4': only 'diffusion-gemma'"):
        open_checkpoint(tmp_path / "gemma.gguf")
    for content, message in (
        (b"", "cut short"),
        (b"PK\3\4", "not a GGUF file"),
        (b"GGUF" + struct.pack(">I", 3), "version"),
    ):
        (tmp_path / "other.gguf").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(tmp_path / "other.gguf")
    with pytest.raises(CheckpointError, match=r"none\.gguf cannot be read"):
        open_checkpoint(tmp_path / "none.gguf")


def test_a_file_cut_short_names_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, model=tiny_model())
    path.write_bytes(path.read_bytes()[:-10_000])
    with pytest.raises(
        CheckpointError, match=r"damaged or cut short: .*self_cond.* ends beyond the file"
    ):
        open_checkpoint(path)


def mutated(content: bytes, header: int, rng: random.Random) -> bytes:
    """The same with something wrong, mostly in its header."""
    changed, at = bytearray(content), rng.randrange(header)
    match rng.randrange(6):
        case 0:
            return content[: rng.randrange(len(content))]
        case 1:
            for _ in range(rng.randint(1, 20)):
                changed[rng.randrange(header)] = rng.randrange(256)
        case 2:  # a length or a number that is far too great, or none
            number = rng.choice((0, 1, 2**16, 2**24, 2**31 - 1, 2**32, 2**63, 2**64 - 1))
            changed[at : at + 8] = struct.pack("<Q", number)
        case 3:
            del changed[at : at + rng.randint(1, 100)]
        case 4:
            changed[at:at] = rng.randbytes(rng.randint(1, 100))
        case _:  # counts in front
            changed[8:24] = struct.pack(
                "<QQ", rng.choice((0, 3, 2**16, 2**40)), rng.choice((0, 3, 2**16, 2**40))
            )
    return bytes(changed)


def test_mutated_files_give_typed_errors_and_take_little_memory(tmp_path: Path) -> None:
    path, rng = tmp_path / "model.gguf", random.Random(0)
    write(
        path,
        Kind.Q8_0,
        model=tiny_model(
            **WIDE | {"hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 32}
        ),
    )
    content = path.read_bytes()
    header = min(info.offset for info in open_checkpoint(path).gguf.tensors.values())
    redraft.load(path, device="cpu")
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(CASES):
        path.write_bytes(mutated(content, header, rng))
        try:
            redraft.load(path, device="cpu")
        except RedraftError:
            refused += 1
    assert refused > CASES / 2
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 100_000_000


def test_any_value_of_any_key_loads_or_is_refused(tmp_path: Path) -> None:
    path, rng, model = tmp_path / "model.gguf", random.Random(0), tiny_model()
    numbers = (0, 1, 2, 3, -1, 2**20, 2**31, 2**32 - 1, 0.0, 1e-9, float("nan"), 3e38)
    values = (*numbers, "", "text", True, [1], [True] * 4, ["a"], [2.5])
    for _ in range(CASES // 4):
        write(
            path,
            Kind.F32,
            model=model,
            keys={rng.choice(list(metadata(model))): rng.choice(values)},
        )
        with suppress(RedraftError):
            redraft.load(path, device="cpu")


MEASURE = """
import resource, sys
from redraft.checkpoint import load_weights, open_checkpoint
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load_weights(open_checkpoint(sys.argv[2]))
before = peak()
model = load_weights(open_checkpoint(sys.argv[1]))
sizes = [getattr(weight, "nbytes", 0) for weight in (model.embed_tokens.weight, *(
    part for layer in model.layers for part in (layer.experts.gate_up_proj, layer.experts.down_proj)))]
print(peak() - before, sum(t.nbytes for t in model.state_dict().values()), max(sizes))
"""


@pytest.mark.long
def test_loading_takes_the_model_and_one_weight_at_most(tmp_path: Path) -> None:
    def kind_of(name: str) -> Kind:
        return Kind.Q8_0 if "token_embd" in name else Kind.Q4_0 if "exps" in name else Kind.BF16

    model = tiny_model(
        hidden_size=512,
        moe_intermediate_size=512,
        intermediate_size=1024,
        num_experts=32,
        vocab_size=100_000,
        num_hidden_layers=2,
    )
    write(tmp_path / "big.gguf", kind_of, model=model, keys={"tokenizer.ggml.tokens": None})
    write(tmp_path / "tiny.gguf", kind_of, model=tiny_model(**WIDE))
    command = [
        sys.executable,
        "-c",
        MEASURE,
        str(tmp_path / "big.gguf"),
        str(tmp_path / "tiny.gguf"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, size, largest = map(int, done.stdout.split())
    assert size > 90_000_000
    assert grown <= size + largest + 16_000_000
