"""The released checkpoint's tensor names, without its weights."""

from __future__ import annotations

import torch

from redraft.checkpoint.names import is_vision, shared_original, to_file
from redraft.config.file import model_config_from_dict
from redraft.network import DiffusionGemma
from tests.config.test_model_config import released

# 1,047 tensors in the released file, 356 of them of the image encoder: 27 layers of 13, and five
# beside.
TEXT_TENSORS = 1047 - (27 * 13 + 5)


def test_the_26b_has_the_released_names_and_shapes() -> None:
    with torch.device("meta"):
        model = DiffusionGemma(model_config_from_dict(released()))
    shapes = {to_file(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(shapes) == TEXT_TENSORS
    decoder = "model.decoder."
    expected = {
        f"{decoder}embed_tokens.weight": (262144, 2816),
        f"{decoder}norm.weight": (2816,),
        f"{decoder}self_conditioning.pre_norm.weight": (2816,),
        f"{decoder}self_conditioning.down_proj.weight": (2816, 2112),
        f"{decoder}layers.0.experts.gate_up_proj": (128, 1408, 2816),
        f"{decoder}layers.29.experts.down_proj": (128, 2816, 704),
        f"{decoder}layers.7.router.proj.weight": (128, 2816),
        f"{decoder}layers.7.router.scale": (2816,),
        f"{decoder}layers.7.router.per_expert_scale": (128,),
        f"{decoder}layers.4.self_attn.v_proj.weight": (8 * 256, 2816),
        f"{decoder}layers.5.self_attn.q_proj.weight": (16 * 512, 2816),
        f"{decoder}layers.5.self_attn.k_proj.weight": (2 * 512, 2816),
        f"{decoder}layers.5.self_attn.k_norm.weight": (512,),
        f"{decoder}layers.3.post_feedforward_layernorm_2.weight": (2816,),
        f"{decoder}layers.3.layer_scalar": (1,),
        "model.encoder.language_model.layers.3.layer_scalar": (1,),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    without_values = [
        n for n in range(30) if f"{decoder}layers.{n}.self_attn.v_proj.weight" not in shapes
    ]
    assert without_values == [5, 11, 17, 23, 29]


def test_copies_and_the_image_encoder_are_known_as_such() -> None:
    assert shared_original("lm_head.weight") == "model.decoder.embed_tokens.weight"
    assert (
        shared_original("model.encoder.language_model.norm.weight") == "model.decoder.norm.weight"
    )
    assert shared_original("model.encoder.language_model.layers.0.layer_scalar") is None
    assert shared_original("model.decoder.norm.weight") is None
    assert is_vision("model.encoder.vision_tower.std_bias")
    assert not is_vision("model.encoder.language_model.layers.0.layer_scalar")
