"""Copies in another form: what is lossless is so, and what is not says how far it is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from compressed_tensors.quantization import QuantizationScheme
from gguf import GGMLQuantizationType as Kind
from typer.testing import CliRunner

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.checkpoint.convert import convert
from redraft.checkpoint.decoded import decoded_weights, difference
from redraft.cli.app import app
from redraft.errors import CheckpointError, ConfigError
from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.checkpoint import gguf_files, test_formats, test_gptq
from tests.checkpoint.gptq_files import gptq
from tests.checkpoint.test_gptq import GPTQ
from tests.checkpoint.test_gptq import write as write_gptq


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convert") / "gptq"
    write_gptq(folder, partial(gptq, index=False), GPTQ)
    return folder


def test_whole_weights_in_float32_are_those_of_the_source(packed: Path, tmp_path: Path) -> None:
    source = open_checkpoint(packed)
    found = convert(source, tmp_path / "out", "float32")
    assert found.changed == 0
    assert found.weights == len(dict(decoded_weights(source)))
    copy = open_checkpoint(tmp_path / "out")
    assert copy.quantization is None
    twin = load_weights(open_checkpoint(packed.with_name("twin"))).state_dict()
    state = load_weights(copy).state_dict()
    for name, tensor in twin.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-6, atol=1e-6)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"
    assert (tmp_path / "out" / "tokenizer.json").exists()


LONG = ("gptq 8 bits", "fp8 deepseek")
PACKED = ("gptq 3 bits", "awq", "modelopt", "mxfp4")


@pytest.mark.parametrize(
    "name", [*PACKED, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]
)
def test_numbers_of_few_bits_stay_as_they_are(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if name in test_gptq.CASES:
        test_gptq.write(source, *test_gptq.CASES[name])
    elif name == "mxfp4":
        pytest.importorskip("mlx.core")
        from tests.checkpoint import mlx_files

        four, eight = (mlx_files.SETTINGS[one] for one in ("mxfp4", "mxfp8"))
        mlx_files.write(source, four, lambda module: eight if ".self_attn." in module else True)
    else:
        test_formats.write(source, name)
    found = convert(open_checkpoint(source), tmp_path / "out", "compressed-tensors")
    if name == "modelopt":  # a factor is stored as its inverse, and not all have one
        assert found.error < 1e-7
    else:
        assert found.changed == 0, found
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization" not in config
    described = config["quantization_config"]
    schemes = [
        QuantizationScheme.model_validate(one) for one in described["config_groups"].values()
    ]
    assert len(schemes) == (2 if name == "mxfp4" else 1)
    redraft.load(tmp_path / "out").generate([2, 5, 9], max_new_tokens=2, max_denoising_steps=1)


def test_what_has_no_exact_form_is_named(packed: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    test_gptq.write(source, *test_gptq.CASES["gptq act-order"])
    for folder, words in (
        (source, "the order of columns of act-order"),
        (packed.with_name("twin"), "no weight is"),
    ):
        with pytest.raises(CheckpointError, match=words):
            convert(open_checkpoint(folder), tmp_path / "out", "compressed-tensors")


@pytest.mark.parametrize(("form", "most"), [("bfloat16", 0.004), ("int4", 0.2)])
def test_what_is_lost_is_told(form: str, most: float, packed: Path, tmp_path: Path) -> None:
    source = open_checkpoint(packed)
    found = convert(source, tmp_path / "out", form, group=32)
    assert found.changed > 0
    assert 0 < found.error < most
    assert found.worst[0] >= found.error
    copy = open_checkpoint(tmp_path / "out")
    assert difference(source, copy) == found
    exact, near = (dict(decoded_weights(one)) for one in (source, copy))
    name = found.worst[1]
    error = float((near[name] - exact[name]).norm() / exact[name].norm())
    assert error == pytest.approx(found.worst[0])
    redraft.load(tmp_path / "out").generate([2, 5, 9], max_new_tokens=4, max_denoising_steps=2)


def test_the_command_makes_a_folder_of_a_gguf_file(tmp_path: Path) -> None:
    gguf_files.write(tmp_path / "model.gguf", Kind.Q8_0)
    source, out = str(tmp_path / "model.gguf"), str(tmp_path / "out")
    done = CliRunner().invoke(app, ["convert", source, out, "--format", "float32"])
    assert done.exit_code == 0, done.output
    assert "weights are those of" in done.output
    before, after = (redraft.load(one, dtype="float32") for one in (source, out))
    texts = {
        one.generate("hello there", seed=1, max_new_tokens=8, max_denoising_steps=4).text
        for one in (before, after)
    }
    assert len(texts) == 1
    assert after.chat_template is not None
    done = CliRunner().invoke(app, ["convert", source, f"{out}2", "--to", "bfloat16"])
    assert done.exit_code == 0, done.output
    assert "redraft eval divergence" in done.output
    with pytest.raises(CheckpointError, match="not an empty folder"):
        convert(open_checkpoint(source), out, "float32")
    with pytest.raises(ConfigError, match="q4 is a format of GGUF, which is read and not written"):
        convert(open_checkpoint(source), f"{out}3", "q4")
    with pytest.raises(ConfigError, match="--format int3 is not known"):
        convert(open_checkpoint(source), f"{out}3", "int3")


def test_the_image_encoder_comes_along(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "source", 1, vision=tiny_encoder(2))
    assert convert(open_checkpoint(folder), tmp_path / "out", "float32").changed == 0
    before, after = (redraft.load(one).images for one in (folder, tmp_path / "out"))
    assert before is not None
    assert after is not None
    kept = after.encoder.state_dict()
    for name, tensor in before.encoder.state_dict().items():
        assert torch.equal(kept[name], tensor)
