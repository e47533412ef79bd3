"""The memory of one fine-tuning update of the full shape of the released 26B, on a CPU.

The weights are random bytes in a quantized format: one matrix of each shape is quantized, and the
others are copies of it. An adapter is attached, one example is learnt, and AdamW makes its update.
With `--map FOLDER` the weights lie in a file there, of which the system may drop pages where others
need the memory; they count in full all the same. All else is anonymous memory, whose peak is
measured part by part. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from measure import machine
from torch import Tensor, nn
from whole import SMALL, memory

from redraft.adapters import LoraConfig, attach
from redraft.checkpoint.plan import weight_shapes
from redraft.checkpoint.quantize import Quantization
from redraft.config import ModelConfig
from redraft.config.presets import PRESETS
from redraft.network import DiffusionGemma, place_weight
from redraft.quant import ExpertList, PackedWeight
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.encoded import TrainingCanvas
from redraft.train.finetune.objective import CanvasBatch, canvas_losses
from redraft.train.finetune.trainer import CHUNK
from redraft.train.forward import ForwardPasses

PROMPT_SCALE = 0.02  # standard deviation of a weight
MAPPED_BYTES = 64 << 30
EXPERT = ("experts.gate_up_proj", "experts.down_proj")


class Peak:
    """The most anonymous memory since `begin`, sampled in a thread."""

    def __init__(self) -> None:
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Forget what was before."""
        self.bytes = memory("RssAnon")

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            self.bytes = max(self.bytes, memory("RssAnon"))


class Mapped:
    """Gives tensors memory in one file.

    Args:
        path: of the file; it is removed when the process ends.
        size: bytes that it has at most.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.used = 0
        self._file = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
        path.unlink()

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor that lies in the file."""
        start = -(-self.used // 64) * 64
        self.used = start + tensor.nbytes
        there = self._file[start : self.used].view(tensor.dtype).view(tensor.shape)
        return there.copy_(tensor)


def random_network(
    config: ModelConfig, quantization: Quantization, put: Callable[[Tensor], Tensor]
) -> DiffusionGemma:
    """Return a network with random weights, the covered ones quantized.

    Args:
        put: copies a tensor to where weights lie.
    """
    with torch.device("meta"):
        network = DiffusionGemma(config)
    originals: dict[tuple[str, tuple[int, ...]], PackedWeight | ExpertList] = {}
    for name, shape in weight_shapes(config).items():
        if not quantization.covers(name, shape):
            place_weight(network, name, put(plain_weight(shape)))
            continue
        leaf = name.rpartition(".")[2] if name.endswith(EXPERT) else "weight"
        if (leaf, shape) not in originals:
            originals[leaf, shape] = packed_weight(name, shape, quantization)
        place_weight(network, name, copied(originals[leaf, shape], shape, put))
    return network.requires_grad_(False)


def plain_weight(shape: tuple[int, ...]) -> Tensor:
    """Return ones for a vector, and small random numbers for a matrix, bfloat16."""
    if len(shape) < 2:
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, PROMPT_SCALE)


def packed_weight(
    name: str, shape: tuple[int, ...], quantization: Quantization
) -> PackedWeight | ExpertList:
    """Return one quantized matrix of a shape, or a list of one expert."""
    one = shape if len(shape) == 2 else (1, *shape[1:])
    drawn = torch.empty(one, dtype=torch.bfloat16).normal_(0, PROMPT_SCALE)
    found = quantization.quantize(name, drawn, torch.bfloat16)
    assert not isinstance(found, Tensor)
    return found


def copied(
    original: PackedWeight | ExpertList, shape: tuple[int, ...], put: Callable[[Tensor], Tensor]
) -> nn.Module:
    """Return a copy with memory of its own; of experts as many as the shape has."""
    if isinstance(original, ExpertList):
        return ExpertList([_copied(original[0], put) for _ in range(shape[0])])
    return _copied(original, put)


def _copied(original: PackedWeight, put: Callable[[Tensor], Tensor]) -> PackedWeight:
    twin = copy.deepcopy(original)
    for module in twin.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, put(buffer))
    return twin


def example(config: ModelConfig, prefix: int) -> TrainingCanvas:
    """Return an example of random tokens: a canvas behind a prefix."""
    rng = random.Random(1)
    length = config.canvas_length
    tokens = [rng.randrange(5, config.vocab_size) for _ in range(prefix + length)]
    return TrainingCanvas(
        tokens, [True] * len(tokens), prefix, tokens[prefix:], [False] * length, [True] * length
    )


def tensor_bytes(tensors: chain[Tensor]) -> int:
    return sum(one.nbytes for one in {one.data_ptr(): one for one in tensors}.values())


def measure(args: argparse.Namespace, config: ModelConfig) -> dict[str, object]:
    """Build, train one update; return the figures."""
    peak, started = Peak(), memory("RssAnon")
    put = Tensor.clone if args.map is None else Mapped(args.map / "weights.bin", MAPPED_BYTES)
    network = random_network(config, Quantization(args.format, args.group, args.embedding), put)
    weights = tensor_bytes(chain(network.parameters(), network.buffers()))
    # Those in the file are no anonymous memory.
    apart = weights if args.map is not None else 0
    print(f"weights {weights / 1e9:.2f} GB, else {memory('RssAnon') / 1e9:.2f}", file=sys.stderr)
    settings = FinetuneConfig(lora=LoraConfig(rank=args.rank, targets=tuple(args.target)))
    assert settings.lora is not None
    attach(network, settings.lora)
    trained = [one for one in network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate)
    passes = ForwardPasses(network, dense_experts=False, checkpointed=True, chunk=CHUNK)
    batch = CanvasBatch.of(
        [example(config, args.prefix)], [random.Random(2)], vocab_size=config.vocab_size,
        pad=config.pad_token_id, self_conditioning=1.0,
    )  # fmt: skip
    resident = memory("RssAnon")
    peaks, seconds = {}, {}
    peak.begin()
    began = time.perf_counter()
    losses = canvas_losses(passes, batch)
    loss = losses.diffusion / losses.diffusion_count + losses.encoder / losses.encoder_count
    peaks["forward"], seconds["forward"] = peak.bytes, time.perf_counter() - began
    print(f"forward {seconds['forward']:.0f} s, {peak.bytes / 1e9:.2f} GB", file=sys.stderr)
    peak.begin()
    began = time.perf_counter()
    loss.backward()
    peaks["backward"], seconds["backward"] = peak.bytes, time.perf_counter() - began
    peak.begin()
    began = time.perf_counter()
    nn.utils.clip_grad_norm_(trained, settings.clip)
    optimizer.step()
    peaks["update"], seconds["update"] = peak.bytes, time.perf_counter() - began
    peak.end()
    assert all(bool(one.isfinite().all()) for one in trained)
    return {
        "loss": float(loss.detach()),
        "parts_bytes": {
            "process": started,
            "weights": weights,
            "adapter": sum(one.nbytes for one in trained),
            "gradients": sum(one.grad.nbytes for one in trained if one.grad is not None),
            "optimizer": sum(
                one.nbytes for state in optimizer.state.values() for one in state.values()
            ),
            "pass": max(peaks.values()) - resident,
        },
        "trained": sum(one.numel() for one in trained),
        "resident_bytes": resident + apart,
        "peak_bytes_of": {name: one + apart for name, one in peaks.items()},
        "peak_bytes": max(peaks.values()) + apart,
        "seconds": seconds,
    }


def main() -> None:
    """Measure, and print the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("int4", "int8", "fp8"), default="int4")
    parser.add_argument("--group", type=int, default=64, help="weights that share a scale, in int4")
    parser.add_argument("--embedding", choices=("int8",))
    parser.add_argument("--prefix", type=int, default=1024, help="tokens before the canvas")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--target", nargs="+", default=["attention", "dense"])
    parser.add_argument("--map", type=Path, help="a folder for a file that the weights lie in")
    parser.add_argument("--layers", type=int, help="fewer layers than the model has")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--small", action="store_true", help="two layers of four experts, to try it out"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = PRESETS["26b"]
    count = args.layers or (SMALL["num_hidden_layers"] if args.small else config.num_hidden_layers)
    few = SMALL if args.small else {}
    kinds = config.layer_types[-count:]  # the last is a full one
    config = replace(config, **few | {"num_hidden_layers": count}, layer_types=kinds)
    figures = measure(args, config)
    options = {name: str(one) if isinstance(one, Path) else one for name, one in vars(args).items()}
    line = {"benchmark": "finetune_memory", **options, **figures}
    print(json.dumps(line | {"machine": machine(args.threads)}))


if __name__ == "__main__":
    main()
