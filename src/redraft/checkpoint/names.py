"""Tensor names: the checkpoint's on one side, the model's on the other.

The file keeps one copy of what encoder and decoder share, under `model.decoder.`; of the encoder it
stores only the layer scalars. Copies of shared tensors that other writers add are known as such,
and the vision tower is known but not run.
"""

from __future__ import annotations

import re

DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")
HEAD = "lm_head.weight"
# Fused experts of the model, and the matrices of each expert where a file has them one by one.
EXPERTS = {"experts.gate_up_proj": ("gate_proj", "up_proj"), "experts.down_proj": ("down_proj",)}
_SCALAR = re.compile(r"(layers\.\d+\.)(encoder_)?layer_scalar")


def to_file(name: str) -> str:
    """The file's name of a tensor of DiffusionGemma."""
    match = _SCALAR.fullmatch(name)
    if match and match[2]:
        return f"{ENCODER}{match[1]}layer_scalar"
    return DECODER + name


def is_vision(file_name: str) -> bool:
    """Whether a tensor belongs to the image encoder."""
    return file_name.startswith(VISION)


def shared_original(file_name: str) -> str | None:
    """The name under which the file keeps the original of a shared tensor, where `file_name` is a
    copy of one."""
    if file_name == HEAD:
        return f"{DECODER}embed_tokens.weight"
    if file_name.startswith(ENCODER) and not _SCALAR.fullmatch(file_name.removeprefix(ENCODER)):
        return DECODER + file_name.removeprefix(ENCODER)
    return None
