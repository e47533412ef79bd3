from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import redraft
from redraft.checkpoint import load_weights, open_checkpoint
from redraft.errors import CheckpointError, ConfigError, TensorMismatchError, UnsafeFormatError
from redraft.testing import tiny_checkpoint, tiny_model


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "copy")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "sharded", max_shard_bytes=60_000)


def change(folder: Path, edit) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def same_weights(folder: Path) -> bool:
    loaded, made = redraft.load(folder).network.state_dict(), tiny_model().state_dict()
    return all(torch.equal(loaded[name], made[name]) for name in made)


def test_one_file_and_many_shards_load_alike(folder: Path, sharded: Path) -> None:
    assert len(list(sharded.glob("*.safetensors"))) > 4
    assert same_weights(folder)
    assert same_weights(sharded)


def test_loading_reports_progress(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    redraft.load(folder, progress=lambda n, of: seen.append((n, of)))
    assert seen == [(n, len(seen)) for n in range(1, len(seen) + 1)]
    assert len(seen) > 50


@pytest.mark.parametrize(
    ("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_dtype_is_what_was_asked_for(folder: Path, name: str, dtype: torch.dtype) -> None:
    network = redraft.load(folder, dtype=name).network
    assert {tensor.dtype for tensor in network.state_dict().values()} == {dtype}


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_widened_where_the_processor_has_none(
    tmp_path: Path, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_checkpoint(tmp_path, dtype=torch.bfloat16)
    monkeypatch.setattr("redraft.checkpoint.dtype.multiplies_bfloat16", lambda: fast)
    wanted = torch.bfloat16 if fast else torch.float32
    assert redraft.load(tmp_path).network.dtype == wanted
    assert redraft.load(tmp_path, dtype="bfloat16").network.dtype == torch.bfloat16
    monkeypatch.setattr("redraft.checkpoint.dtype.WIDENED", 1000)
    assert redraft.load(tmp_path).network.dtype == torch.bfloat16


def test_encoder_scalars_are_their_own(folder: Path) -> None:
    change(
        folder,
        lambda tensors: tensors["model.encoder.language_model.layers.1.layer_scalar"].fill_(0.25),
    )
    layer = redraft.load(folder).network.layers[1]
    assert float(layer.encoder_layer_scalar) == 0.25 != float(layer.layer_scalar)


def test_all_that_is_wrong_with_the_tensors_is_named_at_once(folder: Path) -> None:
    def edit(tensors) -> None:
        del (
            tensors["model.decoder.norm.weight"],
            tensors["model.encoder.language_model.layers.0.layer_scalar"],
        )
        tensors["model.decoder.layers.2.mlp.up_proj.weight"] = torch.zeros(3, 4)
        tensors["model.decoder.layers.0.dream.weight"] = torch.zeros(2)
        tensors["model.decoder.layers.1.router.scale"] = torch.zeros(32, dtype=torch.int8)

    change(folder, edit)
    with pytest.raises(TensorMismatchError) as caught:
        redraft.load(folder)
    assert len(caught.value.problems) == 5
    for said in ("norm.weight is missing", "encoder.language_model.layers.0.layer_scalar is missing",
                 "up_proj.weight has shape [3, 4], the config asks for [48, 32]", "dream.weight is unknown",
                 "router.scale is stored as I8"):  # fmt: skip
        assert said in str(caught.value)


def test_copies_of_shared_tensors_must_equal_their_originals(folder: Path) -> None:
    name = "model.encoder.language_model.layers.0.mlp.up_proj.weight"

    def edit(tensors) -> None:
        tensors[name] = tensors["model.decoder.layers.0.mlp.up_proj.weight"].clone()
        tensors["lm_head.weight"] = tensors["model.decoder.embed_tokens.weight"].clone()

    change(folder, edit)
    assert same_weights(folder)
    change(folder, lambda tensors: tensors[name].mul_(2))
    with pytest.raises(
        TensorMismatchError, match=r"differs from model\.decoder\.layers\.0\.mlp\.up_proj\.weight"
    ):
        redraft.load(folder)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    gone = sorted(sharded.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(TensorMismatchError, match=f"{gone.name} is missing"):
        redraft.load(sharded)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_shard_is_named(sharded: Path, kept: int) -> None:
    cut = sorted(sharded.glob("*.safetensors"))[1]
    cut.write_bytes(cut.read_bytes()[:kept])
    with pytest.raises(TensorMismatchError, match=f"{cut.name} is damaged or cut short"):
        redraft.load(sharded)


def test_broken_shards_and_wrong_tensors_are_named_together(sharded: Path) -> None:
    first, second, *_ = sorted(sharded.glob("*.safetensors"))
    lost = list(load_file(second))
    second.unlink()
    tensors = load_file(first)
    name = next(iter(tensors))
    tensors[name] = torch.zeros(3)
    save_file(tensors, first)
    with pytest.raises(TensorMismatchError) as caught:
        redraft.load(sharded)
    assert len(caught.value.problems) == 2
    assert f"{name} has shape [3]" in str(caught.value)
    assert all(other in str(caught.value) for other in lost)


def test_a_quantized_checkpoint_is_refused_by_its_method(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(raw | {"quantization_config": {"quant_method": "bitsandbytes"}})
    )
    with pytest.raises(CheckpointError, match="quantized by bitsandbytes"):
        redraft.load(folder)


def test_a_long_list_of_problems_is_cut_in_the_message_alone() -> None:
    error = TensorMismatchError("folder", [f"tensor {number} is missing" for number in range(250)])
    assert len(error.problems) == 250
    assert "and 150 more" in str(error)
    assert "tensor 150" not in str(error)


def test_a_tensor_that_the_index_misplaces_is_named(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    raw = json.loads(index.read_text())
    shards = sorted(set(raw["weight_map"].values()))
    raw["weight_map"]["model.decoder.norm.weight"] = shards[0]
    index.write_text(json.dumps(raw))
    with pytest.raises(TensorMismatchError, match=f"norm.weight is not in {shards[0]}"):
        redraft.load(sharded)


def test_an_index_that_points_outside_the_folder_is_refused(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside"):
        redraft.load(sharded)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_unread(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UnsafeFormatError, match=name):
        redraft.load(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "diffusion_gemma"}'])
def test_a_broken_config_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises((CheckpointError, ConfigError), match="config"):
        redraft.load(folder)


def test_a_place_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither an existing folder"):
        redraft.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="neither an existing folder"):
        redraft.load("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        redraft.load(tmp_path / "empty")


def test_a_hub_id_that_is_not_here_is_told_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        redraft.load("nobody/nothing")


def test_a_hub_id_is_found_offline_in_the_hubs_cache(checkpoint: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--someone--tiny"
    shutil.copytree(checkpoint, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    script = "import redraft; print(redraft.load('someone/tiny').config.vocab_size)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.strip() == "384"


def test_saving_overwrites_nothing(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="not an empty folder"):
        redraft.load(folder).save(folder)
    assert same_weights(folder)


def test_saving_keeps_settings_tokenizer_and_template(folder: Path, tmp_path: Path) -> None:
    model = redraft.load(folder)
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ("x",),
        "logit_bias": {7: 1.5},
        "entropy_bound": 0.3,
        "seed": 4,
    }
    model.generation_config = model.generation_config.with_options(options)
    for name in ("tokenizer.json", "chat_template.jinja"):
        (folder / name).unlink()  # all that is needed of them is in memory
    model.save(tmp_path / "saved")
    again = redraft.load(tmp_path / "saved")
    assert again.generation_config == model.generation_config
    assert (
        again.generate("hello", max_new_tokens=16).text
        == model.generate("hello", max_new_tokens=16).text
    )
    hello = [{"role": "user", "content": "hello"}]
    assert again.chat_prompt(hello) == model.chat_prompt(hello)


def test_named_templates_are_saved_too(folder: Path, tmp_path: Path) -> None:
    named = folder / "additional_chat_templates" / "tool_use.jinja"
    named.parent.mkdir()
    named.write_text("{{ messages[0].content }}")
    redraft.load(folder).save(tmp_path / "saved")
    again = redraft.load(tmp_path / "saved").chat_template
    assert again is not None
    assert again.named == {"tool_use": "{{ messages[0].content }}"}


def test_a_source_that_is_gone_is_told(folder: Path, tmp_path: Path) -> None:
    model = redraft.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="is gone"):
        model.save(tmp_path / "saved")


def test_a_file_in_the_way_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="not an empty folder"):
        redraft.load(folder).save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"sampler_config": [1]}, "sampler_config"),
        ({"sampler_config": {"_cls_name": "Other"}}, "Other"),
    ],
)
def test_another_sampler_is_refused(folder: Path, content: dict, said: str) -> None:
    (folder / "generation_config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=said):
        redraft.load(folder)


def test_sampling_options_are_read_without_the_other_file(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    (folder / "redraft_generation.json").write_text('{"temperature": 0.5}')
    config = redraft.load(folder).generation_config
    assert (config.temperature, config.eos_token_id) == (0.5, (1, 106))


def test_other_bad_input_is_told_too(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="nouser"):
        redraft.load("~nouser/x")
    with pytest.raises(ConfigError, match="int8"):
        redraft.load(folder, dtype=torch.int8)
    model = redraft.load(folder)
    with pytest.raises(redraft.RedraftError, match="surrogate"):
        model.stream("a\ud800")
    with pytest.raises(redraft.RedraftError, match="frozen"):
        model.stream([2, 3], frozen=5)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="UTF-8"):
        redraft.load(folder)


def test_null_eos_means_the_configs(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": null}')
    assert redraft.load(folder).generation_config.eos_token_id == (1, 106)


def test_a_device_that_is_not_here_is_told(folder: Path) -> None:
    for device in ("nonsense", "cuda:77"):
        with pytest.raises(ConfigError, match=device):
            redraft.load(folder, device=device)


def test_a_save_that_fails_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = redraft.load(folder)
    monkeypatch.setattr(
        "redraft.checkpoint.save.save_file",
        lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")),
    )
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path / "out" / "model")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_config_no_tokenizer_is_guessed(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "chat_template.jinja").unlink()
    model = redraft.load(folder)
    assert model.generate([2, 3], max_new_tokens=3, max_denoising_steps=1).text == ""
    with pytest.raises(redraft.RedraftError, match="no tokenizer"):
        model.stream("text")
    with pytest.raises(redraft.RedraftError, match="no chat template"):
        model.stream(messages=[{"role": "user", "content": "x"}])


MEASURE = """
import resource, sys
import torch
from redraft.checkpoint import load_weights, open_checkpoint
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
open_checkpoint(sys.argv[1])
before = peak()
model = load_weights(open_checkpoint(sys.argv[1]))
print(peak() - before, sum(t.nbytes for t in model.state_dict().values()), max(t.nbytes for t in model.state_dict().values()))
"""


def test_loading_takes_the_model_and_one_tensor_at_most(tmp_path: Path) -> None:
    folder = tiny_checkpoint(
        tmp_path / "big", max_shard_bytes=100_000_000, hidden_size=512, moe_intermediate_size=512, num_experts=16,
        intermediate_size=1024, vocab_size=30_000,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, check=True
    )
    grown, model, largest = map(int, done.stdout.split())
    assert model > 250_000_000
    # 16 MB for what Python itself takes meanwhile.
    assert grown <= model + largest + 16_000_000


def test_headers_alone_are_read_to_describe(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    assert checkpoint.tensors["model.decoder.embed_tokens.weight"].shape == (384, 32)
    assert load_weights(checkpoint).config == checkpoint.config


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"eos_token_id": [1, 5000]}),
        ("config.json", {"pad_token_id": 384}),
        ("config.json", {"bos_token_id": 10**6}),
        ("generation_config.json", {"eos_token_id": 4000}),
        ("generation_config.json", {"pad_token_id": 400}),
    ],
)
def test_token_ids_outside_the_vocabulary_are_refused(folder: Path, file: str, values) -> None:
    raw = json.loads((folder / file).read_text())
    (raw.get("text_config") or raw).update(values)
    (folder / file).write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="lies outside the vocabulary of 384"):
        redraft.load(folder)
