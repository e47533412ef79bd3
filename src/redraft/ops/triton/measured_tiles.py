"""Tiles that were measured on a card (`redraft tune`), in a file that is read when one is wanted.

A file is for one card, one version of Triton and of torch, and the kernels as they are. Where it is
missing, or is not what this program wrote, the built-in table holds (`tiles.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

import torch

# A name of a measurement, such as "attention 256", and the numbers of its tile.
Tiles = Mapping[str, tuple[int, ...]]
# Greatest number of a tile, and of tiles in a file.
MAX_NUMBER, MAX_TILES = 1024, 4096

_READ: dict[int, dict[str, tuple[int, ...]]] = {}
_TRIED: dict[str, tuple[int, ...]] = {}
_LOCK = Lock()


def measured_tile(device: torch.device, name: str, count: int) -> tuple[int, ...] | None:
    """Return the `count` numbers of a tile that was measured on this device; None for none."""
    if name in _TRIED:
        return _TRIED[name]
    if device.type != "cuda":
        return None
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _READ:
        with _LOCK:
            _READ.setdefault(index, dict(read_tiles(tiles_path(card_name(index)))))
    tile = _READ[index].get(name)
    return tile if tile is not None and len(tile) == count else None


@contextmanager
def trying(name: str, tile: tuple[int, ...]) -> Iterator[None]:
    """Use a tile within the context, in all threads: for measuring."""
    _TRIED[name] = tile
    try:
        yield
    finally:
        del _TRIED[name]


def attention_name(width: int, dtype: torch.dtype, causal: bool) -> str:
    """Return the name of the attention kernel's tile: queries, keys, warps, stages."""
    return f"attention {width} {_short(dtype)}{' causal' * causal}"


def product_name(
    form: str, shape: tuple[int, int], group: int, grouped: bool, dtype: torch.dtype
) -> str:
    """Return the name of a product's tile: rows, columns, warps, stages."""
    kind = "experts" if grouped else "matrix"
    return f"product {kind} {form} {group} {shape[0]}x{shape[1]} {_short(dtype)}"


def integers_name(shape: tuple[int, int]) -> str:
    """Return the name of the choice, 1 or 0, to multiply a matrix of int8 in integers."""
    return f"integers {shape[0]}x{shape[1]}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def forget_tiles() -> None:
    """Ask the files again for what comes next."""
    with _LOCK:
        _READ.clear()


def card_name(index: int) -> str:
    """Return the name of a CUDA device."""
    return str(torch.cuda.get_device_name(index))


def tiles_path(card: str) -> Path:
    """Return the file for a card: below `REDRAFT_CACHE`, or `~/.cache/redraft`."""
    root = os.environ.get("REDRAFT_CACHE") or str(Path("~/.cache/redraft").expanduser())
    words = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    return Path(root) / "tiles" / f"{words}-{_versions()}.json"


def read_tiles(path: Path) -> Tiles:
    """Return the tiles of a file; none where it is missing, and none with a warning where it is not
    what `write_tiles` writes."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        return _refuse(path, error)
    try:
        return _checked(json.loads(text))
    except (ValueError, RecursionError) as error:
        return _refuse(path, error)


def write_tiles(path: Path, card: str, tiles: Tiles) -> None:
    """Write the tiles of a card, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"card": card, "tiles": {name: list(tile) for name, tile in tiles.items()}}
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _checked(document: Any) -> Tiles:
    """Return the tiles of a document.

    Raises:
        ValueError: it is of another form.
    """
    tiles = document.get("tiles") if isinstance(document, dict) else None
    if not isinstance(tiles, dict) or len(tiles) > MAX_TILES:
        raise ValueError("it has no table of tiles")
    for name, tile in tiles.items():
        if not isinstance(tile, list) or not tile or not all(map(_is_number, tile)):
            raise ValueError(f"{name[:80]!r} is no list of whole numbers from 0 to {MAX_NUMBER}")
    return {name: tuple(tile) for name, tile in tiles.items()}


def _is_number(one: object) -> bool:
    return isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= MAX_NUMBER


def _refuse(path: Path, error: Exception) -> Tiles:
    warnings.warn(
        f"{path} is no file of measured tiles, the built-in ones are used: {error}",
        RuntimeWarning,
        stacklevel=3,
    )
    return {}


@cache
def _versions() -> str:
    """Return what a measurement holds for beside the card: versions, and the kernels' source."""
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return f"triton{triton}-torch{torch.__version__.partition('+')[0]}-{digest.hexdigest()[:12]}"
