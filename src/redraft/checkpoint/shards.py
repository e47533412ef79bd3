"""Safetensors shards: which file holds which tensor, checked from the headers before any tensor is
read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Protocol, Self

from safetensors import SafetensorError, safe_open
from torch import Tensor

from redraft.checkpoint.foreign import check_weights
from redraft.errors import CheckpointError, UnsafeFormatError
from redraft.text.plain_file import is_file, is_there, read_json

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


class OpenShard(Protocol):
    """A file that safetensors' `safe_open` has opened."""

    def get_tensor(self, name: str) -> Tensor:
        """Return a tensor."""
        ...

    def get_slice(self, name: str) -> Sequence[Tensor]:
        """Return the parts along a tensor's first dimension; they are read when indexed."""
        ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as its shard's header describes it. `dtype` is safetensors' name: F32, BF16, ..."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def tensor_infos(folder: Path) -> tuple[dict[str, TensorInfo], list[str]]:
    """Return all tensors of a folder, by name, in file order, and a sentence for each problem.

    Raises:
        UnsafeFormatError: the folder holds only pickled weights.
        CheckpointError: there are no weights, or the index cannot be read.
    """
    index = folder / INDEX
    if is_there(index):
        return _from_index(folder, index)
    if is_there(folder / SINGLE):
        infos, problem = _read_header(folder / SINGLE)
        return infos, [problem] if problem else []
    pickled = chain.from_iterable(map(folder.glob, UNSAFE))
    if names := sorted(path.name for path in pickled):
        raise UnsafeFormatError(
            f"{folder} holds {', '.join(names)}: pickled weights can run code and are never "
            "loaded; convert them to safetensors where you trust them"
        )
    check_weights(folder)
    raise CheckpointError(
        f"{folder} holds neither {INDEX} nor {SINGLE}: is it a DiffusionGemma checkpoint?"
    )


def read_tensors(infos: dict[str, TensorInfo]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors one after another. Each shard is opened once."""
    by_file: dict[Path, list[str]] = {}
    for name, info in infos.items():
        by_file.setdefault(info.file, []).append(name)
    for path, names in by_file.items():
        with safe_open(path, framework="pt") as shard:
            for name in names:
                yield name, shard.get_tensor(name)


class ShardReader:
    """Reads tensors in any order.

    Args:
        max_open: shards that are open at a time. The parts of an open shard that were read count as
            memory of the process.
    """

    def __init__(self, infos: Mapping[str, TensorInfo], max_open: int = 2) -> None:
        self._infos, self._max_open = infos, max_open
        self._open: OrderedDict[Path, OpenShard] = OrderedDict()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self._infos[name].shape

    def read(self, name: str) -> Tensor:
        """Return a tensor. It may be a view of the file: copy it to keep it."""
        return self._shard(name).get_tensor(name)

    def read_part(self, name: str, index: int) -> Tensor:
        """Return one of the parts along a tensor's first dimension."""
        return self._shard(name).get_slice(name)[index]

    def _shard(self, name: str) -> OpenShard:
        path = self._infos[name].file
        if path not in self._open:
            while len(self._open) >= self._max_open:
                self._open.popitem(last=False)[1].__exit__(None, None, None)
            shard = safe_open(path, framework="pt")
            self._open[path] = shard.__enter__()  # type: ignore[no-untyped-call]
        return self._open[path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].__exit__(None, None, None)


def _from_index(folder: Path, index: Path) -> tuple[dict[str, TensorInfo], list[str]]:
    """Return the tensors of the shards that an index names, and a sentence for each problem."""
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict):
        raise CheckpointError(f"{index} is not a safetensors index: it needs a weight_map")
    outside = [f"{name!r}" for name in placed.values() if not _is_inside(name)]
    if outside:
        raise CheckpointError(
            f"{index} places tensors outside its folder, or in files that are no safetensors: "
            f"{', '.join(outside[:4])}"
        )
    files = set(placed.values())
    infos: dict[str, TensorInfo] = {}
    problems: list[str] = []
    for shard in sorted(files):
        names = [name for name, where in placed.items() if where == shard]
        if not is_file(folder / shard):
            problems.append(f"shard {shard} is missing, and with it {', '.join(names)}")
            continue
        found, problem = _read_header(folder / shard)
        infos |= found
        if problem:
            problems.append(f"{problem}; with it {', '.join(names)}")
            continue
        problems += [
            f"{name} is not in {shard}, where the index places it"
            for name in names
            if name not in found
        ]
        problems += [
            f"{name} is in {shard}, but the index places it elsewhere or nowhere"
            for name in found
            if name not in names
        ]
    return infos, problems


def _is_inside(name: object) -> bool:
    """Return True for the name of a file in a folder, or in a folder of that."""
    if not isinstance(name, str) or not name.endswith(".safetensors") or "\\" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not path.parts[0].endswith(":")


def _read_header(path: Path) -> tuple[dict[str, TensorInfo], str | None]:
    """Return the tensors of one shard, or a sentence that says what is wrong with it.

    safetensors checks that the file is as long as its header says.
    """
    if not is_file(path):
        return {}, f"{path.name} is no ordinary file"
    try:
        with safe_open(path, framework="pt") as shard:
            slices = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118
            return {
                name: TensorInfo(tuple(part.get_shape()), part.get_dtype(), path)
                for name, part in slices.items()
            }, None
    except (SafetensorError, OSError) as error:
        return {}, f"{path.name} is damaged or cut short ({path.stat().st_size} bytes): {error}"
