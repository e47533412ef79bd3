"""KV cache: keys and values of one sequence's prefix.

The buffers are allocated once. Only clean tokens are written, by `encode`.

A full layer keeps the whole prefix. A sliding layer keeps the last `sliding_window - 1` tokens:
what the next token, or a whole canvas, can still see. Behind the prefix each layer has space for
one canvas. `denoise` writes the canvas's keys and values there for one attention call; the prefix
is not changed, so any number of canvases can be tried on one cache.

A truncatable cache keeps the whole prefix in sliding layers too, and shows a canvas only the last
tokens of it.

Where a CUDA graph writes the tokens, columns are moved to the front before it, and only when there
is no room behind them: a sliding layer may hold more than it has to keep until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.config import ModelConfig
from redraft.ops.attention import PrefixLocation

# Where keys and values go: the addresses of the first token's in the first head, and the number of
# elements from head to head.
KeyValuePlace = tuple[int, int, int]
# Called with a layer's index, and keys and values [kv_heads, n, head_dim].
WriteListener = Callable[[int, Tensor, Tensor], None]


class _LayerCache:
    """The buffers of one layer, [kv_heads, columns, head_dim] each.

    Attributes:
        max_kept: the number of prefix tokens that the buffers can keep.
        max_visible: how many of them, the last ones, a canvas sees.
        kept: the number of prefix tokens in the buffers now; they are the first columns. Behind a
            CUDA graph it may be more than `max_kept`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        max_kept: int,
        dtype: torch.dtype,
        device: torch.device,
        max_visible: int | None = None,
    ) -> None:
        self.max_kept = max_kept
        self.max_visible = max_kept if max_visible is None else max_visible
        self.kept = 0
        self.key = torch.empty(shape, dtype=dtype, device=device)
        self.value = torch.empty(shape, dtype=dtype, device=device)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prefix with `key` and `value` behind it; `kept` does not change.

        The result is a view of the buffers where they have the columns, and a copy otherwise.
        """
        end = self.kept + key.shape[1]
        if end > self.key.shape[1]:
            keys = torch.cat((self.key[:, : self.kept], key), 1)
            return keys, torch.cat((self.value[:, : self.kept], value), 1)
        self.key[:, self.kept : end] = key
        self.value[:, self.kept : end] = value
        return self.key[:, :end], self.value[:, :end]

    def free_columns(self, count: int) -> bool:
        """Move the columns that must be kept to the front if `count` more would not fit; return
        False if they do not fit then either."""
        columns = self.key.shape[1]
        if self.kept + count > columns >= self.max_kept + count:
            self.keep(self.key[:, : self.kept], self.value[:, : self.kept])
        return self.kept + count <= columns

    def fork(self) -> _LayerCache:
        """Return a copy of the columns that a canvas sees."""
        heads, columns, dim = self.key.shape
        shape = (heads, columns - self.max_kept + self.max_visible, dim)
        twin = _LayerCache(shape, self.max_visible, self.key.dtype, self.key.device)
        twin.kept = min(self.kept, self.max_visible)
        visible = slice(self.kept - twin.kept, self.kept)
        twin.key[:, : twin.kept] = self.key[:, visible]
        twin.value[:, : twin.kept] = self.value[:, visible]
        return twin

    def keep(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Make the last `max_kept` columns of what `append` returned the prefix; return all of
        them, which outlive the move to the front."""
        own = key.data_ptr() == self.key.data_ptr()
        if own and key.shape[1] > self.max_kept:
            key, value = key.clone(), value.clone()
        self.kept = min(key.shape[1], self.max_kept)
        if self.kept < key.shape[1]:
            self.key[:, : self.kept] = key[:, -self.kept :]
            self.value[:, : self.kept] = value[:, -self.kept :]
        return key, value


class Cache:
    """The KV cache of one sequence.

    Args:
        config: the network's shape.
        capacity: the number of prefix tokens that it can hold.
        dtype: of keys and values.
        canvas_length: the space behind the prefix, in tokens; the config's canvas length if None.
        truncatable: keep what sliding layers no longer see, so that `truncate` works.
        adapter: the adapter that the sequence is read with; None for the base alone.

    Attributes:
        length: the number of tokens encoded so far. The next token, or canvas, begins at this
            position.
        on_write: called with everything that `write` gets, before it is written.
        moves: how often `free_columns` moved columns, so that where they lie has to be asked again.
    """

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        canvas_length: int | None = None,
        truncatable: bool = False,
        adapter: str | None = None,
    ) -> None:
        self.capacity = capacity
        self.adapter = adapter
        self.truncatable = truncatable
        self.length = 0
        self.on_write: WriteListener | None = None
        self.moves = 0
        self._addresses: NDArray[np.int64] | None = None
        space = config.canvas_length if canvas_length is None else canvas_length
        self._layers = []
        for layer in config.layers:
            window = layer.sliding_window
            visible = capacity if window is None else min(capacity, window - 1)
            kept = capacity if truncatable else visible
            shape = (layer.num_key_value_heads, kept + space, layer.head_dim)
            self._layers.append(_LayerCache(shape, kept, dtype, torch.device(device), visible))

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add clean tokens to one layer, as `encode` does.

        Args:
            layer: the layer's index.
            key, value: [kv_heads, n, head_dim] of the next n tokens.

        Returns:
            The keys and values that those tokens may see, [kv_heads, T, head_dim] each.
        """
        assert self.length + key.shape[1] <= self.capacity, (self.length, key.shape, self.capacity)
        if self.on_write is not None:
            self.on_write(layer, key, value)
        buffers = self._layers[layer]
        return buffers.keep(*buffers.append(key, value))

    def place(self, layer: int, count: int, before: int = 0) -> KeyValuePlace | None:
        """Return where the keys and values of the next tokens go, for a kernel that writes them.

        None where `write` has to move columns first.

        Args:
            count: the number of these tokens.
            before: the number of tokens that the same pass writes before them.
        """
        buffers = self._layers[layer]
        end = buffers.kept + before
        if (before and end > buffers.max_kept) or end + count > buffers.key.shape[1]:
            return None
        key, value = buffers.key[:, end:], buffers.value[:, end:]
        return key.data_ptr(), value.data_ptr(), key.stride(0)

    def adopt(self, layer: int, count: int) -> tuple[Tensor, Tensor]:
        """Do what `write` does, with tokens whose keys and values are at their `place` already."""
        assert self.length + count <= self.capacity, (self.length, count, self.capacity)
        buffers = self._layers[layer]
        end = buffers.kept + count
        if self.on_write is not None:
            own = slice(buffers.kept, end)
            self.on_write(layer, buffers.key[:, own], buffers.value[:, own])
        return buffers.keep(buffers.key[:, :end], buffers.value[:, :end])

    def free_columns(self, count: int) -> bool:
        """Make room for `count` tokens behind the columns of every layer.

        Returns:
            False if a layer cannot have it; others may have moved columns then.
        """
        if self.length + count > self.capacity:
            return False
        kept = [layer.kept for layer in self._layers]
        found = [layer.free_columns(count) for layer in self._layers]  # of all, not up to the first
        self.moves += kept != [layer.kept for layer in self._layers]
        return all(found)

    def addresses(self) -> NDArray[np.int64]:
        """Return where each layer's columns lie, int64 [layers, 6].

        The addresses of keys and values, elements from head to head, bytes of a column, columns
        that are kept, and how many of them, the last ones, a canvas sees at most.
        """
        if self._addresses is None:
            rows = [
                (
                    layer.key.data_ptr(),
                    layer.value.data_ptr(),
                    layer.key.stride(0),
                    layer.key.stride(1) * layer.key.itemsize,
                    0,
                    layer.max_visible,
                )
                for layer in self._layers
            ]
            self._addresses = np.array(rows, dtype=np.int64)
        self._addresses[:, 4] = [layer.kept for layer in self._layers]
        return self._addresses

    def take_written(self, count: int) -> None:
        """Take `count` tokens as written by a kernel behind the columns of every layer.

        The position moves by `advance`.
        """
        for index, layer in enumerate(self._layers):
            end = layer.kept + count
            if self.on_write is not None:
                own = slice(layer.kept, end)
                self.on_write(index, layer.key[:, own], layer.value[:, own])
            layer.kept = end

    def advance(self, count: int) -> None:
        """Move the position by `count` tokens, after they were written to every layer."""
        self.length += count

    def load(self, layers: Sequence[tuple[Tensor, Tensor]], length: int) -> None:
        """Fill an empty cache with `length` tokens that were encoded before.

        Args:
            layers: keys and values [kv_heads, n, head_dim] of each layer: of all the tokens, or of
                the last `max_kept(layer)`.
        """
        assert self.length == 0, self.length
        for buffers, (key, value) in zip(self._layers, layers, strict=True):
            buffers.kept = min(buffers.max_kept, length)
            buffers.key[:, : buffers.kept] = key[:, key.shape[1] - buffers.kept :]
            buffers.value[:, : buffers.kept] = value[:, key.shape[1] - buffers.kept :]
        self.length = length

    def max_kept(self, layer: int) -> int:
        """Return the number of prefix tokens that a layer can keep."""
        return self._layers[layer].max_kept

    def peek(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values that a canvas sees: the visible prefix and the canvas itself.

        The result may use the space behind the prefix: it is valid until the next `peek` or
        `write`.
        """
        buffers = self._layers[layer]
        first = max(0, buffers.kept - buffers.max_visible)
        keys, values = buffers.append(key, value)
        return keys[:, first:], values[:, first:]

    def prefix_location(self, layer: int, more: int) -> PrefixLocation:
        """Return where in memory the prefix lies that a canvas sees, for a kernel.

        Args:
            more: the number of tokens that will be written before the canvas is read.
        """
        buffers = self._layers[layer]
        # What is written moves columns that need not be kept.
        kept = min(buffers.kept + more, buffers.max_kept) if more else buffers.kept
        skipped = max(0, kept - buffers.max_visible)
        key, value = buffers.key[:, skipped:], buffers.value[:, skipped:]
        return key.data_ptr(), value.data_ptr(), key.stride(0), kept - skipped

    def truncate(self, length: int) -> None:
        """Drop all but the first `length` tokens.

        Raises:
            ValueError: the cache is not truncatable, or holds fewer tokens.
        """
        if not self.truncatable or not 0 <= length <= self.length:
            raise ValueError(
                f"a cache of {self.length} tokens (truncatable={self.truncatable}) "
                f"cannot be truncated to {length}"
            )
        self.length = length
        for layer in self._layers:
            layer.kept = length

    def fork(self) -> Cache:
        """Return an independent copy of what a canvas can still see. It is not truncatable."""
        copy = object.__new__(Cache)
        copy.capacity, copy.length = self.capacity, self.length
        copy.adapter = self.adapter
        copy.truncatable, copy.on_write, copy._addresses = False, None, None
        copy.moves = 0
        copy._layers = [layer.fork() for layer in self._layers]
        return copy

    def prefix(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values that one layer keeps, [kv_heads, kept, head_dim] each."""
        buffers = self._layers[layer]
        kept = slice(max(0, buffers.kept - buffers.max_kept), buffers.kept)
        return buffers.key[:, kept], buffers.value[:, kept]

    def nbytes(self) -> int:
        """Return the allocated bytes."""
        return sum(layer.key.nbytes + layer.value.nbytes for layer in self._layers)
