"""Passes that CUDA graphs hold: which ones can be, and how they are run.

A graph has clean tokens in slots, canvases behind them, and whatever else runs on the device: the
vocabulary pass, and what a caller makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from redraft.config import ModelConfig
from redraft.network.cache import Cache
from redraft.network.capture import Tensors
from redraft.network.context import Context
from redraft.network.cuda_graphs import CudaGraphs, Feeds
from redraft.network.fused_layers import suits_kernels
from redraft.network.layers import Experts
from redraft.network.recorded_context import PassShape, RecordedContext, fits_slots
from redraft.network.segments import Segment
from redraft.ops.triton import uses_kernels
from redraft.ops.vocabulary import Readout, VocabularyStatistics

# Types of devices that have graphs. Tests add others, where a pass is run again in their place.
GRAPH_DEVICES = {"cuda"}


class Network(Protocol):
    """The network as its passes know it."""

    config: ModelConfig
    cuda_graphs: CudaGraphs
    layers: nn.ModuleList

    @property
    def norm(self) -> nn.Module:
        """The norm behind the last layer."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Return scaled embeddings [..., H]."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Return softcapped logits, float32 [..., V]."""
        ...

    def hidden_states(self, embeddings: Tensor, context: Context, first: int = 0) -> Tensor:
        """Run all layers."""
        ...

    def canvas_embeddings(
        self, canvas: Tensor, self_conditioning: Tensor, caches: Sequence[Cache]
    ) -> Tensor:
        """Return the layers' input [B * L, H] for canvases [B, L]."""
        ...

    def read(self, hidden: Tensor, readout: Readout) -> VocabularyStatistics:
        """Run the vocabulary pass."""
        ...


class RecordedPass:
    """The network within a pass that a graph holds, or will hold. It is a `Denoiser`.

    Args:
        clean: embeddings [slots * slot_length, H] of clean tokens, which the pass encodes.
    """

    def __init__(self, network: Network, context: RecordedContext, clean: Tensor) -> None:
        self._network, self._context, self._clean = network, context, clean

    @property
    def vocab_size(self) -> int:
        return self._network.vocab_size

    def embed(self, tokens: Tensor) -> Tensor:
        return self._network.embed(tokens)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return softcapped logits, float32 [..., V], of hidden states [..., H]."""
        return self._network.logits(hidden)

    def denoise(
        self,
        canvas: Tensor,
        caches: Sequence[object],
        self_conditioning: Tensor,
        readout: Readout,
    ) -> VocabularyStatistics:
        """Read canvases [B, L]. Where their prefixes lie the context knows, not `caches`."""
        hidden = self.states_of(self._network.canvas_embeddings(canvas, self_conditioning, ()))
        return self._network.read(hidden.view(*canvas.shape, -1), readout)

    def states_of(self, canvases: Tensor) -> Tensor:
        """Return the final hidden states of the canvases' embeddings; both are [B * L, H]."""
        embeddings = torch.cat((self._clean, canvases)) if len(self._clean) else canvases
        return self._network.hidden_states(embeddings, self._context, len(self._clean))

    def encode(self) -> Tensor:
        """Return the final hidden states [slots * slot_length, H] of the clean tokens."""
        return self._network.hidden_states(self._clean, self._context)

    def prefill(self) -> None:
        """Encode the clean tokens for the caches alone."""
        shape = self._context.shape
        self._network.hidden_states(self._clean, self._context, shape.clean - shape.slot_length)


# Work within a pass: called with it and the inputs; returns the outputs.
Work = Callable[..., Tensors]


def is_recorded(network: Network, segments: Sequence[Segment], like: Tensor) -> bool:
    """Return True if `run_recorded` can run a pass over these segments.

    Caches may move columns then, to have room for the clean tokens.

    Args:
        like: a tensor with the dtype and device of the pass.
    """
    if not uses_cuda_graphs(like) or not fits_slots(segments):
        return False
    if not any(segment.clean for segment in segments):
        return True
    # Kernels between the products write keys and values to their caches; modules would not.
    shape = PassShape.of(segments)
    return network.cuda_graphs.holds(shape) or suits_kernels(network.layers, network.norm, like)


def run_recorded(
    network: Network,
    kind: str,
    work: Work,
    inputs: Tensors,
    segments: Sequence[Segment],
    clean: Tensor,
    *,
    memory: int = 0,
    feeds: Feeds = (),
) -> Tensors:
    """Return `work(pass, *inputs)`, from a graph where there is one; caches take the clean tokens.

    Args:
        kind: tells works apart.
        segments: of the pass, for which `is_recorded` is True.
        clean: embeddings [N, H] of the clean tokens, as the segments have them, without padding.
        memory: bytes that the pass needs beside its inputs and outputs.
        feeds: see `CudaGraphs.run`; numbers of `inputs`.
    """

    def run(context: RecordedContext, clean: Tensor, *inputs: Tensor) -> Tensors:
        context.prepare()
        return work(RecordedPass(network, context, clean), *inputs)

    def make_context() -> RecordedContext:
        return RecordedContext(network.config, segments, clean)

    def allowed() -> bool:
        """Return True if no operation waits for the device: all experts run in a kernel."""
        parts = network.layers.modules()
        return all(part.in_kernels for part in parts if isinstance(part, Experts))

    outputs = network.cuda_graphs.run(
        kind,
        segments,
        (in_slots(clean, segments), *inputs),
        make_context,
        run,
        allowed,
        memory,
        [(output, place + 1) for output, place in feeds],
    )
    take_written(segments)
    return outputs


def in_slots(embeddings: Tensor, segments: Sequence[Segment]) -> Tensor:
    """Return embeddings [N, H] of the clean tokens in slots of one length, with zeros behind."""
    shape = PassShape.of(segments)
    if len(embeddings) == shape.clean:
        return embeddings
    slots = embeddings.new_zeros(shape.slots, shape.slot_length, embeddings.shape[-1])
    for slot, one in zip(slots, segments, strict=False):
        slot[: one.length] = embeddings[one.start : one.stop]
    return slots.flatten(0, 1)


def out_of_slots(states: Tensor, segments: Sequence[Segment]) -> Tensor:
    """Return the states [N, H] of the clean tokens, of those in slots."""
    shape = PassShape.of(segments)
    if sum(one.length for one in segments if one.clean) == shape.clean:
        return states
    slots = states.view(shape.slots, shape.slot_length, -1)
    return torch.cat([slot[: one.length] for slot, one in zip(slots, segments, strict=False)])


def take_written(segments: Sequence[Segment]) -> None:
    """Let the caches take the clean tokens that a pass has written."""
    for one in segments:
        if one.clean:
            one.cache.take_written(one.length)
            one.cache.advance(one.length)


def uses_cuda_graphs(like: Tensor) -> bool:
    """Return True if passes over such tensors run as CUDA graphs."""
    return like.device.type in GRAPH_DEVICES and uses_kernels(like)
