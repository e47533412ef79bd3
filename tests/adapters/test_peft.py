"""Adapter files against PEFT on transformers' model: what each of the two reads and writes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

import redraft
from redraft.adapters import (
    LoraConfig,
    adapters_of,
    attach,
    detach,
    load_adapter,
    merge,
    save_adapter,
)
from redraft.errors import CheckpointError, MemoryLimitError
from redraft.network import DiffusionGemma
from tests.parity.reference import saved_reference

PREFIX = torch.tensor([2, 30, 40, 50, 60, 70])
ALL = ("attention", "dense", "experts", "self_conditioning")
DECODER = "base_model.model.model.decoder."
ENCODER = "base_model.model.model.encoder.language_model."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference") / "model"
    saved_reference(folder, 5)
    return folder


@pytest.fixture
def network(base: Path) -> DiffusionGemma:
    return redraft.load(base).network


def theirs(base: Path) -> Any:
    return DiffusionGemmaForBlockDiffusion.from_pretrained(base).eval()


@torch.no_grad()
def our_logits(network: DiffusionGemma) -> Tensor:
    shape = network.config
    canvas = torch.arange(3, 3 + shape.canvas_length)[None]
    cache = network.new_cache(len(PREFIX))
    network.encode([PREFIX], [cache])
    signal = torch.zeros(1, shape.canvas_length, shape.hidden_size)
    return network.logits(network.canvas_states(canvas, [cache], signal))


@torch.no_grad()
def their_logits(model: Any, shape: Any) -> Tensor:
    canvas = torch.arange(3, 3 + shape.canvas_length)[None]
    found: Tensor = model(input_ids=PREFIX[None], decoder_input_ids=canvas).logits
    return found


def adapted(network: DiffusionGemma, targets: tuple[str, ...], rank: int = 3) -> LoraConfig:
    """Attach an adapter with random updates."""
    config = LoraConfig(rank=rank, alpha=6, targets=targets)
    generator = torch.Generator().manual_seed(1)
    for weight in attach(network, config).values():
        with torch.no_grad():
            weight.lora_b.copy_(torch.randn(weight.lora_b.shape, generator=generator) * 0.3)
    return config


def near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() < 1e-4)


def test_a_fresh_adapter_changes_nothing_and_can_be_taken_off(network: DiffusionGemma) -> None:
    before = our_logits(network)
    attach(network, LoraConfig(rank=2, targets=ALL))
    assert torch.equal(our_logits(network), before)
    adapted_names = set(adapters_of(network))
    assert len(adapted_names) > 4
    detach(network)
    assert not adapters_of(network)
    assert torch.equal(our_logits(network), before)


@pytest.mark.parametrize("targets", [("attention", "dense"), ("experts",), ALL])
def test_peft_reads_our_file_as_we_computed_it(
    base: Path, network: DiffusionGemma, targets: tuple[str, ...], tmp_path: Path
) -> None:
    before = our_logits(network)
    config = adapted(network, targets)
    ours = our_logits(network)
    assert not near(ours, before)
    save_adapter(tmp_path, adapters_of(network), config, str(base))
    model = peft.PeftModel.from_pretrained(theirs(base), tmp_path)
    assert near(their_logits(model, network.config), ours)
    fresh = redraft.load(base).network
    load_adapter(tmp_path).attach(fresh)
    assert torch.equal(our_logits(fresh), ours)


def test_merging_adds_an_update_once_where_peft_adds_it_twice(
    base: Path, network: DiffusionGemma, tmp_path: Path
) -> None:
    config = adapted(network, ALL)
    ours = our_logits(network)
    save_adapter(tmp_path, adapters_of(network), config, str(base))
    merge(network)
    assert not adapters_of(network)
    assert near(our_logits(network), ours)
    doubled = peft.PeftModel.from_pretrained(theirs(base), tmp_path).merge_and_unload()
    assert not near(their_logits(doubled, network.config), ours)


def peft_file(base: Path, folder: Path, change: Any = lambda tensors: None) -> Tensor:
    """Write an adapter with PEFT; return its logits, unmerged."""
    sides = ("decoder", r"encoder\.language_model")
    pattern = rf"model\.({'|'.join(sides)})\.layers\.\d+\.(self_attn\.q_proj|mlp\.down_proj)"
    model: Any = peft.get_peft_model(
        theirs(base), peft.LoraConfig(r=2, lora_alpha=4, target_modules=pattern)
    )
    tensors = {name: tensor for name, tensor in model.named_parameters() if ".lora_" in name}
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in tensors.items():
            if "encoder" not in name:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
        for name, tensor in tensors.items():
            if "encoder" in name:
                tensor.copy_(tensors[name.replace("encoder.language_model", "decoder")])
    model.save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    written = load_file(file)
    change(written)
    save_file(written, file)
    return their_logits(model, redraft.load(base).config)


def test_peft_files_with_both_readings_alike_are_one_update(
    base: Path, network: DiffusionGemma, tmp_path: Path
) -> None:
    expected = peft_file(base, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_adapter(tmp_path).attach(network)
    assert near(our_logits(network), expected)


def test_a_file_of_the_decoder_alone_holds_for_both_readings(
    base: Path, network: DiffusionGemma, tmp_path: Path
) -> None:
    def decoder_only(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(ENCODER)]:
            del tensors[name]

    expected = peft_file(base, tmp_path, decoder_only)
    with pytest.warns(UserWarning, match="decoder's names alone"):
        load_adapter(tmp_path).attach(network)
    assert near(our_logits(network), expected)


def _different(tensors: dict[str, Tensor]) -> None:
    name = next(name for name in tensors if name.startswith(ENCODER))
    tensors[name] = tensors[name] + 1


def _encoder_only(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if name.startswith(DECODER)]:
        del tensors[name]


def _half(tensors: dict[str, Tensor]) -> None:
    del tensors[next(name for name in tensors if "lora_B" in name)]


def _foreign(tensors: dict[str, Tensor]) -> None:
    tensors["base_model.model.model.decoder.layers.0.mlp.up_proj.weight"] = torch.zeros(2)


def _vision(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if name.startswith(ENCODER)]:
        tensors[name.replace("language_model", "vision_tower")] = tensors.pop(name)


def _number(value: str) -> Any:
    def change(tensors: dict[str, Tensor]) -> None:
        next(iter(tensors.values()))[0, 0] = float(value)

    return change


def _integers(tensors: dict[str, Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = tensors[name].long()


def _flat(tensors: dict[str, Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = tensors[name].flatten().clone()


def _twice(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors[name.replace("q_proj", "q_proj.base_layer")] = tensors[name].clone()


@pytest.mark.parametrize(("change", "message"), [
    (_different, "different updates"),
    (_encoder_only, "for the encoder alone"),
    (_half, "only one of lora_A and lora_B"),
    (_foreign, "no tensor of a LoRA adapter"),
    (_vision, "image encoder"),
    (lambda tensors: tensors.clear(), "no update"),
    (_number("nan"), "holds NaN or infinity"),
    (_number("inf"), "holds NaN or infinity"),
    (_integers, "not a matrix of floats"),
    (_flat, "not a matrix of floats"),
    (_twice, "has two updates"),
])  # fmt: skip
def test_a_file_that_is_not_one_update_is_refused(
    base: Path, tmp_path: Path, change: Any, message: str
) -> None:
    peft_file(base, tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    ({"peft_type": "IA3"}, "only LoRA"),
    ({"use_dora": True}, "use_dora"),
    ({"bias": "all"}, "bias"),
    ({"r": 0}, "r=0"),
    ({"r": "two"}, "r='two'"),
    ({"rank_pattern": {"q_proj": 8}}, "one whole number"),
    ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern"),
    ({"lora_alpha": -1}, "alpha"),
    ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
    ({"init_lora_weights": "pissa_niter_4"}, "changes the base's weights"),
    ({"use_rslora": "no"}, "rslora"),
    ({"lora_alpha": "nan"}, "alpha"),
])  # fmt: skip
def test_what_is_not_plain_lora_is_refused_by_name(
    base: Path, tmp_path: Path, change: Mapping[str, Any], message: str
) -> None:
    peft_file(base, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load_adapter(tmp_path)


@pytest.mark.parametrize(("file", "content"), [
    ("adapter_config.json", b"[" * 100_000),
    ("adapter_config.json", b"\xff"),
    ("adapter_model.safetensors", b""),
    ("adapter_model.safetensors", b"\xff" * 64),
    ("adapter_model.safetensors", None),
    ("adapter_config.json", None),
])  # fmt: skip
def test_a_damaged_file_is_refused(
    base: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    peft_file(base, tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{file} (cannot be read|does not exist)"):
        load_adapter(tmp_path)


def test_a_rank_that_the_file_does_not_have_takes_no_memory(
    base: Path, network: DiffusionGemma, tmp_path: Path
) -> None:
    peft_file(base, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 10**12}))
    with pytest.raises(CheckpointError, match="another model"):
        load_adapter(tmp_path).attach(network)
    assert not adapters_of(network)


def test_a_file_that_there_is_no_memory_for_is_not_read(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peft_file(base, tmp_path)
    monkeypatch.setattr("redraft.adapters.load.free_memory", lambda device: 1000)
    with pytest.raises(MemoryLimitError, match="reading it takes 3 times"):
        load_adapter(tmp_path)


def test_an_adapter_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    peft_file(base, tmp_path / "adapter")
    saved_reference(tmp_path / "other", 6)
    other = redraft.load(tmp_path / "other").network
    with pytest.raises(redraft.RedraftError, match=r"another model|matches no weight"):
        load_adapter(tmp_path / "adapter").attach(other)
