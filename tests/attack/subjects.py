"""Subjects: for each reader the folders, intact, that an attack damages. Each is tiny."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import torch

from redraft.adapters.config import LoraConfig
from redraft.api import load
from redraft.testing import tiny_checkpoint, tiny_encoder, tiny_model
from tests.checkpoint import gguf_files, test_formats, test_gptq

Kind = gguf.GGMLQuantizationType
Make = Callable[[Path], object]
FEW: dict[str, Any] = {"num_hidden_layers": 2, "num_experts": 2}


def mlx(said: str) -> Make:
    def make(folder: Path) -> None:
        from tests.checkpoint import mlx_files

        mlx_files.write(folder, mlx_files.SETTINGS[said], num_experts=2)

    return make


def packed(case: str) -> Make:
    return lambda folder: test_gptq.write(folder, *test_gptq.CASES[case])


def formats(name: str) -> Make:
    return lambda folder: test_formats.write(folder, name, **FEW)


def gguf_file(kinds: Sequence[Kind], split: int = 0) -> Make:
    def make(folder: Path) -> None:
        folder.mkdir()
        shape = gguf_files.WIDE | {"num_experts": 2}
        names = [gguf_files.to_gguf(name) for name in tiny_model(**shape).state_dict()]
        chosen = {name: kinds[at % len(kinds)] for at, name in enumerate(names)}
        model = tiny_model(**shape)
        gguf_files.write(folder / "model.gguf", chosen.__getitem__, split=split, model=model)

    return make


def images(folder: Path) -> None:
    tiny_checkpoint(folder, vision=tiny_encoder(1, num_hidden_layers=1), **FEW)


def shards(folder: Path) -> None:
    tiny_checkpoint(folder, max_shard_bytes=60_000, **FEW)


def texts(folder: Path) -> None:
    """The files around the weights, which are not damaged."""
    shipped = Path(__file__).parents[2] / "src" / "redraft" / "small" / "text"
    tiny_checkpoint(folder, **FEW)
    (folder / "only_texts").touch()
    shutil.copy(shipped / "model_card.json", folder)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "other.jinja").write_text("{{ messages }}")
    (folder / "processor_config.json").write_text('{"chat_template": "x", "image_seq_length": 280}')
    (folder / "chat_template.json").write_text('{"chat_template": "{{ messages[0].content }}"}')
    (folder / "special_tokens_map.json").write_text('{"bos_token": {"content": "<bos>"}}')
    (folder / "added_tokens.json").write_text('{"<bos>": 2}')
    (folder / "redraft_generation.json").write_text('{"temperature": 0.5, "top_k": 3}')


def older_texts(folder: Path) -> None:
    """The same without chat_template.jinja, which goes before other files' templates."""
    texts(folder)
    (folder / "chat_template.jinja").unlink()
    shutil.rmtree(folder / "additional_chat_templates")


def adapter(folder: Path) -> None:
    base = tiny_checkpoint(folder / "base", **FEW)
    model = load(base)
    _write_adapter(model, folder)


def _write_adapter(model: Any, folder: Path) -> None:
    from redraft.adapters.attach import attach
    from redraft.adapters.files import save_adapter

    config = LoraConfig(rank=2, targets=("attention", "dense", "experts"))
    adapted = attach(model.network, config)
    for weight in adapted.values():
        with torch.no_grad():
            weight.lora_b.normal_()
    save_adapter(folder, adapted, config, "base")


MLX = ("affine 3", "affine 4", "affine 8", "mxfp4", "mxfp8", "nvfp4")
INTEGERS = ("gptq", "gptq 3 bits", "gptq act-order", "awq", "auto-round")
SUBJECTS: dict[str, tuple[Make, ...]] = {
    "safetensors": (lambda folder: tiny_checkpoint(folder, **FEW), images),
    "safetensors in shards": (shards,),
    "compressed-tensors": tuple(
        map(formats, ("fp8", "int8", "int8 packed", "int4", "int4 lopsided", "nvfp4"))
    ),
    "modelopt": (formats("modelopt"),),
    "mx": tuple(map(formats, ("mxfp4", "mxfp8"))),
    "fp8 blocks": tuple(map(formats, ("fp8 blocks", "fp8 deepseek"))),
    "mlx": tuple(map(mlx, MLX)),
    **{name: (packed(name),) for name in INTEGERS},
    "gguf": (
        gguf_file((Kind.Q4_K, Kind.Q5_0, Kind.Q6_K, Kind.Q8_0, Kind.BF16)),
        gguf_file((Kind.Q2_K, Kind.Q3_K, Kind.Q4_1, Kind.Q5_1, Kind.Q5_K)),
        gguf_file(gguf_files.FEWER),
    ),
    "gguf in parts": (gguf_file((Kind.Q8_0, Kind.Q4_0, Kind.F16), split=20),),
    "adapters": (adapter,),
    "texts": (texts, older_texts),
}  # fmt: skip
