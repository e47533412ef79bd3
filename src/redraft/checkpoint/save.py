"""Write a checkpoint in the Hugging Face layout, so that redraft and transformers both load it
whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.names import is_vision, to_file
from redraft.checkpoint.shards import INDEX, SINGLE, read_tensors
from redraft.checkpoint.source import SAMPLING_FILE, Checkpoint
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.errors import CheckpointError
from redraft.network import DiffusionGemma
from redraft.quant import PackedWeight

# transformers always builds an image encoder, by default one of 167 M parameters. A text-only
# checkpoint carries this one, # of a few hundred numbers, so that nothing is missing when it loads
# there.
VISION_STUB: dict[str, Any] = {
    "model_type": "gemma4_vision",
    "hidden_size": 4,
    "intermediate_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "patch_size": 1,
    "position_embedding_size": 1,
}
CARRIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "processor_config.json",
)


def save_checkpoint(
    folder: str | Path,
    model: DiffusionGemma,
    generation_config: GenerationConfig,
    *,
    source: Checkpoint | None = None,
    companion: Callable[[Path], None] | None = None,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config, generation config, weights, and from `source` its tokenizer files and image
    encoder.

    The folder appears whole or not at all: everything is written beside it and moved into place at
    the end; `companion` may add files of its own before that.

    Raises:
        CheckpointError: the folder exists and is not empty, what is to be copied from the source is
            gone, or weights are in few bits.
    """
    if not isinstance(model.embed_tokens.weight, Tensor) or any(
        isinstance(part, PackedWeight) for part in model.modules()
    ):
        raise CheckpointError(
            "weights in few bits are not saved from memory: `redraft quantize` writes them from the original"
        )
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(
            f"{target} is not an empty folder: nothing there is overwritten, name another"
        )
    if source and any(map(is_vision, source.tensors)) and not source.folder.is_dir():
        raise CheckpointError(
            f"{source.folder} is gone, and with it the image encoder that belongs into the copy"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        draft = Path(name) / "checkpoint"
        draft.mkdir()
        config, vision = _vision(model.config, source)
        write_json(
            draft / "config.json",
            model_config_to_dict(config) | {"dtype": str(model.dtype).split(".")[1]},
        )
        write_json(draft / "generation_config.json", generation_config.to_dict())
        if sampling := generation_config.sampling_to_dict():
            write_json(draft / SAMPLING_FILE, sampling)
        for carried in CARRIED if source else ():
            if source and (source.folder / carried).exists():
                shutil.copy2(source.folder / carried, draft / carried)
        if companion:
            companion(draft)
        _write_shards(draft, _tensors(model, vision), max_shard_bytes)
        if target.exists():
            target.rmdir()
        os.replace(draft, target)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented JSON with a newline at its end."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _vision(
    config: ModelConfig, source: Checkpoint | None
) -> tuple[ModelConfig, Iterator[tuple[str, Tensor]]]:
    """The config with an image encoder in it, and that encoder's tensors: the source's, or the
    stub's."""
    if source is not None and any(map(is_vision, source.tensors)):
        kept = {name: info for name, info in source.tensors.items() if is_vision(name)}
        return config, read_tensors(kept)
    outside = config.vocab_size  # ids no text can contain
    stubbed = replace(
        config,
        vision_config=VISION_STUB,
        image_token_id=config.image_token_id or outside,
        boi_token_id=config.boi_token_id or outside + 1,
        eoi_token_id=config.eoi_token_id or outside + 2,
    )
    return stubbed, iter(_stub_tensors(config.hidden_size).items())


def _stub_tensors(hidden_size: int) -> dict[str, Tensor]:
    tower, size = "model.encoder.vision_tower.", VISION_STUB["hidden_size"]
    layer = f"{tower}encoder.layers.0."
    norms = "input_layernorm post_attention_layernorm pre_feedforward_layernorm post_feedforward_layernorm"
    heads = "self_attn.q_norm self_attn.k_norm"
    linears = "mlp.gate_proj mlp.up_proj mlp.down_proj self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj"
    return {
        "model.encoder.embed_vision.embedding_projection.weight": torch.zeros(hidden_size, size),
        f"{tower}patch_embedder.input_proj.weight": torch.zeros(
            size, 3 * VISION_STUB["patch_size"] ** 2
        ),
        f"{tower}patch_embedder.position_embedding_table": torch.ones(
            2, VISION_STUB["position_embedding_size"], size
        ),
        **{f"{layer}{name}.weight": torch.ones(size) for name in (norms + " " + heads).split()},
        **{f"{layer}{name}.linear.weight": torch.zeros(size, size) for name in linears.split()},
    }


def _tensors(
    model: DiffusionGemma, vision: Iterator[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in model.state_dict().items():
        yield to_file(name), tensor.detach().to("cpu").contiguous()
    for name, tensor in vision:
        yield name, tensor.to(model.dtype).contiguous()


def _write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]], max_bytes: int) -> None:
    """Shards of at most `max_bytes` (a larger tensor has one to itself), and an index where there
    are several."""
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        save_file(pending, folder / f"shard-{len(shards)}", metadata={"format": "pt"})
        shards.append(list(pending))
        pending.clear()

    for name, tensor in tensors:
        if pending and sum(t.nbytes for t in pending.values()) + tensor.nbytes > max_bytes:
            flush()
        pending[name] = tensor
        total += tensor.nbytes
    flush()
    if len(shards) == 1:
        os.replace(folder / "shard-0", folder / SINGLE)
        return
    placed: dict[str, str] = {}
    for number, names in enumerate(shards):
        final = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        os.replace(folder / f"shard-{number}", folder / final)
        placed |= dict.fromkeys(names, final)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": placed})
