"""The forward passes of training: clean tokens, canvases, and what follows from their logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from redraft.network import DiffusionGemma
from redraft.network.context import rotary_tables
from redraft.network.layers import Layer
from redraft.network.segments import Images, ImageSpan
from redraft.train.context import KeyValue, Past, additive, canvas_masks, clean_masks, run_layer

# Compiled versions of a function, at most: kinds of layer, times the kinds and sizes of passes.
MAX_COMPILED = 32


class ForwardPasses:
    """The forward passes of training over one network.

    A prefix is encoded once and serves every canvas drawn for it.

    Args:
        compiled: compile a layer's forward, once for all layers of a kind, and what is computed
            from logits. That takes about a minute at the first passes.
        dense_experts: run every expert on every token: faster where they are few and narrow, but
            experts must be plain tensors.
        chunk: positions whose logits are in memory at a time; None for all.
        checkpointed: keep of a layer its input alone, and run it again for the gradient.
        layer_runner: runs a layer, in place of `run_layer`.
        in_step: other processes run the same passes at the same time: none may be left out.
    """

    def __init__(
        self,
        network: DiffusionGemma,
        *,
        compiled: bool = False,
        dense_experts: bool = True,
        checkpointed: bool = False,
        chunk: int | None = None,
        layer_runner: Callable[..., tuple[Tensor, KeyValue]] = run_layer,
        in_step: bool = False,
    ) -> None:
        self.network, self.dense_experts, self.checkpointed = network, dense_experts, checkpointed
        self.chunk, self.in_step = chunk, in_step
        self._run_layer, self._token_loss = layer_runner, token_loss
        self._soft_embedding = soft_embedding
        if compiled:
            # torch's own setting, for the whole process: above it a function runs uncompiled.
            torch._dynamo.config.recompile_limit = MAX_COMPILED
            self._run_layer = torch.compile(layer_runner, dynamic=False)
            self._token_loss = torch.compile(token_loss, dynamic=False)
            self._soft_embedding = torch.compile(soft_embedding, dynamic=False)

    def encode(
        self,
        tokens: Tensor,
        past: Past | None = None,
        lengths: Tensor | None = None,
        images: Images = (),
    ) -> tuple[Tensor, Past]:
        """Encode clean tokens causally.

        Args:
            tokens: int64 [B, T].
            past: of the prefixes that the tokens follow; None if they follow nothing.
            lengths: int64 [B], how many tokens of each padded prefix count.
            images: of each row, by the clean tokens; empty where none has any.

        Returns:
            States [B, T, H], and the past of these tokens.
        """
        rows, count = tokens.shape
        if lengths is None:
            lengths = torch.zeros(rows, dtype=torch.int64, device=tokens.device)
        held = 0 if past is None else past[0][0].shape[1]
        masks = clean_masks(self.network.config, lengths, count, held, images)
        embeddings = with_images(self.network.embed(tokens), images)
        return self._run(embeddings, lengths, masks, past, clean=True)

    def canvas_states(self, canvas: Tensor, signal: Tensor, past: Past, lengths: Tensor) -> Tensor:
        """Return the states [B, L, H] of canvases, read in both directions behind their prefixes.

        Args:
            canvas: int64 [B, L].
            signal: [B, L, H], the self-conditioning; zeros for none.
            past: of the prefixes.
            lengths: int64 [B], how many tokens of each padded prefix count.
        """
        embeddings = self.network.self_conditioning.join(self.network.embed(canvas), signal)
        masks = canvas_masks(self.network.config, lengths, canvas.shape[1], past[0][0].shape[1])
        return self._run(embeddings, lengths, masks, past, clean=False)[0]

    def token_loss(self, states: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy [B, L], in nats, of tokens [B, L] under states [B, L, H]."""
        if not target.numel():
            return torch.zeros(target.shape, device=target.device)
        if self.chunk is None:
            return self._token_loss(self.network, states, target)
        parts = []
        pairs = zip(
            states.flatten(0, 1).split(self.chunk), target.flatten().split(self.chunk), strict=True
        )
        for some, right in pairs:
            given = (self.network, some[None], right[None])
            # The logits of a chunk are computed again for the gradient, and not kept.
            parts.append(checkpoint(self._token_loss, *given, use_reentrant=False)[0])
        return torch.cat(parts).view_as(target)

    def soft_embedding(self, states: Tensor) -> Tensor:
        """Return the mean embedding [B, L, H] under the logits of states [B, L, H], scaled.

        The next denoising step gets it as self-conditioning. Its gradient is that of the embedding
        table alone: the states have none.
        """
        if self.chunk is None:
            return self._soft_embedding(self.network, states)
        parts = states.flatten(0, 1).split(self.chunk)
        return torch.cat([self._soft_embedding(self.network, one) for one in parts]).view_as(states)

    def _run(
        self,
        x: Tensor,
        start: Tensor,
        masks: dict[str, Tensor],
        past: Past | None,
        *,
        clean: bool,
    ) -> tuple[Tensor, Past]:
        """Run all layers and the final norm over embeddings x [B, T, H], from position `start`."""
        config = self.network.config
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        positions = start[:, None] + torch.arange(x.shape[1], device=x.device)
        tables = rotary_tables(config, positions, x.dtype)
        added = {kind: additive(mask, x.dtype) for kind, mask in masks.items()}
        left = []
        for index, layer in enumerate(self.network.layers):
            assert isinstance(layer, Layer)
            kind, behind = config.layers[index].kind, None if past is None else past[index]
            given = (layer, x, tables[kind], added[kind], behind, clean, self.dense_experts)
            if self.checkpointed and torch.is_grad_enabled():
                x, key_value = checkpoint(self._run_layer, *given, use_reentrant=False)
            else:
                x, key_value = self._run_layer(*given)
            left.append(key_value)
        states: Tensor = self.network.norm(x)
        return states, left


def with_images(embeddings: Tensor, images: Images) -> Tensor:
    """Return embeddings [B, T, H] with the soft tokens of images in their places.

    Unlike embeddings of tokens, soft tokens are not scaled. An image without soft tokens keeps the
    embeddings in its place.
    """
    rows = list(embeddings)
    for row, spans in enumerate(images):
        for one in spans:
            if one.features is None:
                continue
            soft = one.features.to(embeddings)
            rows[row] = torch.cat((rows[row][: one.start], soft, rows[row][one.stop :]))
    return torch.stack(rows) if any(map(_has_features, images)) else embeddings


def _has_features(spans: Sequence[ImageSpan]) -> bool:
    return any(one.features is not None for one in spans)


def token_loss(network: DiffusionGemma, states: Tensor, target: Tensor) -> Tensor:
    """See `ForwardPasses.token_loss`."""
    logits = network.logits(states).float()
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)


def soft_embedding(network: DiffusionGemma, states: Tensor) -> Tensor:
    """See `ForwardPasses.soft_embedding`."""
    weight = network.embed_tokens.weight
    with torch.no_grad():
        probabilities = network.logits(states).softmax(dim=-1).to(weight.dtype)
    return (probabilities @ weight) * network.embedding_scale
