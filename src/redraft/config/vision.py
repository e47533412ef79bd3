"""VisionConfig: the shape of an image encoder, from `vision_config` in `config.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from redraft.config.check import check_boolean, check_integer, check_number
from redraft.config.model import MAX_LAYERS
from redraft.errors import ConfigError

MODEL_TYPE = "gemma4_vision"
# Soft tokens that one image may become at most; a caller chooses one of these budgets, or that of
# the checkpoint.
BUDGETS = (70, 140, 280, 560, 1120)
DEFAULT_BUDGET = 280
# A text-only checkpoint has an image encoder of this shape: transformers always builds one, by
# default of 167 M parameters. It is known by these values, and never run.
STUB_SIZE, STUB_PATCH, STUB_POSITIONS = 4, 1, 1
VISION_STUB: dict[str, str | int] = {
    "model_type": MODEL_TYPE,
    "hidden_size": STUB_SIZE,
    "intermediate_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "patch_size": STUB_PATCH,
    "position_embedding_size": STUB_POSITIONS,
}
MAX_SIZE = 2**31 - 1
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
    "patch_size",
    "pooling_kernel_size",
    "position_embedding_size",
)
# transformers calls the same embedding `axial` in some versions and `default` in others.
ROPE_TYPES = ("default", "axial")


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """The shape of an image encoder. Fields are keys of `vision_config`.

    Attributes:
        patch_size: pixels of a patch's side. pooling_kernel_size: patches of a soft token's side.
        position_embedding_size: the rows and columns of patches that an image may have.
        standardize: pooled features are shifted by `std_bias` and scaled by `std_scale`.
        use_clipped_linears: inputs and outputs of the layers' products are clamped.
        rope_theta: the base of the rotary frequencies.
        budget: soft tokens that an image becomes at most, unless a caller asks for another number.

    Raises:
        ConfigError: a value is out of its range, or two contradict each other.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    patch_size: int
    pooling_kernel_size: int
    position_embedding_size: int
    standardize: bool
    rms_norm_eps: float
    hidden_activation: str
    use_clipped_linears: bool = False
    rope_theta: float = 100.0
    budget: int = DEFAULT_BUDGET

    def __post_init__(self) -> None:
        for name in (*SIZES, "num_key_value_heads"):
            check_integer(f"vision_config.{name}", getattr(self, name), minimum=1, maximum=MAX_SIZE)
        layers = self.num_hidden_layers
        check_integer("vision_config.num_hidden_layers", layers, minimum=1, maximum=MAX_LAYERS)
        for name in ("standardize", "use_clipped_linears"):
            check_boolean(f"vision_config.{name}", getattr(self, name))
        if not isinstance(self.hidden_activation, str):
            raise ConfigError("vision_config.hidden_activation must be a name")
        check_number("vision_config.rms_norm_eps", self.rms_norm_eps, minimum=0)
        check_number("vision_config rope_theta", self.rope_theta, minimum=0, exclusive=True)
        if self.num_key_value_heads != self.num_attention_heads:
            raise ConfigError(
                f"vision_config has {self.num_attention_heads} heads and "
                f"{self.num_key_value_heads} key-value heads: they must be as many"
            )
        if self.head_dim % 4:
            raise ConfigError(
                f"vision_config.head_dim={self.head_dim} must be a multiple of 4: one half turns "
                "with the column, one with the row, both in pairs"
            )
        check_integer("default_output_length", self.budget, minimum=1, maximum=max(BUDGETS))

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that a caller may choose."""
        return tuple(sorted({*BUDGETS, self.budget}))

    @property
    def soft_token_pixels(self) -> int:
        """The pixels of the side of the square that one soft token stands for."""
        return self.patch_size * self.pooling_kernel_size

    @property
    def patch_values(self) -> int:
        """The numbers of a patch: three colours for each pixel."""
        return 3 * self.patch_size**2


def check_budget(budget: object, choices: Sequence[int] = BUDGETS) -> None:
    """Check a number of soft tokens that an image may have.

    Raises:
        ConfigError: it is not one of `choices`.
    """
    if isinstance(budget, bool) or budget not in choices:
        raise ConfigError(
            f"max_soft_tokens={budget!r} must be one of {', '.join(map(str, choices))}"
        )


def is_stub(raw: Mapping[str, Any]) -> bool:
    """Return True for the `vision_config` of a text-only checkpoint."""
    return all(raw.get(name) == value for name, value in VISION_STUB.items())


def vision_config_from_dict(raw: Mapping[str, Any]) -> VisionConfig:
    """Build a VisionConfig from `vision_config`.

    The class defaults of transformers are those of another, smaller model: nothing is filled in.

    Raises:
        ConfigError: another type, a missing key, or a feature that is not supported.
    """
    if raw.get("model_type") != MODEL_TYPE:
        raise ConfigError(
            f"vision_config.model_type is {raw.get('model_type')!r}: only {MODEL_TYPE!r} can be "
            "loaded; load the text alone with vision=False (--no-vision)"
        )
    optional = {"use_clipped_linears", "rope_theta", "budget"}
    required = [field.name for field in fields(VisionConfig) if field.name not in optional]
    if missing := [name for name in required if raw.get(name) is None]:
        raise ConfigError(
            f"vision_config lacks {', '.join(missing)}: these keys have no defaults; add them, or "
            "load the text alone with vision=False (--no-vision)"
        )
    if raw.get("attention_bias"):
        raise ConfigError("vision_config.attention_bias is on: this image encoder has no biases")
    budget = raw.get("default_output_length")
    return VisionConfig(
        **{name: raw[name] for name in required},
        use_clipped_linears=raw.get("use_clipped_linears") or False,
        rope_theta=_rope_theta(raw.get("rope_parameters")),
        budget=DEFAULT_BUDGET if budget is None else budget,
    )


def vision_config_to_dict(config: VisionConfig) -> dict[str, Any]:
    """Return the `vision_config` that redraft and transformers read."""
    raw = asdict(config)
    theta, budget = raw.pop("rope_theta"), raw.pop("budget")
    return raw | {
        "model_type": MODEL_TYPE,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "default_output_length": budget,
    }


def _rope_theta(raw: object) -> float:
    if not isinstance(raw, Mapping) or raw.get("rope_theta") is None:
        raise ConfigError("vision_config.rope_parameters lacks rope_theta: it has no default")
    if raw.get("rope_type") not in ROPE_TYPES:
        raise ConfigError(
            f"vision_config has rope_type={raw.get('rope_type')!r}: {' and '.join(ROPE_TYPES)} "
            "are known"
        )
    if unknown := set(raw) - {"rope_type", "rope_theta"}:
        raise ConfigError(f"vision_config.rope_parameters holds {sorted(unknown)}: not supported")
    theta: float = raw["rope_theta"]
    return theta
