"""DiffusionGemma: the embedding, the layers, and the two ways of running them.

encode, prefill    clean tokens, causally; keys and values go to the KV cache
canvas_states      canvases, in both directions behind their caches
denoise            canvas_states, then the vocabulary pass
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from redraft.config import ModelConfig
from redraft.network.cache import Cache
from redraft.network.capture import Tensors
from redraft.network.context import CachedContext, Context
from redraft.network.cuda_graphs import CudaGraphs, Feeds
from redraft.network.few_operations import run_in_few_operations, suits_few_operations
from redraft.network.fused_layers import run_in_kernels, suits_kernels
from redraft.network.joined import join_weights
from redraft.network.layers import Layer, RMSNorm, SelfConditioning
from redraft.network.recorded_parts import denoise_from_graph, logits_bytes, states_from_graph
from redraft.network.recorded_pass import Work, is_recorded, run_recorded, uses_cuda_graphs
from redraft.network.segments import (
    PREFILL_CHUNK,
    Clean,
    Images,
    Segment,
    consecutive_segments,
)
from redraft.ops.adapter_rows import rows_of_adapters
from redraft.ops.batch_invariance import VECTOR_ROWS, min_rows, pad_for_invariance
from redraft.ops.linear import WeightLike
from redraft.ops.vocabulary import Readout, VocabularyStatistics, read_vocabulary, softcapped_logits

# The name of the embedding table among the network's weights.
EMBEDDING = "embed_tokens.weight"


class Embedding(nn.Embedding):
    """The token embedding. Its weight is zero until it is loaded (see `ops.linear.Linear`)."""

    def reset_parameters(self) -> None:
        self.weight.data.zero_()

    def forward(self, input: Tensor) -> Tensor:
        # A quantized table stands in the weight's place, and gives rows when it is indexed.
        weight = cast("Tensor | WeightLike", self.weight)
        return super().forward(input) if isinstance(weight, Tensor) else weight[input]


class DiffusionGemma(nn.Module):
    """One stack of weights (Gemma 4, mixture of experts), run causally over clean tokens and in
    both directions over a canvas.

    Attributes:
        adapters: names of the adapters that rows can be read with; see `Cache.adapter`.
        adapter_width: numbers of a row that the largest update holds at once.
        cuda_graphs: captured passes. Code that replaces weights of a network that has run must call
            `cuda_graphs.clear()`; moving or loading the whole network does so itself.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_conditioning = SelfConditioning(config)
        self.adapters: tuple[str, ...] = ()
        self.adapter_width = 0
        self.cuda_graphs = CudaGraphs()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.cuda_graphs.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        join_weights(self)
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights from a state dict, and drop the CUDA graphs that read the old ones."""
        self.cuda_graphs.clear()
        return super().load_state_dict(state_dict, strict, assign)

    @property
    def dtype(self) -> torch.dtype:
        return self.embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.embed_tokens.weight.device

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def records_passes(self) -> bool:
        """True where passes run as CUDA graphs: see `record`."""
        return uses_cuda_graphs(self.norm.weight)

    @property
    def embedding_scale(self) -> Tensor:
        """sqrt(hidden_size), rounded to the weights' dtype as in the reference."""
        return torch.full((), self.config.hidden_size**0.5, dtype=self.dtype, device=self.device)

    def new_cache(
        self, capacity: int, *, truncatable: bool = False, adapter: str | None = None
    ) -> Cache:
        """Return an empty KV cache for a prefix of up to `capacity` tokens.

        Args:
            adapter: one of `adapters`, with which the sequence is read; None for the base alone.
        """
        return Cache(
            self.config,
            capacity,
            dtype=self.dtype,
            device=self.device,
            truncatable=truncatable,
            adapter=adapter,
        )

    def embed(self, tokens: Tensor) -> Tensor:
        """Return scaled embeddings [..., H] of token ids [...]."""
        embedded: Tensor = self.embed_tokens(tokens)
        return embedded * self.embedding_scale

    def hidden_states(self, embeddings: Tensor, context: Context, first: int = 0) -> Tensor:
        """Run all layers and the final norm over embeddings [N, H].

        Returns:
            States [N - first, H] of the tokens from `first` on. For the tokens before, the last
            layer computes keys and values only.
        """
        if suits_kernels(self.layers, self.norm, embeddings, context):
            return run_in_kernels(self.layers, self.norm, embeddings, context, first)
        if suits_few_operations(self.layers, embeddings):
            return run_in_few_operations(self.layers, self.norm, embeddings, context, first)
        x = embeddings
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, context, first if number == len(self.layers) else 0)
        normed: Tensor = self.norm(x)
        return normed

    def encode(
        self,
        tokens: Sequence[Tensor],
        caches: Sequence[Cache],
        *,
        batch_invariant: bool = True,
        keep: bool = True,
        images: Images = (),
    ) -> list[Tensor]:
        """Run clean tokens causally and write their keys and values to their caches.

        Args:
            tokens: int64 [n] for each sequence, n >= 1; lengths may differ.
            caches: one for each sequence, with space for its tokens.
            batch_invariant: pad the pass so that a row's last bits do not depend on its neighbours
                (see `ops/batch_invariance.py`). Autoregressive decoding, which has one token a row,
                does without.
            keep: write the caches. Otherwise they stay as they are, and several texts can be read
                behind one of them.
            images: those of each sequence; empty where none has any. See `ImageSpan`.

        Returns:
            The final hidden states, [n, H] for each sequence.
        """
        lengths = [len(part) for part in tokens]
        segments = consecutive_segments(lengths, caches, clean=True, keep=keep, images=images)
        embeddings = self._clean_embeddings(Clean(tokens, caches, images))
        hidden = self._run(embeddings, segments, batch_invariant=batch_invariant)
        return list(hidden.split(lengths))

    def prefill(
        self, tokens: Sequence[Tensor], caches: Sequence[Cache], images: Images = ()
    ) -> None:
        """Run `encode` for the caches alone: the last layer computes no states."""
        lengths = [len(part) for part in tokens]
        segments = consecutive_segments(lengths, caches, clean=True, images=images)
        embeddings = self._clean_embeddings(Clean(tokens, caches, images))
        self._run(embeddings, segments, first=sum(lengths))

    def encode_prompt(self, tokens: Sequence[int], cache: Cache) -> Tensor:
        """Encode a text of any length (at least one token), chunk by chunk.

        Returns:
            The hidden state [H] of its last token.
        """
        *front, last = torch.tensor(tokens, device=self.device).split(PREFILL_CHUNK)
        for part in front:
            self.prefill([part], [cache])
        return self.encode([last], [cache])[0][-1]

    def canvas_states(
        self,
        canvas: Tensor,
        caches: Sequence[Cache],
        self_conditioning: Tensor,
        clean: Clean | None = None,
    ) -> Tensor:
        """Run canvases in both directions behind their prefixes. Caches get `clean` tokens only.

        Args:
            canvas: int64 [B, L].
            caches: one for each row.
            self_conditioning: [B, L, H], zeros at the first step of a canvas.
            clean: tokens that the same pass encodes first, in some of these caches or in others. A
                canvas sees those of its own cache.

        Returns:
            The final hidden states [B, L, H].
        """
        rows, length = canvas.shape
        embeddings = self.canvas_embeddings(canvas, self_conditioning, caches)
        if clean is not None:
            embeddings = torch.cat((self._clean_embeddings(clean), embeddings))
        first = len(embeddings) - rows * length
        segments = self._segments(canvas, caches, clean)
        return self._run(embeddings, segments, first=first).view(rows, length, -1)

    def denoise(
        self,
        canvas: Tensor,
        caches: Sequence[Cache],
        self_conditioning: Tensor,
        readout: Readout,
        clean: Clean | None = None,
    ) -> VocabularyStatistics:
        """Run one denoising pass: `canvas_states`, then the vocabulary pass.

        Args:
            readout: the settings of the vocabulary pass. The others are those of `canvas_states`.
        """
        if readout.plain and uses_cuda_graphs(self_conditioning):
            segments = self._segments(canvas, caches, clean)
            if is_recorded(self, segments, self_conditioning.flatten(0, 1)):
                tokens = self._embeddings_of(clean)
                return denoise_from_graph(
                    self, canvas, segments, self_conditioning, readout, tokens
                )
        return self.read(self.canvas_states(canvas, caches, self_conditioning, clean), readout)

    def record(
        self,
        kind: str,
        work: Work,
        inputs: Tensors,
        caches: Sequence[Cache],
        canvas: Tensor | None = None,
        clean: Clean | None = None,
        feeds: Feeds = (),
    ) -> Tensors | None:
        """Return `work(pass, *inputs)`, as one CUDA graph where there is one.

        Args:
            kind: tells works apart: of one kind, all do the same.
            work: called with the network within the pass (a `RecordedPass`) and the inputs. All
                that it does runs on the device, and reads nothing back.
            inputs: none may be changed in place where outputs are fed.
            caches: of the canvases.
            canvas: int64 [B, L], canvases that the pass reads; None for clean tokens alone.
            clean: tokens that the pass encodes.
            feeds: pairs (output, input): what the next pass takes from this one.

        Returns:
            The outputs; None where no graph can hold the pass, and nothing was done.
        """
        if not self.records_passes:
            return None
        segments = self._segments(canvas, caches, clean)
        if not is_recorded(self, segments, self._embeddings_of(None)):
            return None
        positions = 0 if canvas is None else canvas.numel()
        return run_recorded(
            self,
            kind,
            work,
            inputs,
            segments,
            self._embeddings_of(clean),
            memory=logits_bytes(positions, self.config),
            feeds=feeds,
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Return softcapped logits, float32 [..., V], of hidden states [..., H].

        For autoregressive decoding and for tests: denoising never has all logits at once.
        """
        flat = hidden.reshape(-1, hidden.shape[-1])
        logits = softcapped_logits(
            flat, self.embed_tokens.weight, self.config.final_logit_softcapping
        )
        return logits.view(*hidden.shape[:-1], -1)

    @staticmethod
    def _segments(
        canvas: Tensor | None, caches: Sequence[Cache], clean: Clean | None
    ) -> list[Segment]:
        """Return the segments of a pass: clean tokens, then canvases [B, L] behind their caches."""
        encoded: list[Segment] = []
        if clean is not None:
            lengths = [len(part) for part in clean.tokens]
            encoded = consecutive_segments(lengths, clean.caches, clean=True, images=clean.images)
        if canvas is None:
            return encoded
        rows, length = canvas.shape
        return encoded + consecutive_segments([length] * rows, caches, clean=False, after=encoded)

    def _run(
        self,
        embeddings: Tensor,
        segments: Sequence[Segment],
        *,
        first: int = 0,
        batch_invariant: bool = True,
    ) -> Tensor:
        """Run a flat pass [N, H]; return states [N - first, H] of the tokens from `first` on.

        `first` is 0, the first token of a canvas, or N.
        """
        padded = pad_for_invariance(embeddings) if batch_invariant else embeddings
        if len(padded) == len(embeddings) and is_recorded(self, segments, padded):
            return states_from_graph(self, embeddings, segments, first)
        # The last layer computes more rows than are wanted, where too few rows would be summed in
        # another order; and it begins at a multiple of VECTOR_ROWS.
        begin = max(0, min(first, len(padded) - min_rows(padded))) // VECTOR_ROWS * VECTOR_ROWS
        rows = [(one.start, one.stop, one.cache.adapter) for one in segments]
        with rows_of_adapters(rows, len(padded), padded.device):
            context = CachedContext(self.config, segments, len(padded), padded)
            hidden = self.hidden_states(padded, context, begin)
        for segment in segments:
            if segment.kept:
                segment.cache.advance(segment.length)
        return hidden[first - begin : len(embeddings) - begin]

    def _embeddings_of(self, clean: Clean | None) -> Tensor:
        """Return the layers' input [N, H] for clean tokens, of which there may be none."""
        if clean is not None:
            return self._clean_embeddings(clean)
        return torch.empty(0, self.config.hidden_size, dtype=self.dtype, device=self.device)

    def _clean_embeddings(self, clean: Clean) -> Tensor:
        """Return the layers' input [N, H] for clean tokens, with images in their places.

        The features of an image are not scaled as the embeddings of tokens are.
        """
        embeddings = self.embed(torch.cat(list(clean.tokens)))
        first = 0
        for tokens, cache, images in zip(clean.tokens, clean.caches, clean.images, strict=False):
            for image in images:
                place = image.start - cache.length
                if image.features is not None and 0 <= place < len(tokens):
                    place += first
                    embeddings[place : place + len(image.features)] = image.features
            first += len(tokens)
        return embeddings

    def canvas_embeddings(
        self, canvas: Tensor, self_conditioning: Tensor, caches: Sequence[Cache]
    ) -> Tensor:
        """Return the layers' input [B * L, H] for canvases [B, L]."""
        embeddings, signal = self.embed(canvas).flatten(0, 1), self_conditioning.flatten(0, 1)
        embeddings, length = pad_for_invariance(embeddings), canvas.shape[1]
        rows = [(at * length, (at + 1) * length, one.adapter) for at, one in enumerate(caches)]
        with rows_of_adapters(rows, len(embeddings), embeddings.device):
            joined = self.self_conditioning.join(embeddings, pad_for_invariance(signal))
        return joined[: canvas.numel()]

    def read(self, hidden: Tensor, readout: Readout) -> VocabularyStatistics:
        """Run the vocabulary pass over final hidden states [B, L, H]."""
        return read_vocabulary(
            hidden,
            self.embed_tokens.weight,
            self.config.final_logit_softcapping,
            self.embedding_scale,
            readout,
        )
