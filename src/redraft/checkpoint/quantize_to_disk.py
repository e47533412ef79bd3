"""A quantized copy of a checkpoint, streamed: one matrix and one shard are in memory. Killed, it
goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.load import layout_of, stored_dtype
from redraft.checkpoint.names import EXPERTS, is_vision, to_file
from redraft.checkpoint.plan import shapes_of
from redraft.checkpoint.quantize import DENSE, Quantization
from redraft.checkpoint.save import CARRIED, write_json
from redraft.checkpoint.schemes import PLAIN
from redraft.checkpoint.shards import INDEX
from redraft.checkpoint.source import SAMPLING_FILE, Checkpoint, read_json
from redraft.errors import CheckpointError

SUMS = "checksums.sha256"  # as sha256sum writes it: `sha256sum -c` checks a folder
STATE = "quantizing.json"
Shape = tuple[int, ...]
WANTED = (*DENSE, *EXPERTS)  # what is to be in few bits
NEVER = (
    "router.proj.weight",
    "self_conditioning.gate_proj.weight",
    "self_conditioning.up_proj.weight",
    "self_conditioning.down_proj.weight",
)


class Reader(Protocol):
    """Where whole weights come from."""

    def read(self, name: str) -> Tensor:
        """A tensor by its name in a file."""
        ...

    def read_part(self, name: str, index: int) -> Tensor:
        """One of the parts along a tensor's first dimension."""
        ...


@dataclass(frozen=True)
class Source:
    """What is to be quantized. shapes: of the model's weights, by its names. others: tensors that
    are copied as they are. said: the config. files: whatever else belongs to it. name: told apart
    by a copy that goes on."""

    reader: Reader
    shapes: Mapping[str, Shape]
    dtype: torch.dtype
    said: dict[str, Any]
    others: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Summary:
    """What came of it. bytes: of the copy. kept: weights that were to be put into few bits and
    could not, and stayed whole."""

    folder: Path
    bytes: int
    kept: tuple[str, ...]


def source_of(checkpoint: Checkpoint, reader: Reader) -> Source:
    """A checkpoint whose weights are whole.

    Raises:
        CheckpointError: some are in few bits already. TensorMismatchError: they do not make the
            model.
    """
    layout = layout_of(checkpoint)
    matrices = [(weight.target, one) for weight in layout.weights for one in weight.matrices()]
    if told := [target for target, matrix in matrices if matrix.scheme is not PLAIN]:
        raise CheckpointError(
            f"{checkpoint.folder} is in few bits already ({told[0]} and others): quantize the original"
        )
    if any(weight.experts for weight in layout.weights):
        raise CheckpointError(
            f"{checkpoint.folder} has its experts one by one: only fused ones are quantized so far"
        )
    files = [
        checkpoint.folder / name for name in (*CARRIED, "generation_config.json", SAMPLING_FILE)
    ]
    return Source(
        reader,
        shapes_of(checkpoint.config),
        stored_dtype(checkpoint),
        read_json(checkpoint.folder / "config.json"),
        tuple(filter(is_vision, checkpoint.tensors)),
        tuple(path for path in files if path.exists()),
        f"{checkpoint.folder.resolve()} {_fingerprint(checkpoint)}",
    )


def _fingerprint(checkpoint: Checkpoint) -> str:
    """What tells a folder's shards from others of their names, without reading them."""
    files = sorted({info.file for info in checkpoint.tensors.values()})
    told = [(path.name, (found := path.stat()).st_size, found.st_mtime_ns) for path in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def quantized_copy(
    source: Source,
    folder: str | Path,
    quantization: Quantization,
    *,
    progress: Callable[[int, int], None] | None = None,
    max_shard_bytes: int = 1 << 30,
) -> Summary:
    """Write a folder with the source's weights in few bits, which redraft and other readers of
    compressed-tensors load.

    The folder appears when it is whole. Until then its parts are in FOLDER.partial; called again
    with the same source and settings, shards that are there and have their checksums are not made
    again.

    Raises:
        CheckpointError: the folder exists and is not empty, FOLDER.partial is of another source or
            of other settings, or it cannot be written.
    """
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(
            f"{target} is not an empty folder: nothing there is overwritten, name another"
        )
    writing = _Writing(
        target.with_name(f"{target.name}.partial"), source, quantization, max_shard_bytes
    )
    try:
        for count, _ in enumerate(writing.run(), 1):
            if progress:
                progress(count, len(source.shapes) + len(source.others))
        total, kept = writing.finish()
        if target.exists():
            target.rmdir()
        os.replace(writing.folder, target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{target} cannot be written: {error}; the same command goes on from {writing.folder.name}"
        ) from error
    (target / STATE).unlink()  # last: until then a copy that was killed goes on
    return Summary(target, total, kept)


class _Writing:
    """A copy on its way."""

    def __init__(self, folder: Path, source: Source, quantization: Quantization, most: int) -> None:
        self.folder, self.source, self.quantization, self.most = folder, source, quantization, most
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.draft"):
            draft.unlink()
        self._settings = {"source": source.name, "most": most} | quantization.to_dict()
        self._shards: list[dict[str, Any]] = self._begun()
        self._pending: dict[str, Tensor] = {}
        self._items: list[str] = []

    def _begun(self) -> list[dict[str, Any]]:
        """Shards of an earlier run, those that are as they were."""
        if not (self.folder / STATE).exists():
            if any(self.folder.iterdir()):
                raise CheckpointError(
                    f"{self.folder} is no copy that was begun: remove it, or name another folder"
                )
            _write_whole(self.folder / STATE, {"settings": self._settings, "shards": []})
            return []
        state = read_json(self.folder / STATE)
        if state.get("settings") != self._settings:
            raise CheckpointError(
                f"{self.folder} was begun from another source or with other settings: remove it to begin anew"
            )
        shards: list[dict[str, Any]] = state["shards"]
        return [
            one
            for one in shards
            if (path := self.folder / one["file"]).exists() and _sha256(path) == one["sha256"]
        ]

    def run(self) -> Iterator[str]:
        """Write what is missing; yields the name of each weight that is there."""
        done = {item for shard in self._shards for item in shard["items"]}
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
        reader, name, dtype = self.source.reader, to_file(target), self.source.dtype
        if not self.quantization.covers(target, shape):
            return {name: reader.read(name)}
        if len(shape) == 2:
            return self.quantization.parts(target, reader.read(name), dtype)
        found: dict[str, Tensor] = {}
        for number in range(shape[0]):
            found |= self.quantization.expert_parts(
                target, number, reader.read_part(name, number), dtype
            )
        return found

    def _add(self, item: str, parts: Mapping[str, Tensor]) -> None:
        size = sum(part.nbytes for part in parts.values())
        if self._pending and sum(part.nbytes for part in self._pending.values()) + size > self.most:
            self._flush()
        self._pending |= {name: part.contiguous() for name, part in parts.items()}
        self._items.append(item)

    def _flush(self) -> None:
        """Write a shard, and that it is written."""
        if not self._pending:
            return
        taken = {shard["file"] for shard in self._shards}
        name = next(
            name
            for number in range(1, 10**5)
            if (name := f"model-{number:05d}.safetensors") not in taken
        )
        draft = self.folder / f"{name}.draft"
        save_file(self._pending, draft, metadata={"format": "pt"})
        shard = {
            "file": name,
            "sha256": _sha256(draft),
            "items": self._items,
            "tensors": list(self._pending),
        }
        os.replace(draft, self.folder / name)
        self._shards.append(shard | {"bytes": sum(part.nbytes for part in self._pending.values())})
        self._pending, self._items = {}, []
        _write_whole(self.folder / STATE, {"settings": self._settings, "shards": self._shards})

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Everything beside the weights; bytes of these, and what stayed whole though it was to be
        put into few bits."""
        shapes = self.source.shapes
        wanted = [target for target, shape in shapes.items() if target.endswith(WANTED)]
        kept = tuple(
            target for target in wanted if not self.quantization.covers(target, shapes[target])
        )
        whole = [
            to_file(name).removesuffix(".weight")
            for name in (*kept, *(one for one in shapes if one.endswith(NEVER)))
        ]
        total = sum(shard["bytes"] for shard in self._shards)
        placed = {tensor: shard["file"] for shard in self._shards for tensor in shard["tensors"]}
        write_json(self.folder / INDEX, {"metadata": {"total_size": total}, "weight_map": placed})
        write_json(
            self.folder / "config.json",
            self.source.said | {"quantization_config": self.quantization.described(whole)},
        )
        for path in self.source.files:
            shutil.copy2(path, self.folder / path.name)
        lines = [f"{shard['sha256']}  {shard['file']}\n" for shard in self._shards]
        (self.folder / SUMS).write_text("".join(lines), encoding="ascii")
        return total, kept


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    """JSON that is there as a whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(json.dumps(content), encoding="utf-8")
    os.replace(draft, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
