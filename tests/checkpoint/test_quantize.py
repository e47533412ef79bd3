"""A quantized copy: its weights, that it goes on after an interrupt, and that it loads anywhere."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

import redraft
import redraft.checkpoint.quantize_to_disk as quantized
from redraft.checkpoint import Quantization, open_checkpoint
from redraft.checkpoint.memory_check import stored_bytes, weight_bytes
from redraft.checkpoint.quantize_to_disk import quantized_copy, source_of
from redraft.checkpoint.shards import ShardReader
from redraft.config.presets import PRESETS
from redraft.errors import CheckpointError, ConfigError, MemoryLimitError
from redraft.network.memory_estimate import _left_in_cgroup
from redraft.quant import ExpertList, Int4Weight, Int8Table, Int8Weight, PackedWeight
from redraft.testing import tiny_checkpoint
from tests.checkpoint.test_formats import SHAPE, logits

PROMPT = [2, *range(30, 60)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(
        tmp_path_factory.mktemp("original") / "model", **SHAPE, dtype=torch.bfloat16
    )


def copy(original: Path, out: Path, quantization: Quantization, **options: Any) -> Any:
    checkpoint = open_checkpoint(original)
    with ShardReader(checkpoint.tensors) as reader:
        return quantized_copy(source_of(checkpoint, reader), out, quantization, **options)


@pytest.mark.parametrize("name", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("embedding", [None, "int8"])
def test_a_copy_is_what_is_quantized_while_it_loads(
    name: str, embedding: str | None, original: Path, tmp_path: Path
) -> None:
    quantization = Quantization(name, 32, embedding)
    summary = copy(original, tmp_path / "copy", quantization)
    assert summary.kept == ()
    for dtype in ("bfloat16", "float32") if name != "int4" else ("bfloat16",):
        stored = redraft.load(summary.folder, dtype=dtype).network
        if dtype == "bfloat16":
            direct = redraft.load(original, dtype=quantization).network
            assert torch.equal(logits(stored, PROMPT), logits(direct, PROMPT))
            assert {key: part.dtype for key, part in stored.state_dict().items()} == {
                key: part.dtype for key, part in direct.state_dict().items()
            }
    experts: Any = stored.layers[1].experts
    assert isinstance(experts.gate_up_proj, ExpertList)
    assert isinstance(stored.embed_tokens.weight, Int8Table) == (embedding is not None)
    whole: Any = [
        module.weight
        for key, module in stored.named_modules()
        if key.endswith(("router.proj", "self_conditioning.up_proj"))
    ]
    assert not any(isinstance(weight, PackedWeight) for weight in whole)


def test_a_copy_is_read_by_the_formats_own_library(original: Path, tmp_path: Path) -> None:
    copy(original, tmp_path / "copy", Quantization("int4", 32))
    said = json.loads((tmp_path / "copy" / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig.model_validate(said)
    made: Any = config.config_groups["group_0"]
    tensors = load_file(tmp_path / "copy" / "model-00001.safetensors")
    base = "model.decoder.layers.0.mlp.up_proj."
    parts = {key.removeprefix(base): part for key, part in tensors.items() if key.startswith(base)}
    compressor: Any = BaseCompressor.get_value_from_registry(said["format"])
    theirs = compressor.decompress(parts, made)["weight"]
    ours: Any = redraft.load(tmp_path / "copy").network.layers[0].mlp.up_proj.weight
    assert isinstance(ours, Int4Weight)
    assert torch.equal(ours.dequantize(), theirs)
    assert "model.decoder.layers.0.router.proj" in said["ignore"]


def test_a_copy_that_was_killed_goes_on_where_it_stopped(original: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from tests.checkpoint.test_quantize import copy\n"
        "from redraft.checkpoint import Quantization\n"
        "from pathlib import Path\n"
        "slowly = lambda *_: time.sleep(0.02)\n"
        "copy(Path(sys.argv[1]), Path(sys.argv[2]), Quantization('int8'), max_shard_bytes=30_000, progress=slowly)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(original), str(tmp_path / "copy")])
    partial = tmp_path / "copy.partial"
    while len(list(partial.glob("*.safetensors"))) < 3:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "copy").exists()
    known = json.loads((partial / "quantizing.json").read_text())[
        "shards"
    ]  # one more may be there, of which it is not said
    made = {path: path.stat().st_mtime_ns for path in (partial / one["file"] for one in known)}
    broken = sorted(made)[0]
    broken.write_bytes(broken.read_bytes()[:-1])  # a shard that is not what it was is made anew
    with pytest.raises(CheckpointError, match="other settings"):
        copy(original, tmp_path / "copy", Quantization("fp8"), max_shard_bytes=30_000)
    with pytest.raises(CheckpointError, match="another source or with other settings"):
        copy(
            original,
            tmp_path / "copy",
            Quantization("int8", embedding="int8"),
            max_shard_bytes=30_000,
        )
    copy(original, tmp_path / "copy", Quantization("int8"), max_shard_bytes=30_000)
    kept = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "copy").glob("*.safetensors")
    }
    assert all(kept[path.name] == time for path, time in made.items() if path != broken)
    assert not partial.exists()
    direct = redraft.load(original, dtype="int8").network
    assert torch.equal(
        logits(redraft.load(tmp_path / "copy").network, PROMPT), logits(direct, PROMPT)
    )
    for line in (tmp_path / "copy" / "checksums.sha256").read_text().splitlines():
        found, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "copy" / name).read_bytes()).hexdigest() == found


def test_rows_that_do_not_divide_into_groups_stay_whole_and_are_told(
    original: Path, tmp_path: Path
) -> None:
    summary = copy(original, tmp_path / "copy", Quantization("int4", 64))
    assert summary.kept == tuple(f"layers.{number}.experts.down_proj" for number in range(4))
    assert isinstance(
        redraft.load(tmp_path / "copy").network.layers[0].experts.down_proj, torch.Tensor
    )


def test_what_cannot_be_done_is_refused_before_anything_is_written(
    original: Path, tmp_path: Path
) -> None:
    copy(original, tmp_path / "copy", Quantization("int8"))
    with pytest.raises(CheckpointError, match="quantize the original"):
        copy(tmp_path / "copy", tmp_path / "again", Quantization("int4", 32))
    with pytest.raises(CheckpointError, match="not an empty folder"):
        copy(original, tmp_path / "copy", Quantization("int8"))
    assert not (tmp_path / "again.partial").exists()
    for wrong in (
        {"format": "int3"},
        {"format": "int4", "group": 48},
        {"format": "int8", "embedding": "int4"},
    ):
        with pytest.raises(ConfigError):
            Quantization(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="int8, int4, fp8"):
        redraft.load(original, dtype="int3")


def test_a_quantized_model_is_not_saved_as_if_it_were_whole(original: Path, tmp_path: Path) -> None:
    model = redraft.load(original, dtype="int8")
    with pytest.raises(CheckpointError, match="redraft quantize"):
        model.save(tmp_path / "saved")


def test_memory_is_told_before_it_is_taken(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("int8", "int4", "fp8"):
        quantization = Quantization(name, 32, "int8")
        network = redraft.load(original, dtype=quantization).network
        taken = sum(part.nbytes for part in network.state_dict().values())
        assert taken == pytest.approx(
            weight_bytes(network.config, torch.bfloat16, quantization), rel=0.02
        )
        assert taken == weight_bytes(network.config, torch.bfloat16, quantization)
        folder = copy(original, tmp_path / name, quantization).folder
        assert stored_bytes(open_checkpoint(folder), torch.bfloat16) == taken
        assert stored_bytes(open_checkpoint(folder), torch.bfloat16) == pytest.approx(
            taken, rel=0.1
        )
    assert isinstance(network.layers[0].self_attn.q_proj.weight, PackedWeight)
    whole = weight_bytes(PRESETS["26b"], torch.bfloat16)
    assert 50e9 < whole < 52e9
    assert (
        14e9 < weight_bytes(PRESETS["26b"], torch.bfloat16, Quantization("int4", 64, "int8")) < 15e9
    )
    free = weight_bytes(network.config, torch.bfloat16, Quantization("int8")) + 1000
    monkeypatch.setattr("redraft.checkpoint.memory_check.free_memory", lambda _: free)
    with pytest.raises(
        MemoryLimitError, match=r"GiB and cpu has .* free: load it as int8 .* or int4"
    ):
        redraft.load(original)
    assert isinstance(
        redraft.load(original, dtype="int8").network.layers[0].mlp.up_proj.weight, Int8Weight
    )


@pytest.mark.parametrize("fails", ["first shard", "last move"])
def test_a_copy_goes_on_from_wherever_it_was_killed(
    fails: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if fails == "first shard":
            patch.setattr(quantized, "save_file", killed)
        else:
            real = os.replace
            patch.setattr(
                os,
                "replace",
                lambda a, b: killed() if Path(b).name == "copy" else real(a, b),
            )
        with pytest.raises(KeyboardInterrupt):
            copy(original, tmp_path / "copy", Quantization("int8"))
    (tmp_path / "copy.partial" / "model-00009.safetensors.draft").write_bytes(b"half a shard")
    copy(original, tmp_path / "copy", Quantization("int8"))
    assert {path.suffix for path in (tmp_path / "copy").iterdir()} == {
        ".json",
        ".jinja",
        ".safetensors",
        ".sha256",
    }
    assert not (tmp_path / "copy" / "quantizing.json").exists()
    redraft.load(tmp_path / "copy")


def test_a_full_disk_is_told_and_the_copy_goes_on(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(quantized, "save_file", full)
        with pytest.raises(CheckpointError, match=r"No space left.* goes on from copy\.partial"):
            copy(original, tmp_path / "copy", Quantization("int8"))
    assert copy(original, tmp_path / "copy", Quantization("int8")).bytes > 0


def test_another_original_of_the_same_name_is_not_mixed_into_a_copy(
    original: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(original, tmp_path / "model")
    partial = tmp_path / "copy.partial"
    copy(mine, tmp_path / "copy", Quantization("int8"), max_shard_bytes=30_000)
    (tmp_path / "copy").rename(partial)
    settings = {"source": "another", "most": 30_000} | Quantization("int8").to_dict()
    (partial / "quantizing.json").write_text(json.dumps({"settings": settings, "shards": []}))
    with pytest.raises(CheckpointError, match="another source"):
        copy(mine, tmp_path / "copy", Quantization("int8"), max_shard_bytes=30_000)


def test_what_is_in_few_bits_already_is_counted_as_it_is(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = open_checkpoint(copy(original, tmp_path / "fp8", Quantization("fp8")).folder)
    assert stored_bytes(stored, torch.bfloat16, Quantization("int4", 32)) == stored_bytes(
        stored, torch.bfloat16
    )
    monkeypatch.setattr(
        "redraft.checkpoint.memory_check.free_memory",
        lambda _: stored_bytes(stored, torch.bfloat16) - 1,
    )
    for dtype in ("auto", "int4"):
        with pytest.raises(MemoryLimitError, match="no format here makes it fit"):
            redraft.load(tmp_path / "fp8", dtype=dtype)


@pytest.mark.parametrize("name", ["int8", "int4", "fp8"])
def test_nothing_of_a_model_is_a_part_of_its_file(
    name: str, original: Path, tmp_path: Path
) -> None:
    folder = copy(original, tmp_path / "copy", Quantization(name, 32)).folder
    model = redraft.load(folder, dtype="bfloat16")
    before = logits(model.network, PROMPT)
    for path in folder.glob("*.safetensors"):
        with path.open("r+b") as file:
            file.seek(-path.stat().st_size // 2, os.SEEK_END)
            file.write(b"\xff" * (path.stat().st_size // 2))
    assert torch.equal(logits(model.network, PROMPT), before)


def test_a_containers_limit_is_what_is_left_of_it(tmp_path: Path) -> None:
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 5\ninactive_file 100\n"),
    ):
        (tmp_path / name).write_text(text)
    assert _left_in_cgroup(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_in_cgroup(tmp_path) == math.inf
    assert _left_in_cgroup(tmp_path / "none") == math.inf
