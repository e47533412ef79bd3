"""A stand-in for CUDA streams: notes which launch may run beside which, and finds what races.

Two launches race where they use the same memory, one of them writes, and nothing says which comes
first. Memory races too that is given back while another stream may still use it. Kernels of our own
count as writing all that they are given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from triton.runtime.interpreter import GridExecutor

from redraft.network import side_by_side
from tests.network.launches import FREE

Clock = Counter["Stream"]


class Stream:
    """Stands for a stream: its clock has how many launches of each stream come before the next."""

    def __init__(self, device: Any = None) -> None:
        self.clock: Clock = Counter()

    def wait_stream(self, other: Stream) -> None:
        self.clock |= other.clock


class Memory:
    """What is known of a storage: its stream, and the last launches that wrote and read it."""

    def __init__(self, storage: torch.UntypedStorage, home: Stream) -> None:
        self.reference, self.home = StorageWeakRef(storage), home
        self.written: tuple[Stream, int] | None = None
        self.read: dict[Stream, int] = {}

    def uses(self) -> list[tuple[Stream, int]]:
        return [*self.read.items(), *([self.written] if self.written else [])]


class Races(TorchDispatchMode):
    """Notes the launches of each stream, by name, and `found`: what races."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = Stream()
        self.counts: dict[Stream, Counter[str]] = defaultdict(Counter)
        self.found: list[str] = []
        self._memory: dict[int, Memory] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name not in FREE:
            named = {
                one.name: value for one, value in zip(func._schema.arguments, args, strict=False)
            }
            writes = {
                one.name
                for one in func._schema.arguments
                if one.alias_info is not None and one.alias_info.is_write
            }
            every = (named | kwargs).items()
            self.launch(
                name,
                _tensors([value for key, value in every if key not in writes]),
                _tensors([value for key, value in every if key in writes]),
            )
        made = func(*args, **kwargs)
        for tensor in _tensors(made):
            self._memory_of(tensor)
        return made

    def launch(self, name: str, reads: list[Tensor], writes: list[Tensor]) -> None:
        """Note a launch of the current stream."""
        stream = self.current
        self.counts[stream][name] += 1
        for memory in self._memory.values():  # what the allocator may give this launch
            if memory.reference.expired() and memory.home is stream:
                self._check(f"{name} takes memory", memory.uses())
        written = [self._memory_of(one) for one in writes]
        for memory in [self._memory_of(one) for one in reads]:
            self._check(f"{name} reads", [memory.written] if memory.written else [])
        for memory in written:
            self._check(f"{name} writes", memory.uses())
        stream.clock[stream] += 1
        now = stream.clock[stream]
        for tensor in reads:
            self._memory_of(tensor).read[stream] = now
        for memory in written:
            memory.written = stream, now

    def _check(self, what: str, before: list[tuple[Stream, int]]) -> None:
        late = [stream for stream, time in before if self.current.clock[stream] < time]
        self.found.extend(what for _ in late)

    def _memory_of(self, tensor: Tensor) -> Memory:
        storage = tensor.untyped_storage()
        known = self._memory.get(storage._cdata)
        if known is None or known.reference.expired():
            known = self._memory[storage._cdata] = Memory(storage, self.current)
        return known

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def __enter__(self) -> Races:
        def launch(executor: GridExecutor, *args: object, **options: object) -> None:
            self.launch(executor.fn.__name__, [], _tensors(args))

        self._patch = patch.object(GridExecutor, "__call__", launch)
        self._patch.start()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patch.stop()


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, Tensor)]


@contextmanager
def streams(monkeypatch: pytest.MonkeyPatch, races: Races, device: str) -> Iterator[None]:
    """Treat a device as one with streams, on which a graph is being captured."""
    with monkeypatch.context() as patching:
        patching.setattr(side_by_side, "STREAM_DEVICES", {device})
        patching.setattr(side_by_side, "_STREAMS", {})
        patching.setattr(side_by_side, "card_of", lambda device: "hopper")
        for name, stand_in in {
            "Stream": Stream,
            "stream": races.on,
            "current_stream": lambda device: races.current,
            "is_current_stream_capturing": lambda: True,
        }.items():
            patching.setattr(torch.cuda, name, stand_in)
        yield
