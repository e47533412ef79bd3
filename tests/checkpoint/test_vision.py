"""Checkpoints with an image encoder, without one, and with a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import redraft
from redraft.checkpoint import Quantization, open_checkpoint
from redraft.checkpoint.memory_plan import plan_memory
from redraft.checkpoint.names import is_vision
from redraft.checkpoint.quantize_to_disk import quantized_copy, source_of
from redraft.checkpoint.shards import ShardReader
from redraft.checkpoint.vision import plan_vision, vision_parameters
from redraft.config.presets import RELEASED_VISION
from redraft.config.vision import (
    VISION_STUB,
    VisionConfig,
    vision_config_from_dict,
    vision_config_to_dict,
)
from redraft.errors import (
    CheckpointError,
    ConfigError,
    ImageError,
    MemoryLimitError,
    TensorMismatchError,
)
from redraft.testing import tiny_checkpoint, tiny_encoder
from redraft.testing.tiny import tiny_vision_config

Config, Tensors = dict[str, Any], dict[str, Tensor]
BIAS = "model.encoder.vision_tower.std_bias"
# `vision_config` of the released checkpoint.
RELEASE = {
    "model_type": "gemma4_vision",
    "num_hidden_layers": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 72,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
    "patch_size": 16,
    "pooling_kernel_size": 3,
    "position_embedding_size": 10240,
    "default_output_length": 280,
    "standardize": True,
    "use_clipped_linears": False,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "max_position_embeddings": 131072,
    "initializer_range": 0.02,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", 1, vision=tiny_encoder(2))


def rewrite(folder: Path, change: Callable[[Config, Tensors], None]) -> None:
    path, weights = folder / "config.json", folder / "model.safetensors"
    config, tensors = json.loads(path.read_text()), load_file(weights)
    change(config, tensors)
    path.write_text(json.dumps(config))
    save_file(tensors, weights, metadata={"format": "pt"})


def test_the_released_shape_is_read() -> None:
    assert vision_config_from_dict(RELEASE) == RELEASED_VISION
    axial = RELEASE | {"rope_parameters": {"rope_type": "axial", "rope_theta": 100.0}}
    assert vision_config_from_dict(axial) == RELEASED_VISION
    assert vision_config_from_dict(vision_config_to_dict(RELEASED_VISION)) == RELEASED_VISION
    assert vision_parameters(RELEASED_VISION, 2816) == 572_794_416


@pytest.mark.parametrize("name", sorted({*RELEASE} - {
    "use_clipped_linears", "attention_bias", "attention_dropout", "max_position_embeddings",
    "initializer_range", "default_output_length",
}))  # fmt: skip
def test_nothing_is_filled_in(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        vision_config_from_dict({key: value for key, value in RELEASE.items() if key != name})


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "siglip_vision_model"},
        {"head_dim": 70},
        {"num_key_value_heads": 8},
        {"hidden_size": 0},
        {"hidden_size": "1152"},
        {"hidden_activation": 3},
        {"standardize": 1},
        {"rms_norm_eps": float("nan")},
        {"attention_bias": True},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1.0, "factor": 2}},
        {"rope_parameters": [1]},
        {"default_output_length": 1121},
    ],
)
def test_shapes_that_cannot_be_are_refused(change: Config) -> None:
    with pytest.raises(ConfigError):
        vision_config_from_dict(RELEASE | change)


def test_an_unknown_activation_is_refused(folder: Path) -> None:
    rewrite(folder, lambda config, _: config["vision_config"].update(hidden_activation="mish"))
    with pytest.raises(ConfigError, match="mish"):
        redraft.load(folder)


def test_it_comes_back_from_a_copy_and_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    model = redraft.load(folder)
    assert model.images is not None
    model.save(tmp_path / "again")
    again = redraft.load(tmp_path / "again")
    assert again.images is not None
    wanted, found = (one.images.encoder.state_dict() for one in (model, again))  # type: ignore[union-attr]
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    text = redraft.load(folder, vision=False)
    assert text.images is None
    with pytest.raises(ImageError, match="--no-vision"):
        text.image_features(torch.zeros(8, 8, 3, dtype=torch.uint8))
    text.save(tmp_path / "third")  # the files still have it
    assert redraft.load(tmp_path / "third").images is not None
    with pytest.raises(ConfigError, match="vision"):
        redraft.load(folder, vision="no")  # type: ignore[arg-type]


def test_it_stays_wide_beside_quantized_weights(folder: Path, tmp_path: Path) -> None:
    source = open_checkpoint(folder)
    for model in (redraft.load(folder, dtype="int8"), None):
        if model is None:
            with ShardReader(source.tensors) as reader:
                quantized_copy(source_of(source, reader), tmp_path / "q", Quantization("int8"))
            model = redraft.load(tmp_path / "q")
        assert model.images is not None
        kinds = {tensor.dtype for tensor in model.images.encoder.state_dict().values()}
        assert kinds <= {torch.bfloat16, torch.float32}
        image = torch.randint(0, 256, (30, 40, 3), dtype=torch.uint8)
        part = {"type": "image", "image": image.numpy()}
        talk = [{"role": "user", "content": [part]}]
        assert model.generate(messages=talk, max_new_tokens=4, max_denoising_steps=2).tokens


def test_a_stub_is_no_image_encoder(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "text", 1)
    assert any(map(is_vision, open_checkpoint(folder).tensors))
    model = redraft.load(folder)
    assert model.images is None
    assert "saved without an image encoder" in model.no_images


def test_files_without_its_tensors_are_text_alone(folder: Path) -> None:
    def change(_: Config, tensors: Tensors) -> None:
        for name in list(filter(is_vision, tensors)):
            del tensors[name]

    rewrite(folder, change)
    assert "lacks the tensors" in redraft.load(folder).no_images


def wrong_shape(_: Config, tensors: Tensors) -> None:
    tensors[BIAS] = torch.zeros(25)


def missing(_: Config, tensors: Tensors) -> None:
    del tensors[BIAS]


def unknown(_: Config, tensors: Tensors) -> None:
    tensors["model.encoder.vision_tower.extra"] = torch.zeros(2)


def clipped_without_limits(config: Config, _: Tensors) -> None:
    config["vision_config"]["use_clipped_linears"] = True


def quantized(_: Config, tensors: Tensors) -> None:
    tensors[BIAS] = torch.zeros(24, dtype=torch.int8)


@pytest.mark.parametrize(
    "change", [wrong_shape, missing, unknown, clipped_without_limits, quantized]
)
def test_tensors_that_are_not_those_of_the_config_are_named(
    folder: Path, change: Callable[[Config, Tensors], None]
) -> None:
    rewrite(folder, change)
    with pytest.raises(TensorMismatchError, match="vision_tower"):
        redraft.load(folder)
    assert redraft.load(folder, vision=False).images is None


def without_config(config: Config) -> None:
    del config["vision_config"]


def without_image_token(config: Config) -> None:
    del config["image_token_id"]


def image_token_outside(config: Config) -> None:
    config["image_token_id"] = 384


def one_token_twice(config: Config) -> None:
    config["eoi_token_id"] = config["boi_token_id"]


@pytest.mark.parametrize(
    "change", [without_config, without_image_token, image_token_outside, one_token_twice]
)
def test_a_config_that_gives_images_no_place_is_refused(
    folder: Path, change: Callable[[Config], None]
) -> None:
    rewrite(folder, lambda config, _: change(config))
    with pytest.raises(ConfigError, match="no-vision"):
        redraft.load(folder)
    assert redraft.load(folder, vision=False).images is None


def test_nan_in_a_small_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda _, tensors: tensors[BIAS].fill_(float("nan")))
    with pytest.raises(CheckpointError, match="std_bias"):
        redraft.load(folder)


def test_memory_counts_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(folder)
    vision = plan_vision(checkpoint).config
    assert isinstance(vision, VisionConfig)
    text, whole = (
        plan_memory(checkpoint.config, checkpoint, context=64, batch=1, vision=one)
        for one in (None, vision)
    )
    count = vision_parameters(vision, 32)
    assert whole.memory.image_encoder == 4 * count
    assert whole.memory.total > text.memory.total
    assert whole.parameters["image encoder"] == count
    free = text.memory.weights + whole.memory.image_encoder - 1
    monkeypatch.setattr("redraft.checkpoint.memory_check.free_memory", lambda _: free)
    with pytest.raises(MemoryLimitError, match="image encoder"):
        redraft.load(folder)
    assert redraft.load(folder, vision=False)


def test_the_stub_is_not_the_shape_of_a_real_one() -> None:
    assert vision_config_to_dict(tiny_vision_config()).items() & VISION_STUB.items() != VISION_STUB
