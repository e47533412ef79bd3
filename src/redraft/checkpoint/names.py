"""Tensor names: those in checkpoint files, and those of the network.

The file keeps one copy of what encoder and decoder share, under `model.decoder.`. Of the encoder it
stores only the layer scalars. Other writers may add copies of shared tensors; they are recognised.
The image encoder stands beside them; its names are the same in memory, behind a prefix.
"""

from __future__ import annotations

import re

from redraft.network.transformer import EMBEDDING

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
VISION_ROOT = "model.encoder."
VISION = (f"{VISION_ROOT}vision_tower.", f"{VISION_ROOT}embed_vision.")
HEAD = "lm_head."
# The network's fused experts, and the matrices of each expert where a file has them one by one.
EXPERTS = {"experts.gate_up_proj": ("gate_proj", "up_proj"), "experts.down_proj": ("down_proj",)}
_SCALAR = re.compile(r"(layers\.\d+\.)(encoder_)?layer_scalar")


def to_file(name: str) -> str:
    """Return the name in a file of a tensor of the network."""
    match = _SCALAR.fullmatch(name)
    if match and match[2]:
        return f"{ENCODER}{match[1]}layer_scalar"
    return DECODER + name


def is_vision(file_name: str) -> bool:
    """Return True if a tensor belongs to the image encoder."""
    return file_name.startswith(VISION)


def vision_to_file(name: str) -> str:
    """Return the name in a file of a tensor of the image encoder."""
    return VISION_ROOT + name


def shared_original(file_name: str) -> str | None:
    """Return the name of the original if a file's tensor is a copy of a shared one, else None."""
    if file_name.startswith(HEAD):
        return DECODER + EMBEDDING.removesuffix("weight") + file_name.removeprefix(HEAD)
    if file_name.startswith(ENCODER) and not _SCALAR.fullmatch(file_name.removeprefix(ENCODER)):
        return DECODER + file_name.removeprefix(ENCODER)
    return None


def stacked_bases(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the names, without a role, under which a file may have experts in tensors with one
    more dimension: MLX's layers of experts, with gate and up fused or apart.

    It is empty if the weight is not one of experts.
    """
    parts = fused_parts(name)
    base = to_file(name)
    prefix = base.rpartition(".")[0]
    bases: list[tuple[str, ...]] = [(base,)]
    for front in ("", "switch_glu."):
        apart = tuple(f"{prefix}.{front}{part}" for part in parts)
        if apart not in bases:
            bases.append(apart)
    return tuple(bases) if parts else ()


def fused_parts(name: str) -> tuple[str, ...]:
    """Return the names of the matrices of which each expert in a weight consists.

    It is empty if the weight is not one of experts.
    """
    return next((parts for end, parts in EXPERTS.items() if name.endswith(end)), ())
