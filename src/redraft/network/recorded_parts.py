"""Parts of a step as CUDA graphs: hidden states, and the statistics of canvases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import ModelConfig
from redraft.network.capture import Tensors
from redraft.network.recorded_pass import Network, RecordedPass, out_of_slots, run_recorded
from redraft.network.segments import Segment
from redraft.ops.vocabulary import Readout, VocabularyStatistics

# Statistics of the vocabulary pass, as a graph returns them.
STATISTICS = ("argmax", "sample", "entropy", "confidence", "soft_embedding")


def states_from_graph(
    network: Network, embeddings: Tensor, segments: Sequence[Segment], first: int
) -> Tensor:
    """Return the final hidden states [N - first, H] of embeddings [N, H], from `first` on.

    Args:
        segments: of the pass, for which `is_recorded` is True.
        first: 0, the first token of the canvases, or N.
    """
    encoded = sum(one.length for one in segments if one.clean)
    if encoded < len(embeddings):
        assert first == encoded, (first, encoded)
        inputs = (embeddings[encoded:],)
        return run_recorded(network, "states", _states, inputs, segments, embeddings[:encoded])[0]
    if first:
        run_recorded(network, "prefill", _prefill, (), segments, embeddings)
        return embeddings[:0]
    (states,) = run_recorded(network, "encode", _encode, (), segments, embeddings)
    return out_of_slots(states, segments)


def denoise_from_graph(
    network: Network,
    canvas: Tensor,
    segments: Sequence[Segment],
    self_conditioning: Tensor,
    readout: Readout,
    clean: Tensor,
) -> VocabularyStatistics:
    """Return the statistics of canvases [B, L] with a plain readout, from tokens on.

    Args:
        clean: embeddings [N, H] of the clean tokens.
    """
    wanted = readout.wanted
    if wanted is None:
        wanted = torch.ones_like(canvas, dtype=torch.bool)
    asked = readout.temperature, readout.uniform, readout.greedy, wanted
    inputs = (canvas, self_conditioning, *asked)
    memory = logits_bytes(canvas.numel(), network.config)
    outputs = run_recorded(network, "denoise", _denoise, inputs, segments, clean, memory=memory)
    return VocabularyStatistics(**dict(zip(STATISTICS, outputs, strict=True)))


def logits_bytes(positions: int, config: ModelConfig) -> int:
    """Return the bytes of the logits of positions, float32, twice: what a vocabulary pass takes."""
    return 2 * 4 * positions * config.vocab_size


def _states(network: RecordedPass, canvases: Tensor) -> Tensors:
    return (network.states_of(canvases),)


def _prefill(network: RecordedPass) -> Tensors:
    network.prefill()
    return ()


def _encode(network: RecordedPass) -> Tensors:
    return (network.encode(),)


def _denoise(
    network: RecordedPass,
    canvas: Tensor,
    signal: Tensor,
    temperature: Tensor,
    uniform: Tensor,
    greedy: Tensor,
    wanted: Tensor,
) -> Tensors:
    readout = Readout(
        temperature=temperature,
        uniform=uniform,
        greedy=greedy,
        wanted=wanted,
        edits=[None] * len(canvas),
    )
    statistics = network.denoise(canvas, (), signal, readout)
    return tuple(getattr(statistics, name) for name in STATISTICS)
