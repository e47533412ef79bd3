"""DiffusionGemma: embeddings, layers, and the two ways of reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from redraft.config import ModelConfig
from redraft.network.cache import Cache
from redraft.network.context import (
    PREFILL_CHUNK,
    CachedContext,
    Clean,
    Context,
    Segment,
    end_to_end,
)
from redraft.network.cuda_graphs import Replay
from redraft.network.layers import Experts, Layer, RMSNorm, SelfConditioning
from redraft.ops.batch_invariance import VECTOR_ROWS, least_rows, whole_rows
from redraft.ops.triton import uses_kernels
from redraft.ops.vocabulary import Readout, VocabularyStatistics, read_vocabulary, softcapped_logits


class Embedding(nn.Embedding):
    """Zeros until it is filled, for the reason that `Linear` has."""

    def reset_parameters(self) -> None:
        self.weight.data.zero_()

    def forward(self, input: Tensor) -> Tensor:
        weight: Any = self.weight  # a table in few bits gives its rows when asked
        return super().forward(input) if isinstance(weight, Tensor) else weight[input]


class DiffusionGemma(nn.Module):
    """One parameter stack (Gemma 4 mixture of experts), read causally over clean tokens and both
    ways over a canvas."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_conditioning = SelfConditioning(config)
        self.replay = Replay()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.replay.forget()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Weights from a state; what was recorded with others is forgotten."""
        self.replay.forget()
        return super().load_state_dict(*args, **kwargs)

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
    def embedding_scale(self) -> Tensor:
        """sqrt(hidden_size), rounded to the weights' dtype as the reference rounds it."""
        return torch.full((), self.config.hidden_size**0.5, dtype=self.dtype, device=self.device)

    def new_cache(self, capacity: int, *, whole: bool = False) -> Cache:
        """An empty cache for a prefix of up to `capacity` tokens; a `whole` one can be cut back."""
        return Cache(self.config, capacity, dtype=self.dtype, device=self.device, whole=whole)

    def embed(self, tokens: Tensor) -> Tensor:
        """Scaled embeddings [..., H] of token ids [...]."""
        embedded: Tensor = self.embed_tokens(tokens)
        return embedded * self.embedding_scale

    def hidden_states(self, embeddings: Tensor, context: Context, first: int = 0) -> Tensor:
        """All layers and the final norm over embeddings [N, H]: states [N - first, H] of the tokens
        from `first` on. Of the others the last layer works out keys and values alone."""
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
        alike: bool = True,
        keep: bool = True,
    ) -> list[Tensor]:
        """Read clean tokens causally and write them to their caches.

        Args:
            tokens: one int64 [n] a sequence, n >= 1; lengths may differ.
            caches: one a sequence, with room for its tokens.
            alike: pad the pass so that a row's last bits do not depend on its neighbours (see
                `ops/rows.py`); the typewriter, which has one token a row, does without.
            keep: without, the caches stay as they are, and several texts can be read behind one of
                them.

        Returns:
            Final hidden states, one [n, H] a sequence.
        """
        segments = end_to_end([len(part) for part in tokens], caches, clean=True, keep=keep)
        hidden = self._run(self.embed(torch.cat(list(tokens))), segments, alike=alike)
        return list(hidden.split([len(part) for part in tokens]))

    def prefill(self, tokens: Sequence[Tensor], caches: Sequence[Cache]) -> None:
        """`encode` for the caches alone: the last layer does not work out what nobody reads."""
        segments = end_to_end([len(part) for part in tokens], caches, clean=True)
        self._run(
            self.embed(torch.cat(list(tokens))), segments, first=sum(len(part) for part in tokens)
        )

    def read(self, tokens: Sequence[int], cache: Cache) -> Tensor:
        """Encode a text of any length (at least one token) in chunks; its last hidden state [H]."""
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
        """Read canvases both ways, behind their prefixes, which stay as they are but for `clean`
        tokens.

        Args:
            canvas: int64 [B, L].
            caches: one a row.
            self_conditioning: [B, L, H], zeros at a canvas's first step.
            clean: tokens that the same pass encodes first, in some of these caches or in others; a
                canvas sees those of its own cache.

        Returns:
            Final hidden states [B, L, H].
        """
        rows, length = canvas.shape
        embeddings = self._canvas_embeddings(canvas, self_conditioning)
        encoded: list[Segment] = []
        if clean is not None:
            encoded = end_to_end([len(part) for part in clean.tokens], clean.caches, clean=True)
            embeddings = torch.cat((self.embed(torch.cat(list(clean.tokens))), embeddings))
        segments = [*encoded, *end_to_end([length] * rows, caches, clean=False, after=encoded)]
        return self._run(embeddings, segments, first=len(embeddings) - rows * length).view(
            rows, length, -1
        )

    def denoise(
        self,
        canvas: Tensor,
        caches: Sequence[Cache],
        self_conditioning: Tensor,
        readout: Readout,
        clean: Clean | None = None,
    ) -> VocabularyStatistics:
        """One denoising pass: `canvas_states`, then what the step needs to know of the
        vocabulary."""
        if clean is None and readout.plain and _records(self_conditioning):
            return self._denoise_recorded(canvas, caches, self_conditioning, readout)
        return self._read(self.canvas_states(canvas, caches, self_conditioning, clean), readout)

    def logits(self, hidden: Tensor) -> Tensor:
        """Softcapped logits, float32 [..., V], of hidden states [..., H]: for the typewriter and
        for tests."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        logits = softcapped_logits(
            flat, self.embed_tokens.weight, self.config.final_logit_softcapping
        )
        return logits.view(*hidden.shape[:-1], -1)

    def _run(
        self, embeddings: Tensor, segments: Sequence[Segment], *, first: int = 0, alike: bool = True
    ) -> Tensor:
        """Run a flat pass [N, H]; states [N - first, H] of the tokens from `first` on."""
        padded = whole_rows(embeddings) if alike else embeddings
        # As many rows are worked out to the end as make every row's sums alike.
        whole = max(0, min(first, len(padded) - least_rows(padded))) // VECTOR_ROWS * VECTOR_ROWS

        def run(context: CachedContext, given: Tensor) -> tuple[Tensor]:
            context.begin()
            return (self.hidden_states(given, context, whole),)

        def prepare() -> CachedContext:
            return CachedContext(self.config, segments, len(padded), padded)

        if _records(padded) and not any(segment.clean for segment in segments):
            (hidden,) = self.replay.run(
                "states", segments, (padded,), prepare, run, self._waits_for_nothing
            )
        else:
            (hidden,) = run(prepare(), padded)
        for segment in segments:
            if segment.kept:
                segment.cache.advance(segment.length)
        return hidden[first - whole : len(embeddings) - whole]

    def _canvas_embeddings(self, canvas: Tensor, self_conditioning: Tensor) -> Tensor:
        """What the layers read of canvases [B, L]: [B * L, H]."""
        return self.self_conditioning.join(self.embed(canvas), self_conditioning).flatten(0, 1)

    def _read(self, hidden: Tensor, readout: Readout) -> VocabularyStatistics:
        return read_vocabulary(
            hidden,
            self.embed_tokens.weight,
            self.config.final_logit_softcapping,
            self.embedding_scale,
            readout,
        )

    def _denoise_recorded(
        self, canvas: Tensor, caches: Sequence[Cache], self_conditioning: Tensor, readout: Readout
    ) -> VocabularyStatistics:
        """`denoise` of a plain readout, from tokens to statistics in one recording."""
        rows, length = canvas.shape
        segments = end_to_end([length] * rows, caches, clean=False)
        names = ("argmax", "sample", "entropy", "confidence", "soft_embedding")

        def run(
            context: CachedContext, canvas: Tensor, signal: Tensor, *asked: Tensor
        ) -> tuple[Tensor, ...]:
            context.begin()
            hidden = self.hidden_states(self._canvas_embeddings(canvas, signal), context).view(
                rows, length, -1
            )
            temperature, uniform, greedy, wanted = asked
            plain = Readout(
                temperature=temperature,
                uniform=uniform,
                greedy=greedy,
                wanted=wanted,
                edits=[None] * rows,
            )
            found = self._read(hidden, plain)
            return tuple(getattr(found, name) for name in names)

        def prepare() -> CachedContext:
            return CachedContext(self.config, segments, rows * length, self_conditioning)

        wanted = (
            torch.ones_like(canvas, dtype=torch.bool) if readout.wanted is None else readout.wanted
        )
        given = (
            canvas,
            self_conditioning,
            readout.temperature,
            readout.uniform,
            readout.greedy,
            wanted,
        )
        found = self.replay.run("denoise", segments, given, prepare, run, self._waits_for_nothing)
        return VocabularyStatistics(**dict(zip(names, found, strict=True)))

    def _waits_for_nothing(self) -> bool:
        """Whether a pass is launched without asking the device for anything: where all experts have
        a kernel."""
        return all(module.in_kernels for module in self.modules() if isinstance(module, Experts))


def _records(like: Tensor) -> bool:
    """Whether passes over such tensors are recorded."""
    return like.device.type == "cuda" and uses_kernels(like)
