"""MlxConfig: what MLX's config says of its quantized weights, held against them.

`quantization` has settings for all modules, and others (or false) for some, by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.quant import Storage
from redraft.quant.affine import METHOD
from redraft.text.json_value import Json

# The modes, and the settings that each has where the config is silent; affine needs both.
MODES: Mapping[str, tuple[int | None, int | None]] = {
    "affine": (None, None),
    "mxfp4": (32, 4),
    "mxfp8": (32, 8),
    "nvfp4": (16, 4),
}
SETTINGS = ("group_size", "bits", "mode")


def is_mlx(raw: Json) -> bool:
    """Return True for a description of quantized weights in MLX's words."""
    return isinstance(raw, dict) and "quant_method" not in raw and bool(set(SETTINGS) & set(raw))


class MlxConfig:
    """The `quantization` of a checkpoint.

    Attributes:
        method: by which its storages are known.

    Raises:
        CheckpointError: an unknown mode, or a value of a wrong type.
    """

    method = METHOD

    def __init__(self, raw: Mapping[str, Json], folder: Path) -> None:
        self._default = _checked({key: raw[key] for key in SETTINGS if key in raw}, folder, "")
        self._modules: dict[str, dict[str, Json] | bool] = {}
        for name, said in raw.items():
            if name not in SETTINGS and isinstance(said, dict | bool):
                own = said if isinstance(said, bool) else _checked(said, folder, f".{name}")
                self._modules[name] = own

    def problems(
        self,
        module: str,
        shape: tuple[int, int],
        storage: Storage,
        parts: Mapping[str, TensorInfo],
    ) -> Iterator[str]:
        """Yield what a matrix in the file is and the config denies; see `Quantized`."""
        if storage.method != METHOD:
            yield f"{module} is stored as {storage.name}, and quantization is in MLX's words"
            return
        own = self._modules.get(module, True)
        if own is False:
            yield f"{module} is quantized, quantization says that it is not"
            return
        said = own if isinstance(own, dict) else self._default
        where = f"quantization.{module}" if isinstance(own, dict) else "quantization"
        columns = shape[1]
        groups = parts["scales"].shape[-1]
        found: dict[str, Json] = {
            "group_size": columns // groups,
            "bits": 32 * parts["weight"].shape[-1] // columns,
            "mode": "affine" if "biases" in parts else storage.name.split()[0],
        }
        for key in SETTINGS:
            if key in said and said[key] != found[key]:
                yield f"{module} has {key} {found[key]}, {where} says {said[key]!r}"


def _checked(said: dict[str, Json], folder: Path, where: str) -> dict[str, Json]:
    """Return the settings, with those that the mode implies.

    Raises:
        CheckpointError: one has a value that none of MLX's modes has.
    """
    mode = said.get("mode", "affine")
    if not isinstance(mode, str) or mode not in MODES:
        raise CheckpointError(
            f"{folder}: quantization{where}.mode={mode!r} is not read: {', '.join(MODES)} are"
        )
    own: dict[str, Json] = {"mode": mode}
    for key, implied in zip(("group_size", "bits"), MODES[mode], strict=True):
        value = said.get(key)
        value = implied if value is None else value
        if value is not None and type(value) is not int:
            raise CheckpointError(f"{folder}: quantization{where}.{key}={value!r} must be a number")
        if value is not None:
            own[key] = value
    return own
