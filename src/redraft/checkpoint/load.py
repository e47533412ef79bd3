"""Stream weights into a model: at most the model and one weight are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from redraft.checkpoint.gguf.load import places_of, read_places
from redraft.checkpoint.gguf.names import EMBEDDING
from redraft.checkpoint.names import shared_original, to_file
from redraft.checkpoint.plan import Layout, Matrix, Weight, shapes_of
from redraft.checkpoint.quantize import EMBEDDING as TABLE
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.schemes import PLAIN
from redraft.checkpoint.shards import ShardReader, read_tensors
from redraft.checkpoint.source import Checkpoint
from redraft.errors import CheckpointError, TensorMismatchError
from redraft.network import DiffusionGemma
from redraft.quant import ExpertList, Int8Table, Int8Weight, Joined, PackedWeight

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
Progress = Callable[[int, int], None]


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """The dtype of the embedding in the file, which `dtype='auto'` keeps."""
    info = checkpoint.tensors.get(EMBEDDING if checkpoint.gguf else to_file("embed_tokens.weight"))
    return DTYPES.get(info.dtype, torch.bfloat16) if info else torch.bfloat16


def load_weights(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    quantization: Quantization | None = None,
) -> DiffusionGemma:
    """Build the model and fill it, one weight at a time. What the file has in few bits stays so.

    Args:
        dtype: of the weights in memory, and of what is computed with those in few bits; the file's
            own where None.
        progress: called with (weights read, weights in all).
        quantization: what becomes of weights that the file has whole.

    Raises:
        TensorMismatchError: tensors missing, unknown, of the wrong shape or in a format that is not
            read; found from the headers, all named, before any weight is read. Copies of shared
            tensors must equal their originals.
    """
    with torch.device("meta"):
        model = DiffusionGemma(checkpoint.config)
    dtype = dtype or stored_dtype(checkpoint)
    total, weights = _weights(checkpoint, dtype, device)
    done = 0
    with torch.no_grad():
        for weight in weights:
            target, found = weight
            del weight  # whatever still names it is there while the next one is read
            if quantization is not None:
                found = quantization.of(target, found, dtype)
            place_weight(model, target, found)
            del found
            done += 1
            if progress:
                progress(done, total)
    _check_copies(checkpoint, model)
    return model.eval().requires_grad_(False)


def _weights(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str
) -> tuple[int, Iterator[tuple[str, Any]]]:
    """How many weights there are, and each one's name and what it is, read when it is its turn."""
    if checkpoint.gguf is not None:
        places = places_of(checkpoint.gguf, shapes_of(checkpoint.config), list(checkpoint.problems))
        return len(places), read_places(checkpoint.gguf, places, dtype, device)
    layout = layout_of(checkpoint)
    return len(layout.weights), _read_shards(checkpoint, layout, dtype, torch.device(device))


def _read_shards(
    checkpoint: Checkpoint, layout: Layout, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, Any]]:
    with ShardReader(checkpoint.tensors) as reader:
        for weight in layout.weights:
            yield weight.target, _read(reader, weight, dtype, device)


def layout_of(checkpoint: Checkpoint) -> Layout:
    """How the tensors of a checkpoint's folder become the model's.

    Raises:
        TensorMismatchError: they cannot. CheckpointError: it is no folder.
    """
    if checkpoint.gguf is not None:
        raise CheckpointError(
            f"{checkpoint.path} is a GGUF file: this needs a folder of safetensors, use the original"
        )
    layout = Layout(checkpoint, shapes_of(checkpoint.config))
    if layout.problems:
        raise TensorMismatchError(str(checkpoint.folder), layout.problems)
    return layout


def _read(reader: ShardReader, weight: Weight, dtype: torch.dtype, device: torch.device) -> Any:
    """A tensor, a weight in few bits, or a list of such; put together where it is to be, for its
    order may depend on that."""
    if weight.tensor is not None:
        # `copy` makes the tensor our own where dtype and device agree: the file may change or
        # vanish later.
        return reader.read(weight.tensor).to(device=device, dtype=dtype, copy=True)
    if weight.matrix is not None:
        found = _matrix(reader, weight.matrix, dtype, device)
        if weight.target == TABLE and isinstance(found, Int8Weight):
            return Int8Table(found.values, found.scale, dtype, found.offset)
        return found
    if all(matrix.scheme is PLAIN for matrix in weight.matrices()):
        return _fused(reader, weight, dtype, device)
    each = [
        [_matrix(reader, matrix, dtype, device) for matrix in matrices]
        for matrices in weight.experts
    ]
    packed = [[part for part in parts if isinstance(part, PackedWeight)] for parts in each]
    return ExpertList([parts[0] if len(parts) == 1 else Joined(parts) for parts in packed])


def _fused(reader: ShardReader, weight: Weight, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Whole experts that a file has one by one, put together as they are read."""
    shapes = [reader.shape(matrix.names["weight"]) for matrix in weight.experts[0]]
    rows = sum(shape[0] for shape in shapes)
    found = torch.empty(len(weight.experts), rows, shapes[0][1], dtype=dtype, device=device)
    for number, matrices in enumerate(weight.experts):
        parts = found[number].split([shape[0] for shape in shapes])
        for part, matrix in zip(parts, matrices, strict=True):
            part.copy_(reader.read(matrix.names["weight"]))
    return found


def _matrix(
    reader: ShardReader, matrix: Matrix, dtype: torch.dtype, device: torch.device
) -> Tensor | PackedWeight:
    return matrix.scheme.build(
        {role: reader.read(name).to(device) for role, name in matrix.names.items()}, dtype
    )


def place_weight(model: DiffusionGemma, name: str, weight: Any) -> None:
    """Put a tensor, or a weight in few bits, where a model has the weight of that name."""
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._buffers:
        module._buffers[leaf] = weight
    elif isinstance(weight, nn.Module):
        del module._parameters[leaf]
        setattr(module, leaf, weight)
    else:
        module._parameters[leaf] = nn.Parameter(weight, requires_grad=False)


def _check_copies(checkpoint: Checkpoint, model: DiffusionGemma) -> None:
    copies = {name: info for name, info in checkpoint.tensors.items() if shared_original(name)}
    weights = {to_file(name): tensor for name, tensor in model.state_dict().items()}
    problems = []
    for name, tensor in read_tensors(copies):
        original = shared_original(name) or name
        kept = weights.get(original)
        if kept is not None and not torch.equal(
            tensor.to(device=kept.device, dtype=kept.dtype), kept
        ):
            problems.append(
                f"{name} differs from {original}: encoder, decoder and head share one set of weights here"
            )
    if problems:
        raise TensorMismatchError(str(checkpoint.folder), problems)
