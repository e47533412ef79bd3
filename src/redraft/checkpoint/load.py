"""Load: stream weights into a network, so that at most the network and one weight are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from redraft.checkpoint.gguf.load import plan_gguf, read_gguf
from redraft.checkpoint.gguf.names import GGUF_EMBEDDING
from redraft.checkpoint.names import shared_original, to_file
from redraft.checkpoint.plan import (
    UNUSED,
    LoadPlan,
    MatrixPlan,
    WeightPlan,
    plan_load,
    weight_shapes,
)
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.shards import ShardReader, read_tensors
from redraft.checkpoint.source import Checkpoint
from redraft.errors import CheckpointError, TensorMismatchError
from redraft.network import EMBEDDING, DiffusionGemma, join_weights, place_weight
from redraft.quant import ExpertList, PackedWeight, keep_decoded_matrices
from redraft.quant.finite import overflows, value_problems
from redraft.quant.format import FLOATS, SAFETENSORS_DTYPES

Weight = Tensor | PackedWeight | ExpertList
# Numbers of a weight that is checked whole.
SMALL = 1 << 20
# Called with the number of weights that are loaded, and the number of all.
Progress = Callable[[int, int], None]


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """Return the dtype of the embedding in the file, which `dtype="auto"` keeps."""
    name = GGUF_EMBEDDING if checkpoint.gguf else to_file(EMBEDDING)
    info = checkpoint.tensors.get(name)
    known = info is not None and info.dtype in FLOATS
    return SAFETENSORS_DTYPES[info.dtype] if info is not None and known else torch.bfloat16


def load_weights(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    quantization: Quantization | None = None,
) -> DiffusionGemma:
    """Build the network and load its weights, one at a time. Quantized weights stay quantized.

    Args:
        dtype: of the weights in memory, and of computation with quantized ones; the file's own if
            None.
        progress: called after each weight.
        quantization: of the weights that the file does not store quantized.

    Raises:
        TensorMismatchError: tensors are missing, unknown, of a wrong shape or in an unknown format.
            All are named, from the headers, before any weight is read. Copies of shared tensors
            must equal their originals.
        CheckpointError: a quantized weight or a small one holds NaN or infinity, or a scale of 0.
    """
    with torch.device("meta"):
        network = DiffusionGemma(checkpoint.config)
    dtype = dtype or stored_dtype(checkpoint)
    count, weights = _weights(checkpoint, dtype, torch.device(device))
    done = 0
    with torch.no_grad():
        for target, weight in weights:
            if quantization is not None:
                weight = quantization.quantize(target, weight, dtype)
            _check_finite(target, weight)
            place_weight(network, target, weight)
            # A weight that is still named here stays in memory while the next one is read.
            del weight
            done += 1
            if progress:
                progress(done, count)
    _check_copies(checkpoint, network)
    network.eval().requires_grad_(False)
    join_weights(network)
    keep_decoded_matrices(network)
    return network


def read_weights(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, Weight]]:
    """Yield the name and the value of each weight of the network, one at a time.

    Raises:
        TensorMismatchError, CheckpointError: as `load_weights`.
    """
    yield from _weights(checkpoint, dtype, device)[1]


def load_problems(checkpoint: Checkpoint) -> list[str]:
    """Return a sentence for everything that keeps a checkpoint from being loaded, by its headers;
    none where nothing does."""
    try:
        _weights(checkpoint, torch.bfloat16, torch.device("cpu"))
    except TensorMismatchError as error:
        return error.problems
    return []


def _weights(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> tuple[int, Iterator[tuple[str, Weight]]]:
    """Return the number of weights, and an iterator that reads their names and values."""
    if checkpoint.gguf is not None:
        shapes = weight_shapes(checkpoint.config)
        entries = plan_gguf(checkpoint.gguf, shapes, list(checkpoint.problems))
        return len(entries), read_gguf(checkpoint.gguf, entries, dtype, device)
    plan = plan_load(checkpoint)
    return len(plan.weights), _read_shards(checkpoint, plan, dtype, device)


def _read_shards(
    checkpoint: Checkpoint, plan: LoadPlan, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, Weight]]:
    with ShardReader(checkpoint.tensors) as reader:
        for weight in plan.weights:
            yield weight.target, _read(reader, weight, dtype, device)


def _read(
    reader: ShardReader, weight: WeightPlan, dtype: torch.dtype, device: torch.device
) -> Weight:
    """Read a weight onto its device: the order of a quantized weight's bits depends on that."""
    if weight.tensor is not None:
        # `copy` makes the tensor our own where dtype and device agree: the file may change or
        # vanish later.
        return reader.read(weight.tensor).to(device=device, dtype=dtype, copy=True)
    if weight.matrix is not None:
        matrix = _read_matrix(reader, weight.matrix, dtype, device)
        if weight.target == EMBEDDING and isinstance(matrix, PackedWeight):
            return matrix.as_table()
        return matrix
    if not weight.quantized:
        return _read_fused(reader, weight, dtype, device)
    experts = []
    for matrices in weight.experts:
        parts = [_read_matrix(reader, matrix, dtype, device) for matrix in matrices]
        experts.append([part for part in parts if isinstance(part, PackedWeight)])
    return ExpertList.of_parts(experts)


def _read_fused(
    reader: ShardReader, weight: WeightPlan, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Read experts that are not quantized one by one into a fused tensor."""
    heights = [matrix.shape[0] for matrix in weight.experts[0]]
    width = weight.experts[0][0].shape[1]
    fused = torch.empty(len(weight.experts), sum(heights), width, dtype=dtype, device=device)
    for number, matrices in enumerate(weight.experts):
        for part, matrix in zip(fused[number].split(heights), matrices, strict=True):
            part.copy_(read_part(reader, matrix, "weight"))
    return fused


def _read_matrix(
    reader: ShardReader, matrix: MatrixPlan, dtype: torch.dtype, device: torch.device
) -> Tensor | PackedWeight:
    parts = {role: read_part(reader, matrix, role).to(device) for role in matrix.names}
    if matrix.storage is None:
        return parts["weight"].to(dtype=dtype, copy=True)
    matrix.storage.check(parts)
    if problems := value_problems(parts):
        raise CheckpointError(
            "; ".join(f"{matrix.names[role]} {problem}" for role, problem in problems)
        )
    weight = matrix.storage.load(parts, dtype)
    if overflows(weight):
        name = next(name for role, name in matrix.names.items() if "scale" in role)
        raise CheckpointError(f"{name} is too large for {dtype}")
    return weight


def read_part(reader: ShardReader, matrix: MatrixPlan, role: str) -> Tensor:
    """Return one tensor of a matrix, its own part where the file has many in one."""
    name = matrix.names[role]
    return reader.read(name) if matrix.part is None else reader.read_part(name, matrix.part)


def _check_finite(name: str, weight: Weight) -> None:
    """Check a weight that is small enough for it to cost nothing, such as a norm's.

    The large ones are looked at where a model gives NaN.
    """
    if isinstance(weight, Tensor) and weight.numel() <= SMALL and not weight.isfinite().all():
        raise CheckpointError(
            f"{to_file(name)} holds NaN or infinity as {weight.dtype}: load an intact checkpoint"
        )


def _check_copies(checkpoint: Checkpoint, network: DiffusionGemma) -> None:
    """Check that a file's copies of shared tensors equal their originals."""
    copies = {
        name: info
        for name, info in checkpoint.tensors.items()
        if shared_original(name) and name.rpartition(".")[2] not in UNUSED
    }
    weights = {to_file(name): tensor for name, tensor in network.state_dict().items()}
    problems = []
    with ShardReader(checkpoint.tensors) as reader:
        for name, tensor in read_tensors(copies):
            original = shared_original(name) or name
            kept = weights.get(original)
            if kept is None and original in checkpoint.tensors:
                kept = reader.read(original)
            if kept is None or (tensor.dtype == kept.dtype and torch.equal(tensor, kept.cpu())):
                continue
            floats = tensor.is_floating_point() and kept.is_floating_point()
            if floats and torch.equal(tensor.to(device=kept.device, dtype=kept.dtype), kept):
                continue
            problems.append(
                f"{name} differs from {original}: "
                "encoder, decoder and head share one set of weights here"
            )
    if problems:
        raise TensorMismatchError(str(checkpoint.folder), problems)
