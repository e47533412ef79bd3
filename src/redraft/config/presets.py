"""Presets: the shapes of released models, for estimates without a checkpoint."""

from __future__ import annotations

from redraft.config.model import FULL, SLIDING, ModelConfig
from redraft.config.vision import VisionConfig

PRESETS = {
    "26b": ModelConfig(
        vocab_size=262144,
        hidden_size=2816,
        intermediate_size=2112,
        moe_intermediate_size=704,
        num_hidden_layers=30,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        num_global_key_value_heads=2,
        global_head_dim=512,
        num_experts=128,
        top_k_experts=8,
        sliding_window=1024,
        max_position_embeddings=262144,
        canvas_length=256,
        layer_types=((SLIDING,) * 5 + (FULL,)) * 5,
    )
}

# The image encoder of every released model.
RELEASED_VISION = VisionConfig(
    hidden_size=1152,
    intermediate_size=4304,
    num_hidden_layers=27,
    num_attention_heads=16,
    num_key_value_heads=16,
    head_dim=72,
    patch_size=16,
    pooling_kernel_size=3,
    position_embedding_size=10240,
    standardize=True,
    rms_norm_eps=1e-6,
    hidden_activation="gelu_pytorch_tanh",
)
