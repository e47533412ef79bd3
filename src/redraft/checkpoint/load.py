"""Stream weights into a model: at most the model and one tensor are in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from redraft.checkpoint.folder import Checkpoint
from redraft.checkpoint.names import is_vision, shared_original, to_file
from redraft.checkpoint.shards import read_tensors
from redraft.errors import TensorMismatchError
from redraft.model import DiffusionGemma

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
Progress = Callable[[int, int], None]


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """The dtype of the embedding in the file, which `dtype='auto'` keeps."""
    info = checkpoint.tensors.get(to_file("embed_tokens.weight"))
    return DTYPES.get(info.dtype, torch.bfloat16) if info else torch.bfloat16


def load_weights(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> DiffusionGemma:
    """Build the model and fill it, one tensor at a time.

    Args:
        dtype: of the weights in memory; the file's own where None.
        progress: called with (tensors read, tensors in all).

    Raises:
        TensorMismatchError: tensors missing, unknown, of the wrong shape or of a dtype that is not read; found from the
            headers, all named, before any weight is read. Copies of shared tensors must equal their originals.
    """
    with torch.device("meta"):
        model = DiffusionGemma(checkpoint.config)
    empty = model.state_dict()
    targets = {to_file(name): name for name in empty}
    check_tensors(checkpoint, {to_file(name): tuple(tensor.shape) for name, tensor in empty.items()})
    dtype = dtype or stored_dtype(checkpoint)
    wanted = {name: info for name, info in checkpoint.tensors.items() if name in targets}
    for count, (file_name, tensor) in enumerate(read_tensors(wanted), 1):
        # `copy` makes the tensor our own where dtype and device agree: the file may change or vanish later.
        _place(model, targets[file_name], tensor.to(device=device, dtype=dtype, copy=True))
        if progress:
            progress(count, len(wanted))
    _check_copies(checkpoint, model, targets)
    return model.eval().requires_grad_(False)


def check_tensors(checkpoint: Checkpoint, expected: dict[str, tuple[int, ...]]) -> None:
    """Hold the headers against the names and shapes that the config asks for."""
    problems = list(checkpoint.problems)
    for name, info in checkpoint.tensors.items():
        original = shared_original(name) or name
        if is_vision(name):
            continue
        if original not in expected:
            problems.append(f"{name} is unknown")
        elif info.shape != expected[original]:
            problems.append(f"{name} has shape {list(info.shape)}, the config asks for {list(expected[original])}")
        elif info.dtype not in DTYPES:
            problems.append(f"{name} is stored as {info.dtype}; {', '.join(DTYPES)} are read")
    lost = "".join(checkpoint.problems)  # a broken shard's own line names what is lost with it
    problems += [f"{name} is missing" for name in expected if name not in checkpoint.tensors and name not in lost]
    if problems:
        raise TensorMismatchError(str(checkpoint.folder), problems)


def _place(model: DiffusionGemma, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._buffers:
        module._buffers[leaf] = tensor
    else:
        module._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)


def _check_copies(checkpoint: Checkpoint, model: DiffusionGemma, targets: dict[str, str]) -> None:
    copies = {name: info for name, info in checkpoint.tensors.items() if shared_original(name)}
    weights = model.state_dict()
    problems = []
    for name, tensor in read_tensors(copies):
        original = shared_original(name) or name
        kept = weights[targets[original]]
        if not torch.equal(tensor.to(device=kept.device, dtype=kept.dtype), kept):
            problems.append(f"{name} differs from {original}: encoder, decoder and head share one set of weights here")
    if problems:
        raise TensorMismatchError(str(checkpoint.folder), problems)
