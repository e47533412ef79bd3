"""Count what a denoising step launches on a device, on tensors that have no numbers.

`python -m tests.network.launches` prints the counts of the released shape as JSON lines. torch's
operations are counted as they are dispatched, kernels of our own as they are launched; neither
runs.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime.interpreter import GridExecutor

from redraft.config import ModelConfig
from redraft.config.presets import PRESETS
from redraft.engine import recorded_step, recorded_tokens
from redraft.network import DiffusionGemma, join_weights, place_weight, recorded_pass
from redraft.network.cuda_graphs import CudaGraphs
from redraft.network.segments import Clean
from redraft.ops import triton as kernels
from redraft.ops.vocabulary import Readout
from redraft.quant import FORMATS, ExpertList, PackedWeight

# Operations that only make tensors, or new views of them.
FREE = ("empty", "new_empty", "empty_like", "empty_strided", "_unsafe_view", "detach_")


class Launches(TorchDispatchMode):
    """Counts launches by name while it is active: torch's operations and our kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func._schema.name.removeprefix("aten::")
        made = func(*args, **(kwargs or {}))
        if name not in FREE and not (_may_be_a_view(func) and _storage(made) == _storage(args[0])):
            self.counts[name] += 1
        return made

    def __enter__(self) -> Launches:
        def launch(executor: GridExecutor, *args: object, **options: object) -> None:
            self.counts[executor.fn.__name__] += 1

        self._patch = patch.object(GridExecutor, "__call__", launch)
        self._patch.start()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patch.stop()


def _may_be_a_view(func: Any) -> bool:
    kinds = [one.alias_info for one in func._schema.returns]
    return any(one is not None and not one.is_write for one in kinds)


def _storage(tensors: Any) -> int:
    """Return what identifies the memory of a tensor, or of the first of several."""
    first = tensors if isinstance(tensors, torch.Tensor) else tensors[0]
    return int(first.untyped_storage()._cdata)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Treat tensors of the device "meta" as those of a CUDA device."""
    kernels.KERNEL_DEVICES.add("meta")
    recorded_pass.GRAPH_DEVICES.add("meta")
    try:
        yield
    finally:
        kernels.KERNEL_DEVICES.discard("meta")
        recorded_pass.GRAPH_DEVICES.discard("meta")


def network_without_numbers(config: ModelConfig, form: str, kept: bool) -> DiffusionGemma:
    """Return a network whose matrices have a form; all layers share their experts.

    Args:
        kept: matrices of linear layers are kept decoded.
    """
    with torch.device("meta"):
        network = DiffusionGemma(config).to(torch.bfloat16).eval().requires_grad_(False)
    if form != "bf16":
        made: dict[tuple[str, torch.Size], Any] = {}
        for name, weight in list(network.state_dict().items()):
            if "layers." not in name or "router" in name or weight.ndim < 2:
                continue
            key = name.split(".", 2)[2], weight.shape
            if key not in made:
                made[key] = _packed(weight, form)
                if kept and isinstance(made[key], PackedWeight):
                    made[key].keep_decoded()
            place_weight(network, name, made[key])
    join_weights(network)
    return network


def _packed(weight: torch.Tensor, form: str) -> PackedWeight | ExpertList:
    if weight.ndim == 2:
        return FORMATS[form].quantize(weight, weight.dtype, 64)
    one = FORMATS[form].quantize(weight[0], weight.dtype, 64)
    return ExpertList([one] * len(weight))


@contextmanager
def counting(launches: Launches) -> Iterator[None]:
    """Count what a graph would hold, and nothing outside of it; no graph is made."""

    def run(self: CudaGraphs, kind: str, segments: Any, inputs: Any, *rest: Any, **_: Any) -> Any:
        make_context, work = rest[:2]
        context = make_context()
        with launches:
            return work(context, *inputs)

    with without_numbers(), torch.inference_mode(), patch.object(CudaGraphs, "run", run):
        yield


def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """Return a tensor without numbers."""
    return torch.zeros(*shape, dtype=dtype, device="meta")


def step_launches(config: ModelConfig, form: str = "bf16", *, kept: bool = False) -> Counter[str]:
    """Return what a second step launches from tokens to statistics, by name."""
    launches, length = Launches(), config.canvas_length
    with counting(launches):
        network = network_without_numbers(config, form, kept)
        cache = network.new_cache(16)
        signal = zeros(1, length, config.hidden_size, dtype=torch.bfloat16)
        asked = Readout(
            temperature=torch.ones(1, device="meta"),
            uniform=zeros(1, length, dtype=torch.float64),
            greedy=zeros(1, dtype=torch.bool),
            edits=[None],
        )
        for _ in range(2):
            launches.counts.clear()
            network.denoise(zeros(1, length), [cache], signal, asked)
    return launches.counts


def whole_step_launches(config: ModelConfig, *, commit: bool = False) -> Counter[str]:
    """Return what the graph of a whole step launches, from state to state, by name.

    Args:
        commit: it encodes a canvas too; the prefix is so long that sliding layers are full.
    """
    launches, length = Launches(), config.canvas_length
    with counting(launches):
        network = network_without_numbers(config, "bf16", kept=True)
        cache = network.new_cache(4096)
        for _ in range(5 * commit):
            network.prefill([zeros(length)], [cache])
        launches.counts.clear()
        numbers = [zeros(1) for _ in range(3)]
        settings = [zeros(1, dtype=torch.float32) for _ in range(4)]
        found = network.record(
            "step",
            recorded_step._step,
            (
                zeros(1, length), zeros(1, length, dtype=torch.bool),
                zeros(1, length, config.hidden_size, dtype=torch.bfloat16), zeros(1, length),
                *numbers, *settings, zeros(1), zeros(1, dtype=torch.float32),
                zeros(1), zeros(1), zeros(1),
            ),
            [cache],
            zeros(1, length),
            Clean([zeros(length)], [cache]) if commit else None,
            recorded_step.FEEDS,
        )  # fmt: skip
    assert found is not None
    return launches.counts


def token_launches(config: ModelConfig, rows: int = 1) -> Counter[str]:
    """Return what the graph of an autoregressive token launches, by name."""
    launches = Launches()
    with counting(launches):
        network = network_without_numbers(config, "bf16", kept=True)
        caches = [network.new_cache(64) for _ in range(rows)]
        clean = Clean([zeros(1)] * rows, caches)
        found = network.record("token", recorded_tokens._next, (zeros(rows, 7),), (), None, clean)
    assert found is not None
    return launches.counts


def commit_launches(config: ModelConfig) -> Counter[str]:
    """Return what a commit with the first step behind it launches outside of its graph, by name.

    The prefix is so long that sliding layers must move columns.
    """
    launches, inside, length = Launches(), Launches(), config.canvas_length
    with counting(inside):
        network = network_without_numbers(config, "bf16", kept=True)
        cache = network.new_cache(4096)
        for _ in range(6):
            network.prefill([zeros(length)], [cache])
        signal = zeros(1, length, config.hidden_size, dtype=torch.bfloat16)
        inside.counts.clear()
        with launches:
            network.canvas_states(
                zeros(1, length), [cache], signal, Clean([zeros(length)], [cache])
            )
    return launches.counts - inside.counts


def main() -> None:
    """Print a line for each form: in all, a layer, and by name.

    int8 stands for all forms of few bits: they differ in the numbers that the kernels decode.
    """
    full = PRESETS["26b"]
    fewer = replace(full, num_hidden_layers=24, layer_types=full.layer_types[:24])
    for form, kept in (("bf16", False), ("int8", True), ("int8", False)):
        counts = step_launches(full, form, kept=kept)
        layer = (counts.total() - step_launches(fewer, form, kept=kept).total()) / 6
        figures = {"form": form, "kept decoded": kept, "step": counts.total(), "layer": layer}
        print(json.dumps(figures | {"by name": dict(counts.most_common())}), flush=True)
    for name, counts in {
        "whole step": whole_step_launches(full),
        "whole step with a commit": whole_step_launches(full, commit=True),
        "outside of the graph at a commit": commit_launches(full),
        "token": token_launches(full),
    }.items():
        print(json.dumps({name: counts.total(), "by name": dict(counts.most_common())}))


if __name__ == "__main__":
    main()
