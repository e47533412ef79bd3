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
from redraft.network import DiffusionGemma, join_weights, place_weight, transformer
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
    try:
        with patch.object(transformer, "_uses_cuda_graphs", kernels.uses_kernels):
            yield
    finally:
        kernels.KERNEL_DEVICES.discard("meta")


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


def step_launches(config: ModelConfig, form: str = "bf16", *, kept: bool = False) -> Counter[str]:
    """Return what the captured part of a second step launches, by name."""
    launches = Launches()

    def run(self: CudaGraphs, kind: str, segments: Any, inputs: Any, *rest: Any, **_: Any) -> Any:
        make_context, work = rest[:2]
        context = make_context()
        with launches:
            return work(context, *inputs)

    with without_numbers(), torch.inference_mode(), patch.object(CudaGraphs, "run", run):
        network = network_without_numbers(config, form, kept)
        cache = network.new_cache(16)
        length = config.canvas_length
        canvas = torch.zeros(1, length, dtype=torch.int64, device="meta")
        signal = torch.zeros(1, length, config.hidden_size, dtype=torch.bfloat16, device="meta")
        asked = Readout(
            temperature=torch.ones(1, device="meta"),
            uniform=torch.zeros(1, length, dtype=torch.float64, device="meta"),
            greedy=torch.zeros(1, dtype=torch.bool, device="meta"),
            edits=[None],
        )
        for _ in range(2):
            launches.counts.clear()
            network.denoise(canvas, [cache], signal, asked)
    return launches.counts


def commit_launches(config: ModelConfig, form: str = "bf16") -> Counter[str]:
    """Return what a pass launches that commits a canvas and reads the next one, by name.

    The prefix is so long that sliding layers must move columns.
    """
    launches, length = Launches(), config.canvas_length
    with without_numbers(), torch.inference_mode():
        network = network_without_numbers(config, form, kept=True)
        cache = network.new_cache(4096)
        ids = torch.zeros(length, dtype=torch.int64, device="meta")
        with Launches():
            for _ in range(6):
                network.prefill([ids], [cache])
        canvas = torch.zeros(1, length, dtype=torch.int64, device="meta")
        signal = torch.zeros(1, length, config.hidden_size, dtype=torch.bfloat16, device="meta")
        with launches:
            network.canvas_states(canvas, [cache], signal, Clean([canvas[0]], [cache]))
    return launches.counts


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
    counts = commit_launches(full)
    print(json.dumps({"commit": counts.total(), "by name": dict(counts.most_common())}))


if __name__ == "__main__":
    main()
