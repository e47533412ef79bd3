"""Cache: keys and values of one sequence's clean prefix, allocated once, written by clean tokens
alone.

A full layer holds the whole prefix. A sliding layer holds only its last `sliding_window - 1`
tokens: what the next token, or a whole canvas, may still see. Behind the prefix each layer has room
for one canvas; `denoise` puts its keys and values there for the length of one attention, which
leaves the prefix as it was, so that any number of canvases can be tried on it.

A cache that is to be cut back keeps the whole prefix in sliding layers too, and shows a canvas the
last of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redraft.config import ModelConfig
from redraft.ops.attention import Place

Watcher = Callable[[int, Tensor, Tensor], None]  # layer, keys and values [kv_heads, n, head_dim]


class _Layer:
    """One layer's buffers [kv_heads, room, head_dim]; the first `kept` columns are the prefix it
    still holds."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        keep: int,
        dtype: torch.dtype,
        device: torch.device,
        shown: int | None = None,
    ) -> None:
        self.keep = keep  # prefix tokens held at most
        self.shown = keep if shown is None else shown  # those of them, the last, that a canvas sees
        self.kept = 0
        self.key = torch.empty(shape, dtype=dtype, device=device)
        self.value = torch.empty(shape, dtype=dtype, device=device)

    def behind(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix with `key` and `value` behind it, without keeping them where the buffer has
        room."""
        end = self.kept + key.shape[1]
        if end > self.key.shape[1]:
            return torch.cat((self.key[:, : self.kept], key), 1), torch.cat(
                (self.value[:, : self.kept], value), 1
            )
        self.key[:, self.kept : end] = key
        self.value[:, self.kept : end] = value
        return self.key[:, :end], self.value[:, :end]

    def fork(self) -> _Layer:
        """A copy of the columns that a canvas sees."""
        heads, columns, dim = self.key.shape
        shape = (heads, columns - self.keep + self.shown, dim)
        twin = _Layer(shape, self.shown, self.key.dtype, self.key.device)
        twin.kept = min(self.kept, self.shown)
        seen = slice(self.kept - twin.kept, self.kept)
        twin.key[:, : twin.kept] = self.key[:, seen]
        twin.value[:, : twin.kept] = self.value[:, seen]
        return twin

    def keep_last(self, key: Tensor, value: Tensor) -> None:
        """Make the last `keep` columns of what `behind` returned the prefix."""
        self.kept = min(key.shape[1], self.keep)
        if self.kept < key.shape[1]:
            # `key` may be a view of the buffer: copy before the columns move to the front.
            self.key[:, : self.kept] = key[:, -self.kept :].clone()
            self.value[:, : self.kept] = value[:, -self.kept :].clone()


class Cache:
    """Prefix of one sequence.

    Args:
        config: the model's shape.
        capacity: prefix tokens it can hold.
        canvas_length: room behind the prefix, the config's canvas length unless given.
        whole: keep what sliding layers no longer see, so that the cache can be cut back.

    Attributes:
        length: tokens encoded so far; the next token, or canvas, begins at this position.
        watcher: told of all that is written, before it is.
    """

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        canvas_length: int | None = None,
        whole: bool = False,
    ) -> None:
        self.capacity = capacity
        self.whole = whole
        self.length = 0
        self.watcher: Watcher | None = None
        room = config.canvas_length if canvas_length is None else canvas_length
        self._layers = []
        for layer in config.layers:
            shown = (
                capacity
                if layer.sliding_window is None
                else min(capacity, layer.sliding_window - 1)
            )
            keep = capacity if whole else shown
            shape = (layer.num_key_value_heads, keep + room, layer.head_dim)
            self._layers.append(_Layer(shape, keep, dtype, torch.device(device), shown))

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add clean tokens to one layer, as `encode` does.

        Args:
            key, value: [kv_heads, n, head_dim] of the next n tokens.

        Returns:
            Keys and values those tokens may see [kv_heads, T, head_dim].
        """
        assert self.length + key.shape[1] <= self.capacity, (self.length, key.shape, self.capacity)
        if self.watcher is not None:
            self.watcher(layer, key, value)
        held = self._layers[layer]
        keys, values = held.behind(key, value)
        # The views returned must outlive the move to the front: sliding layers hand out copies once
        # they overflow.
        if keys.shape[1] > held.keep and keys.data_ptr() == held.key.data_ptr():
            keys, values = keys.clone(), values.clone()
        held.keep_last(keys, values)
        return keys, values

    def advance(self, count: int) -> None:
        """All layers hold the next `count` tokens: move the position behind them."""
        self.length += count

    def load(self, layers: Sequence[tuple[Tensor, Tensor]], length: int) -> None:
        """Begin with `length` tokens that were encoded before: keys and values [kv_heads, n,
        head_dim] of each layer, of all of them, or of as many as the layer keeps."""
        assert self.length == 0, self.length
        for held, (key, value) in zip(self._layers, layers, strict=True):
            held.kept = min(held.keep, length)
            held.key[:, : held.kept] = key[:, key.shape[1] - held.kept :]
            held.value[:, : held.kept] = value[:, key.shape[1] - held.kept :]
        self.length = length

    def keeps(self, layer: int) -> int:
        """Tokens of a prefix that a layer keeps at most."""
        return self._layers[layer].keep

    def peek(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values a canvas sees: the prefix (its window on sliding layers) and the canvas
        itself.

        The result may share the room behind the prefix: it is valid until the next `peek` or
        `write`.
        """
        held = self._layers[layer]
        first = max(0, held.kept - held.shown)
        keys, values = held.behind(key, value)
        return keys[:, first:], values[:, first:]

    def place(self, layer: int, more: int) -> Place:
        """Where the prefix lies that a canvas sees once `more` tokens are written: addresses of its
        keys and values, numbers from head to head, tokens."""
        held = self._layers[layer]
        kept = min(held.kept + more, held.keep)
        skipped = max(0, kept - held.shown)
        key, value = held.key[:, skipped:], held.value[:, skipped:]
        return key.data_ptr(), value.data_ptr(), key.stride(0), kept - skipped

    def cut(self, length: int) -> None:
        """Forget all but the first `length` tokens.

        Raises:
            ValueError: the cache is not a whole one, or holds fewer.
        """
        if not self.whole or not 0 <= length <= self.length:
            raise ValueError(
                f"a cache of {self.length} tokens (whole={self.whole}) cannot be cut to {length}"
            )
        self.length = length
        for layer in self._layers:
            layer.kept = length

    def fork(self) -> Cache:
        """An independent copy, to be continued another way, of what can still be seen: it cannot be
        cut back."""
        copy = object.__new__(Cache)
        copy.capacity, copy.length, copy.whole, copy.watcher = (
            self.capacity,
            self.length,
            False,
            None,
        )
        copy._layers = [layer.fork() for layer in self._layers]
        return copy

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values that one layer holds [kv_heads, kept, head_dim]."""
        held = self._layers[layer]
        return held.key[:, : held.kept], held.value[:, : held.kept]

    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(layer.key.nbytes + layer.value.nbytes for layer in self._layers)
