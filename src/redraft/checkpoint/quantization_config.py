"""QuantizationConfig: what a checkpoint's config says of its quantized weights, held against them.

A file and its config that disagree would load as other numbers than were meant: an asymmetric file
without its zero points reads as a symmetric one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.quant import FORMATS, Storage
from redraft.quant.fp8 import BLOCK
from redraft.text.json_value import Json

# compressed-tensors' names for several formats in one checkpoint, and for none.
MIXED_FORMATS = ("mixed-precision", "dense")
# Orders of columns that need a tensor of their own, which is not read.
ORDERED = ("group", "dynamic", True)
# The one algorithm of ModelOpt that is read.
MODELOPT_ALGORITHM = "NVFP4"
# The values of `quant_method` that are described in these words.
METHODS = ("compressed-tensors", "modelopt", "fp8")
# Classes of modules in `targets`.
CLASSES = ("Linear", "Embedding")


@dataclass(frozen=True)
class Scheme:
    """A group of the config, as far as it is about weights.

    Attributes:
        where: the place in the config, for error messages.
        targets: names of modules, patterns of names behind "re:", or classes of modules.
        weights: the settings, in compressed-tensors' words.
        form: the group's own `format`.
    """

    where: str
    targets: tuple[str, ...]
    weights: Mapping[str, Json]
    form: str | None

    def matches(self, module: str) -> bool:
        """Return True where a module is named, by itself or by a pattern."""
        return any(_matches(target, module) for target in self.targets)


class QuantizationConfig:
    """The `quantization_config` of a checkpoint.

    Args:
        raw: as it stands in config.json.
        folder: for error messages.

    Raises:
        CheckpointError: a method or a format that is not read, a transform or sparsity that would
            not be applied, or a value of a wrong type.
    """

    def __init__(self, raw: Json, folder: Path) -> None:
        described = raw if isinstance(raw, dict) else {"quant_method": raw}
        method, form = described.get("quant_method", "?"), described.get("format")
        known = _config_formats()
        if not isinstance(method, str) or method not in known:
            raise CheckpointError(
                f"{folder} is quantized by {method}: files of {', '.join(known)}, GPTQ, AWQ, "
                "AutoRound and MLX are read, and GGUF"
            )
        if known[method] and form not in (*known[method], *MIXED_FORMATS):
            read = ", ".join((*known[method], *MIXED_FORMATS))
            raise CheckpointError(f"{folder} is quantized as {form}: {read} are read")
        self.method = method
        self.form = form if isinstance(form, str) and form not in MIXED_FORMATS else None
        algorithm = described.get("quant_algo", MODELOPT_ALGORITHM)
        if method == "modelopt" and algorithm not in (MODELOPT_ALGORITHM, None):
            raise CheckpointError(
                f"{folder} is quantized with quant_algo {algorithm!r}: {MODELOPT_ALGORITHM} is read"
            )
        _check_not_applied(described, folder)
        self.schemes = list(_schemes(described, folder))
        self._block = described.get("weight_block_size")

    def problems(
        self,
        module: str,
        shape: tuple[int, int],
        storage: Storage,
        parts: Mapping[str, TensorInfo],
    ) -> Iterator[str]:
        """Yield what a matrix in the file is and the config denies; see `Quantized`."""
        if storage.method not in METHODS:
            yield f"{module} is stored as {storage.name}, quantization_config says {self.method}"
            return
        named = [scheme for scheme in self.schemes if scheme.matches(module)]
        schemes = named or [one for one in self.schemes if set(one.targets) & set(CLASSES)]
        if self.method == "fp8":
            yield from _block_problems(self._block, module, storage, "weight_block_size")
        if not schemes:
            yield from _form_problems(module, self.form, storage, "")
            return
        # Several groups may name a module: it must be as one of them says.
        found = [
            list(_contradictions(one, self.form, module, shape, storage, parts)) for one in schemes
        ]
        yield from min(found, key=len)


def _contradictions(
    scheme: Scheme,
    form: str | None,
    module: str,
    shape: tuple[int, int],
    storage: Storage,
    parts: Mapping[str, TensorInfo],
) -> Iterator[str]:
    said, where = scheme.weights, scheme.where
    yield from _form_problems(module, scheme.form or form, storage, where)
    own = next(one.config for one in FORMATS.values() if storage in one.storages)
    for key in ("num_bits", "type"):
        if said.get(key) is not None and said[key] != own[key]:
            yield f"{module} is stored as {storage.name}, {where} says {key} {said[key]!r}"
    if said.get("symmetric") is False and "weight_zero_point" not in parts:
        yield f"{module} has no zero points, {where} says that it is asymmetric"
    if said.get("actorder") in ORDERED:
        yield (f"{module} has no order of its columns, {where} says actorder {said['actorder']!r}")
    if said.get("strategy") == "block":
        yield from _block_problems(said.get("block_structure"), module, storage, where)
    elif "weight_scale" in parts:
        yield from _group_problems(scheme, module, shape, parts["weight_scale"].shape)


def _block_problems(block: Json, module: str, storage: Storage, where: str) -> Iterator[str]:
    """Yield what is wrong with blocks that share a scale."""
    if not storage.name.startswith("fp8 in blocks"):
        yield f"{module} is stored as {storage.name}, {where} says strategy 'block'"
    elif block not in (None, [BLOCK, BLOCK]):
        yield f"{module}: {where} says blocks of {block}, those of {[BLOCK, BLOCK]} are read"


def _group_problems(
    scheme: Scheme, module: str, shape: tuple[int, int], scale: Sequence[int]
) -> Iterator[str]:
    """Yield what is wrong with the shape of the scales."""
    said, where = scheme.weights, scheme.where
    groups = scale[1] if len(scale) == 2 else 1
    strategy, size = said.get("strategy"), said.get("group_size")
    if strategy not in (None, "tensor", "channel", "group", "tensor_group"):
        yield f"{module}: {where} says strategy {strategy!r}, which is not read"
        return
    if strategy not in (None, "group", "tensor_group"):
        size = None
    if isinstance(size, int) and size > 0 and groups * size != shape[1]:
        yield (
            f"{module} has {groups} scales a row, {where} says one for {size} of {shape[1]} columns"
        )
    rows = scale[0] if len(scale) else 1
    if strategy in ("channel", "tensor") and groups != 1:
        yield f"{module} has {groups} scales a row, {where} says strategy {strategy!r}"
    elif strategy == "channel" and rows != shape[0]:
        yield f"{module} has one scale, {where} says strategy 'channel'"
    elif strategy == "tensor" and rows != 1:
        yield f"{module} has a scale for each row, {where} says strategy 'tensor'"


def _form_problems(module: str, form: str | None, storage: Storage, where: str) -> Iterator[str]:
    if form not in (None, *MIXED_FORMATS, *storage.config_formats) and storage.config_formats:
        place = where or "quantization_config"
        yield f"{module} is stored as {storage.name}, {place} says format {form!r}"


def _check_not_applied(described: Mapping[str, Json], folder: Path) -> None:
    """Check that a config asks for nothing that would silently not be done."""
    transform = described.get("transform_config")
    if transform is not None and not isinstance(transform, dict):
        raise CheckpointError(f"{folder}: transform_config={transform!r} must be an object")
    if transform and transform.get("config_groups", True):
        raise CheckpointError(
            f"{folder} has a transform_config: its weights are rotated, and the rotations of the "
            "activations are not applied"
        )
    sparsity = described.get("sparsity_config")
    if sparsity is not None and not isinstance(sparsity, dict):
        raise CheckpointError(f"{folder}: sparsity_config={sparsity!r} must be an object")
    if sparsity and sparsity.get("format") not in (None, "dense"):
        raise CheckpointError(
            f"{folder} has a sparsity_config of format {sparsity['format']!r}: only dense is read"
        )
    status = described.get("quantization_status")
    if status not in (None, "compressed", "frozen"):
        raise CheckpointError(f"{folder}: quantization_status={status!r}, it must be 'compressed'")


def _schemes(described: Mapping[str, Json], folder: Path) -> Iterator[Scheme]:
    """Yield the groups of a config that say something of weights."""
    groups = described.get("config_groups")
    if groups is None:
        return
    if not isinstance(groups, dict):
        raise CheckpointError(f"{folder}: config_groups={groups!r} must be an object")
    for name, group in groups.items():
        where = f"config_groups.{name}"
        if not isinstance(group, dict):
            raise CheckpointError(f"{folder}: {where}={group!r} must be an object")
        weights, targets = group.get("weights"), group.get("targets", ["Linear"])
        if weights is None:
            continue
        if not isinstance(weights, dict):
            raise CheckpointError(f"{folder}: {where}.weights={weights!r} must be an object")
        if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
            raise CheckpointError(f"{folder}: {where}.targets={targets!r} must be names")
        form = group.get("format")
        yield Scheme(
            where, tuple(map(str, targets)), weights, form if isinstance(form, str) else None
        )


def _matches(target: str, module: str) -> bool:
    if not target.startswith("re:"):
        return target not in CLASSES and (module == target or module.endswith(f".{target}"))
    try:
        return re.match(target.removeprefix("re:"), module) is not None
    except re.error:
        raise CheckpointError(f"quantization_config: the target {target!r} is no pattern") from None


def _config_formats() -> dict[str, list[str]]:
    """Return the names of formats in a config, by the method that quantized the weights."""
    names: dict[str, list[str]] = {}
    for storage in chain.from_iterable(one.storages for one in FORMATS.values()):
        if storage.method not in METHODS:
            continue
        of_method = names.setdefault(storage.method, [])
        of_method += [name for name in storage.config_formats if name not in of_method]
    return names
