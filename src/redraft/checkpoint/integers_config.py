"""IntegersConfig: what a config of GPTQ, AWQ or AutoRound says of its weights, held against them.

Settings for all modules, and others for some, by names or patterns: `extra_config` (AutoRound),
`dynamic` (GPTQ).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.quant import Storage
from redraft.quant.gptq import AWQ, GPTQ, GPTQ_V2
from redraft.text.json_value import Json

AUTO_ROUND = ("auto-round", "intel/auto-round")
METHODS = (GPTQ, AWQ, *AUTO_ROUND)
SETTINGS = ("bits", "group_size")
# The storages of AutoRound's packings, whose names may begin with "auto_round:".
PACKINGS = {
    "auto_round": GPTQ_V2,
    "auto_gptq": GPTQ,
    "gptq": GPTQ,
    "gptqmodel": GPTQ_V2,
    "auto_awq": AWQ,
    "awq": AWQ,
}
LAYOUTS = {"gptq": GPTQ, "gptq_v2": GPTQ_V2}


class IntegersConfig:
    """The `quantization_config` of such a checkpoint.

    Attributes:
        method: by which its storages are known: GPTQ's two, or AWQ's.

    Raises:
        CheckpointError: a packing or a kind of number that is not read, or a value of a wrong type.
    """

    def __init__(self, raw: Mapping[str, Json], folder: Path) -> None:
        self._where, self.method = folder, _method(raw, folder)
        kind = raw.get("data_type", "int")
        if kind != "int":
            raise CheckpointError(f"{folder} is quantized with data_type {kind!r}: int is read")
        if raw.get("act_bits") not in (None, 16, 32):
            raise CheckpointError(f"{folder} has act_bits {raw['act_bits']!r}: 16 is read")
        if raw.get("rotation_config"):
            raise CheckpointError(
                f"{folder} has a rotation_config: its weights are rotated, and the rotations of "
                "the activations are not applied"
            )
        self._default = _settings(raw, folder)
        self._in_order = raw.get("desc_act") is not True
        self._modules: list[tuple[str, dict[str, int] | None]] = []
        for key in ("extra_config", "dynamic"):
            more = raw.get(key) or {}
            if not isinstance(more, dict):
                raise CheckpointError(f"{folder}: {key}={more!r} must be an object")
            for name, said in more.items():
                if name.startswith("-:"):
                    self._modules.append((name[2:], None))
                elif isinstance(said, dict):
                    self._modules.append((name.removeprefix("+:"), _settings(said, folder)))

    def problems(
        self,
        module: str,
        shape: tuple[int, int],
        storage: Storage,
        parts: Mapping[str, TensorInfo],
    ) -> Iterator[str]:
        """Yield what a matrix in the file is and the config denies; see `Quantized`."""
        if storage.method != self.method:
            yield f"{module} is stored as {storage.name}, quantization_config says {self.method}"
            return
        own: dict[str, int] | None = {}
        for name, settings in self._modules:
            if self._names(name, module):
                own = settings
                break
        if own is None:
            yield f"{module} is quantized, quantization_config says that it is not"
            return
        said = {**self._default, **own}
        columns, groups = shape[1], parts["scales"].shape[0]
        bits = 4 if self.method == AWQ else 32 * parts["qweight"].shape[0] // columns
        if said.get("bits", bits) != bits:
            yield f"{module} has {bits} bits, quantization_config says {said['bits']}"
        size = said.get("group_size", columns // groups)
        if (columns if size == -1 else size) != columns // groups:
            yield f"{module} has groups of {columns // groups}, quantization_config says {size}"
        if not self._in_order and "g_idx" not in parts:
            yield f"{module} has no g_idx, quantization_config says desc_act"

    def _names(self, pattern: str, module: str) -> bool:
        if module == pattern or module.endswith(f".{pattern}"):
            return True
        try:
            return re.match(pattern, module) is not None
        except re.error:
            raise CheckpointError(
                f"{self._where}: quantization_config names modules by {pattern!r}: no pattern"
            ) from None


def _method(raw: Mapping[str, Json], folder: Path) -> str:
    """Return the method of the storages.

    Raises:
        CheckpointError: it is none that is read.
    """
    name = raw.get("quant_method")
    if name in AUTO_ROUND:
        packing = raw.get("packing_format", "auto_round:auto_gptq")
        words = packing.split(":") if isinstance(packing, str) else ["?"]
        word = words[1] if len(words) > 1 and words[0] == "auto_round" else words[0]
        # What follows "auto_round" may be the kernel that its writer meant.
        word = "auto_round" if words[0] == "auto_round" and word not in PACKINGS else word
        known = word in PACKINGS and "llm_compressor" not in str(packing)
        if not known or str(packing).split(":")[-1] in ("fp8_static", "fake"):
            raise CheckpointError(
                f"{folder} has packing_format {packing!r}: AutoRound's {', '.join(PACKINGS)} are "
                "read"
            )
        return PACKINGS[word]
    if name == AWQ:
        version = raw.get("version", "gemm")
        if not isinstance(version, str) or version.lower() != "gemm":
            raise CheckpointError(f"{folder} is AWQ of version {version!r}: gemm is read")
        return AWQ
    layout = raw.get("checkpoint_format", raw.get("format")) or GPTQ
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise CheckpointError(
            f"{folder} is GPTQ in the layout {layout!r}: {' and '.join(LAYOUTS)} are read"
        )
    return LAYOUTS[layout]


def _settings(raw: Mapping[str, Json], folder: Path) -> dict[str, int]:
    """Return the settings of a module, or of all.

    Raises:
        CheckpointError: one is no number.
    """
    found: dict[str, int] = {}
    for key in SETTINGS:
        value = raw.get(key)
        if value is None:
            continue
        if type(value) is not int:
            raise CheckpointError(f"{folder}: quantization_config.{key}={value!r} must be a number")
        found[key] = value
    return found
