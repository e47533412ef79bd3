"""ModelConfig: the shape of a network, as `config.json` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from redraft.config.check import check_integer, check_number
from redraft.config.special_tokens import BOS_ID, END_OF_TURN_ID, EOS_ID, PAD_ID
from redraft.errors import ConfigError

SLIDING, FULL = "sliding_attention", "full_attention"
MODEL_TYPE = "diffusion_gemma"
# The reference's default where `config.json` has none.
DEFAULT_SOFTCAP = 30.0


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """The rotary embedding of one kind of layer.

    Attributes:
        rope_type: "default" rotates all pairs of a head. "proportional" rotates the first
            `partial_rotary_factor` of them; the other frequencies are 0, and the exponents are
            those of the whole head.
        rope_theta: the base of the frequencies.
        partial_rotary_factor: the share of the pairs that rotate, in (0, 1].
        factor: positions are divided by it.
    """

    rope_type: str
    rope_theta: float
    partial_rotary_factor: float = 1.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.rope_type not in ("default", "proportional"):
            raise ConfigError(
                f"rope_type={self.rope_type!r} is not supported: use 'default' or 'proportional'"
            )
        check_number("rope_theta", self.rope_theta, minimum=0, exclusive=True)
        check_number(
            "partial_rotary_factor",
            self.partial_rotary_factor,
            minimum=0,
            maximum=1,
            exclusive=True,
        )
        check_number("rope factor", self.factor, minimum=0, exclusive=True)
        if self.rope_type == "default" and (self.partial_rotary_factor, self.factor) != (1.0, 1.0):
            raise ConfigError(
                "rope_type='default' rotates the whole head: "
                "partial_rotary_factor and factor must be 1"
            )


DEFAULT_ROPE: Mapping[str, RopeConfig] = {
    SLIDING: RopeConfig(rope_type="default", rope_theta=1e4),
    FULL: RopeConfig(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25),
}


# The greatest size, count and token id: products of two of them fit into 64 bits.
MAX_SIZE = 2**31 - 1
# Limits of counts, far above any model's: a network's shape is built before its weights are read.
MAX_LAYERS, MAX_EXPERTS = 256, 2**16
# Noise numbers the positions of a canvas with so many bits.
MAX_CANVAS = 2**24
# Fields of ModelConfig that are sizes or counts.
POSITIVE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_global_key_value_heads",
    "global_head_dim",
    "num_experts",
    "top_k_experts",
    "max_position_embeddings",
    "canvas_length",
)


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """The settings that differ between layers.

    Attributes:
        kind: SLIDING or FULL.
        head_dim: the size of a head.
        sliding_window: the number of positions that a layer sees; None on a full layer, whose keys
            are also its values.
    """

    kind: str
    head_dim: int
    num_key_value_heads: int
    sliding_window: int | None
    rope: RopeConfig

    @property
    def keys_are_values(self) -> bool:
        return self.sliding_window is None


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a network. Each field is the key of the same name in `config.json` or in its
    `text_config`.

    Raises:
        ConfigError: a value is out of its range, two values contradict each other, or a feature is
            not supported.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    moe_intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    num_global_key_value_heads: int
    global_head_dim: int
    num_experts: int
    top_k_experts: int
    sliding_window: int
    max_position_embeddings: int
    canvas_length: int
    layer_types: tuple[str, ...]
    rope_parameters: Mapping[str, RopeConfig] = field(default_factory=lambda: dict(DEFAULT_ROPE))
    rms_norm_eps: float = 1e-6
    final_logit_softcapping: float | None = DEFAULT_SOFTCAP
    hidden_activation: str = "gelu_pytorch_tanh"
    bos_token_id: int | None = BOS_ID
    eos_token_id: tuple[int, ...] = (EOS_ID, END_OF_TURN_ID)
    pad_token_id: int = PAD_ID
    image_token_id: int | None = None
    boi_token_id: int | None = None
    eoi_token_id: int | None = None
    vision_config: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in POSITIVE:
            check_integer(name, getattr(self, name), minimum=1, maximum=MAX_SIZE)
        check_integer("canvas_length", self.canvas_length, minimum=1, maximum=MAX_CANVAS)
        check_integer("num_hidden_layers", self.num_hidden_layers, minimum=1, maximum=MAX_LAYERS)
        check_integer("num_experts", self.num_experts, minimum=1, maximum=MAX_EXPERTS)
        check_integer("sliding_window", self.sliding_window, minimum=2, maximum=MAX_SIZE)
        if not isinstance(self.hidden_activation, str):
            raise ConfigError(f"hidden_activation={self.hidden_activation!r} must be a name")
        if not isinstance(self.vision_config, Mapping | None):
            raise ConfigError(f"vision_config={self.vision_config!r} must be an object")
        check_number("rms_norm_eps", self.rms_norm_eps, minimum=0)
        # As Gemma's files have it: null or 0 is no softcap.
        if self.final_logit_softcapping is not None:
            check_number("final_logit_softcapping", self.final_logit_softcapping, minimum=0)
            object.__setattr__(
                self, "final_logit_softcapping", self.final_logit_softcapping or None
            )
        ids = (
            *self.eos_token_id,
            self.pad_token_id,
            self.bos_token_id,
            self.image_token_id,
            self.boi_token_id,
            self.eoi_token_id,
        )
        for token in ids:
            if token is not None:
                check_integer("a token id in config.json", token, minimum=0, maximum=MAX_SIZE)
        self._check_layers()

    def _check_layers(self) -> None:
        if len(self.layer_types) != self.num_hidden_layers:
            raise ConfigError(
                f"layer_types names {len(self.layer_types)} layers, "
                f"num_hidden_layers is {self.num_hidden_layers}"
            )
        if unknown := set(self.layer_types) - {SLIDING, FULL}:
            raise ConfigError(
                f"layer_types holds {sorted(unknown)}: only {SLIDING!r} and {FULL!r} exist"
            )
        if self.layer_types[-1] != FULL:
            raise ConfigError(
                f"the last layer must be {FULL!r}, layer_types ends with {self.layer_types[-1]!r}"
            )
        if self.top_k_experts > self.num_experts:
            raise ConfigError(
                f"top_k_experts={self.top_k_experts} is more than num_experts={self.num_experts}"
            )
        for layer in self.layers:
            if self.num_attention_heads % layer.num_key_value_heads:
                raise ConfigError(
                    f"num_attention_heads={self.num_attention_heads} is not a multiple of the "
                    f"{layer.num_key_value_heads} key-value heads of a {layer.kind} layer"
                )
            if layer.head_dim % 2:
                raise ConfigError(
                    f"a {layer.kind} layer has head_dim={layer.head_dim}: "
                    "rotary pairs need an even number"
                )

    @cached_property
    def layers(self) -> tuple[LayerConfig, ...]:
        """The settings of each layer, from the first to the last."""
        shapes = {
            SLIDING: (self.head_dim, self.num_key_value_heads, self.sliding_window),
            FULL: (self.global_head_dim, self.num_global_key_value_heads, None),
        }
        return tuple(
            LayerConfig(
                kind=kind,
                head_dim=shapes[kind][0],
                num_key_value_heads=shapes[kind][1],
                sliding_window=shapes[kind][2],
                rope=self.rope_parameters[kind],
            )
            for kind in self.layer_types
        )
