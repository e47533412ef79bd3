"""Tensor names: those of the network, and those of llama.cpp."""

from __future__ import annotations

import re

from redraft.network import EMBEDDING

GGUF_EMBEDDING, ROPE_FACTORS = "token_embd.weight", "rope_freqs.weight"
HEAD = "output.weight"
# Weights outside the layers.
OUTER = {
    EMBEDDING: GGUF_EMBEDDING,
    "norm.weight": "output_norm.weight",
    "self_conditioning.pre_norm.weight": "self_cond_pre_norm.weight",
    "self_conditioning.gate_proj.weight": "self_cond_gate.weight",
    "self_conditioning.up_proj.weight": "self_cond_up.weight",
    "self_conditioning.down_proj.weight": "self_cond_down.weight",
}
# Weights of a layer.
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight",
    "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "router.proj.weight": "ffn_gate_inp.weight",
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
    "experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight",
    "layer_scalar": "layer_output_scale.weight",
    "encoder_layer_scalar": "enc_layer_output_scale.weight",
}
# The two tensors of experts whose gate and up are not fused in the file.
GATE_AND_UP = ("ffn_gate_exps.weight", "ffn_up_exps.weight")
_IN_LAYER = re.compile(r"layers\.(\d+)\.(.+)")


def to_gguf(name: str) -> str:
    """Return the name in a file of a weight of the network."""
    if match := _IN_LAYER.fullmatch(name):
        return f"blk.{match[1]}.{LAYER[match[2]]}"
    return OUTER[name]


def split_names(name: str) -> tuple[str, ...]:
    """Return the two tensors that a file may have in place of this one; empty if there are none."""
    front, _, leaf = name.rpartition(".ffn_gate_up_exps")
    return tuple(f"{front}.{part}" for part in GATE_AND_UP) if front and leaf else ()
