"""Quantize to disk: write a quantized copy of a checkpoint.

It is streamed: one matrix and one shard are in memory at a time. After an interrupt the same call
continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.durable import replace_durably
from redraft.checkpoint.load import stored_dtype
from redraft.checkpoint.names import EXPERTS, is_vision, to_file
from redraft.checkpoint.plan import Shape, plan_load, weight_shapes
from redraft.checkpoint.quantize import DENSE, Quantization
from redraft.checkpoint.save import COPIED_FILES, check_target, copy_path, move_folder, write_json
from redraft.checkpoint.shards import INDEX
from redraft.checkpoint.source import SAMPLING_FILE, Checkpoint
from redraft.errors import CheckpointError
from redraft.text.plain_file import read_json

# As sha256sum writes it: `sha256sum -c` checks a folder.
CHECKSUMS = "checksums.sha256"
# The state of a copy that is not finished.
STATE = "quantizing.json"
# Weights that should be quantized, and matrices that never are, by the end of their names.
QUANTIZED = (*DENSE, *EXPERTS)
NEVER_QUANTIZED = (
    "router.proj.weight",
    "self_conditioning.gate_proj.weight",
    "self_conditioning.up_proj.weight",
    "self_conditioning.down_proj.weight",
)


class Reader(Protocol):
    """Reads weights that are not quantized."""

    def read(self, name: str) -> Tensor:
        """Return a tensor by its name in a file."""
        ...

    def read_part(self, name: str, index: int) -> Tensor:
        """Return one of the parts along a tensor's first dimension."""
        ...


@dataclass(frozen=True)
class QuantizationSource:
    """The weights that are to be quantized, and what belongs to them.

    Attributes:
        shapes: of the network's weights, by name.
        dtype: of scales, and of weights that stay unquantized.
        config: the content of config.json.
        others: tensors that are copied unchanged, by their names in a file.
        files: that are copied.
        name: identifies the source: a copy is continued only from the same one.
        cast: weights that stay unquantized are written in `dtype`, not as the reader has them.
    """

    reader: Reader
    shapes: Mapping[str, Shape]
    dtype: torch.dtype
    config: Mapping[str, object]
    others: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    name: str = ""
    cast: bool = False


@dataclass(frozen=True)
class Summary:
    """The result of a copy.

    Attributes:
        bytes: of the copy's weights.
        kept: weights that should be quantized, and were not because their rows do not divide into
            groups.
    """

    folder: Path
    bytes: int
    kept: tuple[str, ...]


def source_of(checkpoint: Checkpoint, reader: Reader) -> QuantizationSource:
    """Return a checkpoint as a source.

    Raises:
        CheckpointError: weights are quantized already, or experts are stored one by one.
        TensorMismatchError: the tensors do not fit the network.
    """
    plan = plan_load(checkpoint)
    if quantized := [weight.target for weight in plan.weights if weight.quantized]:
        raise CheckpointError(
            f"{checkpoint.folder} is quantized already ({quantized[0]} and others): "
            "quantize the original, or use `redraft convert`"
        )
    if any(weight.experts for weight in plan.weights):
        raise CheckpointError(
            f"{checkpoint.folder} has its experts one by one: use `redraft convert`, which takes "
            "any form"
        )
    names = (*COPIED_FILES, "generation_config.json", SAMPLING_FILE)
    paths = [checkpoint.folder / name for name in names]
    return QuantizationSource(
        reader,
        weight_shapes(checkpoint.config),
        stored_dtype(checkpoint),
        read_json(checkpoint.folder / "config.json"),
        tuple(filter(is_vision, checkpoint.tensors)),
        tuple(path for path in paths if path.exists()),
        f"{checkpoint.folder.resolve()} {fingerprint(checkpoint)}",
    )


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return a digest of a checkpoint's files, of their names, sizes and times: they are not
    read."""
    files = sorted({info.file for info in checkpoint.tensors.values()})
    described = []
    for path in files:
        stat = path.stat()
        described.append((path.name, stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(repr(described).encode()).hexdigest()


def quantized_copy(
    source: QuantizationSource,
    folder: str | Path,
    quantization: Quantization,
    *,
    progress: Callable[[int, int], None] | None = None,
    companion: Callable[[Path], None] | None = None,
    max_shard_bytes: int = 1 << 30,
) -> Summary:
    """Write a folder with the quantized weights, which redraft and other readers of
    compressed-tensors load.

    The folder appears when it is complete. Until then it is FOLDER.partial. Called again with the
    same source and settings, it does not write again the shards that are there and have their
    checksums.

    Args:
        progress: called after each weight with the number of weights that are done, and of all.
        companion: called with the folder before it is moved; it may add files.

    Raises:
        CheckpointError: the folder exists and is not empty, FOLDER.partial belongs to another
            source or other settings, or it cannot be written.
    """
    target = check_target(folder)
    partial = target.with_name(f"{target.name}.partial")
    writer = _Writer(partial, source, quantization, max_shard_bytes)
    try:
        for count, _ in enumerate(writer.run(), 1):
            if progress:
                progress(count, len(source.shapes) + len(source.others))
        total, kept = writer.finish()
        if companion:
            companion(partial)
        move_folder(partial, target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{target} cannot be written: {error}; the same command goes on from {partial.name}"
        ) from error
    # Last: until then an interrupted copy can be continued.
    (target / STATE).unlink()
    return Summary(target, total, kept)


class _Shard(TypedDict):
    """A shard that is written. items: the weights in it, by the names that `run` yields."""

    file: str
    sha256: str
    items: list[str]
    tensors: list[str]
    bytes: int


class _Writer:
    """Writes the shards of one copy."""

    def __init__(
        self,
        folder: Path,
        source: QuantizationSource,
        quantization: Quantization,
        max_shard_bytes: int,
    ) -> None:
        self.folder, self.source, self.quantization = folder, source, quantization
        self.max_shard_bytes = max_shard_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.draft"):
            draft.unlink()
        settings = {"source": source.name, "most": max_shard_bytes}
        self._settings = settings | quantization.to_dict()
        self._shards = self._finished_shards()
        self._pending: dict[str, Tensor] = {}
        self._items: list[str] = []

    def _finished_shards(self) -> list[_Shard]:
        """Return the shards of an earlier run that are there and have their checksums.

        Raises:
            CheckpointError: the folder is not a copy that was begun, or belongs to another one.
        """
        if not (self.folder / STATE).exists():
            if any(self.folder.iterdir()):
                raise CheckpointError(
                    f"{self.folder} is not a copy that was begun: remove it, or name another folder"
                )
            _write_state(self.folder / STATE, {"settings": self._settings, "shards": []})
            return []
        state = read_json(self.folder / STATE)
        if state.get("settings") != self._settings:
            raise CheckpointError(
                f"{self.folder} was begun from another source or with other settings: "
                "remove it to begin anew"
            )
        shards: list[_Shard] = state["shards"]
        return [shard for shard in shards if self._is_intact(shard)]

    def _is_intact(self, shard: _Shard) -> bool:
        path = self.folder / shard["file"]
        return path.exists() and _sha256(path) == shard["sha256"]

    def run(self) -> Iterator[str]:
        """Write what is missing; yield the name of each weight that is there."""
        done = set(chain.from_iterable(shard["items"] for shard in self._shards))
        yield from done
        for target, shape in self.source.shapes.items():
            if target not in done:
                self._add(target, self._parts(target, shape))
                yield target
        for name in self.source.others:
            if name not in done:
                self._add(name, {name: self.source.reader.read(name)})
                yield name
        self._flush()

    def _parts(self, target: str, shape: Shape) -> dict[str, Tensor]:
        """Return the tensors that the copy has of a weight."""
        reader, name, dtype = self.source.reader, to_file(target), self.source.dtype
        if not self.quantization.covers(target, shape):
            weight = reader.read(name)
            return {name: weight.to(dtype) if self.source.cast else weight}
        if len(shape) == 2:
            return self.quantization.parts(target, reader.read(name), dtype)
        parts: dict[str, Tensor] = {}
        for number in range(shape[0]):
            expert = reader.read_part(name, number)
            parts |= self.quantization.expert_parts(target, number, expert, dtype)
        return parts

    def _add(self, item: str, parts: Mapping[str, Tensor]) -> None:
        size = _nbytes(parts) + _nbytes(self._pending)
        if self._pending and size > self.max_shard_bytes:
            self._flush()
        self._pending |= {name: part.contiguous() for name, part in parts.items()}
        self._items.append(item)

    def _flush(self) -> None:
        """Write a shard, and then that it is written."""
        if not self._pending:
            return
        name = self._next_name()
        draft = self.folder / f"{name}.draft"
        save_file(self._pending, draft, metadata={"format": "pt"})
        shard: _Shard = {
            "file": name,
            "sha256": _sha256(draft),
            "items": self._items,
            "tensors": list(self._pending),
            "bytes": _nbytes(self._pending),
        }
        replace_durably(draft, self.folder / name)
        self._shards.append(shard)
        self._pending, self._items = {}, []
        _write_state(self.folder / STATE, {"settings": self._settings, "shards": self._shards})

    def _next_name(self) -> str:
        taken = {shard["file"] for shard in self._shards}
        names = (f"model-{number:05d}.safetensors" for number in range(1, 10**5))
        return next(name for name in names if name not in taken)

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Write everything beside the shards.

        Returns:
            The bytes of the weights, and the names of those that should be quantized and are not.
        """
        shapes = self.source.shapes
        kept = tuple(
            target
            for target, shape in shapes.items()
            if target.endswith(QUANTIZED) and not self.quantization.covers(target, shape)
        )
        never = (target for target in shapes if target.endswith(NEVER_QUANTIZED))
        unquantized = [to_file(target).removesuffix(".weight") for target in (*kept, *never)]
        total = sum(shard["bytes"] for shard in self._shards)
        placed: dict[str, str] = {}
        for shard in self._shards:
            placed |= dict.fromkeys(shard["tensors"], shard["file"])
        write_json(self.folder / INDEX, {"metadata": {"total_size": total}, "weight_map": placed})
        description = {"quantization_config": self.quantization.describe(unquantized)}
        write_json(self.folder / "config.json", {**self.source.config, **description})
        for path in self.source.files:
            copy_path(path, self.folder / path.name)
        lines = [f"{shard['sha256']}  {shard['file']}\n" for shard in self._shards]
        (self.folder / CHECKSUMS).write_text("".join(lines), encoding="ascii")
        return total, kept


def _nbytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _write_state(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON so that the file is always complete."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(json.dumps(content), encoding="utf-8")
    replace_durably(draft, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
