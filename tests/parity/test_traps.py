"""Every known trap of the architecture, fallen into on purpose: the parity test must notice each of
them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import redraft
from redraft.config import RopeConfig
from redraft.network import cache, context, layers, transformer
from redraft.ops import norm
from redraft.ops.experts import route
from tests.parity.reference import saved_reference
from tests.parity.test_model import TOLERANCE, compare

Patch = pytest.MonkeyPatch
attention, apply_rotary, rms_norm = context.attention, layers.apply_rotary, norm.rms_norm


def attention_scaled_by_head_size(patch: Patch) -> None:
    patch.setattr(
        context,
        "attention",
        lambda q, k, v, mask=None: attention(q * q.shape[-1] ** -0.5, k, v, mask),
    )


def norms_of_one_plus_weight(patch: Patch) -> None:
    wrong = lambda x, w, eps: rms_norm(x, None if w is None else w + 1, eps)  # noqa: E731
    patch.setattr(layers, "rms_norm", wrong)


def queries_without_norm(patch: Patch) -> None:
    _wrap_attention(patch, lambda self: setattr(self, "q_norm", torch.nn.Identity()))


def values_without_norm(patch: Patch) -> None:
    patch.setattr(layers.Attention, "forward", _attention(value=lambda self, x, raw: raw))


def values_turned(patch: Patch) -> None:
    patch.setattr(layers.Attention, "forward", _attention(turn_value=True))


def full_layers_take_normed_keys_as_values(patch: Patch) -> None:
    def value(self, x, raw):
        return rms_norm(self.k_norm(raw) if self.v_proj is None else raw, None, self.eps)

    patch.setattr(layers.Attention, "forward", _attention(value=value))


def norm_behind_rope(patch: Patch) -> None:
    patch.setattr(layers.Attention, "forward", _attention(norm_first=False))


def routing_by_the_experts_input(patch: Patch) -> None:
    def forward(self, x, ctx, first=0):
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), ctx, first))
        dense = self.post_feedforward_layernorm_1(self.mlp(self.pre_feedforward_layernorm(x)))
        normed = self.pre_feedforward_layernorm_2(x)
        sparse = self.post_feedforward_layernorm_2(self.experts(normed, *self.router(normed)))
        x = x + self.post_feedforward_layernorm(dense + sparse)
        return x * ctx.layer_scalar(self.encoder_layer_scalar, self.layer_scalar)

    patch.setattr(layers.Layer, "forward", forward)


def experts_on_the_dense_norm(patch: Patch) -> None:
    def init(self):
        self.pre_feedforward_layernorm_2 = self.pre_feedforward_layernorm

    _wrap(patch, layers.Layer, init)


def router_without_inverse_root(patch: Patch) -> None:
    def forward(self, residual):
        return route(
            self.proj(rms_norm(residual, None, self.eps) * self.scale),
            self.top_k,
            self.per_expert_scale,
        )

    patch.setattr(layers.Router, "forward", forward)


def expert_weights_all_equal(patch: Patch) -> None:
    def wrong(scores, top_k, scale):
        _, index = scores.softmax(-1).topk(top_k, dim=-1)
        return scale[index], index

    patch.setattr(layers, "route", wrong)


def per_expert_scale_forgotten(patch: Patch) -> None:
    patch.setattr(
        layers, "route", lambda scores, top_k, scale: route(scores, top_k, torch.ones_like(scale))
    )


def layer_scalar_on_the_branch_only(patch: Patch) -> None:
    original = layers.Layer.forward

    def forward(self, x, ctx, first=0):
        scalar = ctx.layer_scalar(self.encoder_layer_scalar, self.layer_scalar)
        return x + (original(self, x, ctx, first) / scalar - x) * scalar

    patch.setattr(layers.Layer, "forward", forward)


def encoder_with_the_decoders_scalar(patch: Patch) -> None:
    patch.setattr(context.CachedContext, "layer_scalar", lambda self, encoder, decoder: decoder)


def embeddings_unscaled(patch: Patch) -> None:
    patch.setattr(
        transformer.DiffusionGemma, "embed", lambda self, tokens: self.embed_tokens(tokens)
    )


def no_norm_at_step_one(patch: Patch) -> None:
    original = layers.SelfConditioning.join
    wrong = lambda self, e, s: original(self, e, s) if bool(s.any()) else e  # noqa: E731
    patch.setattr(layers.SelfConditioning, "join", wrong)


def self_conditioning_ignored(patch: Patch) -> None:
    original = layers.SelfConditioning.join
    patch.setattr(
        layers.SelfConditioning, "join", lambda self, e, s: original(self, e, torch.zeros_like(s))
    )


def encoder_input_normed(patch: Patch) -> None:
    original = transformer.DiffusionGemma._run

    def run(self, embeddings, segments, **how):
        clean = segments[0].clean
        return original(
            self, rms_norm(embeddings, None, 1e-6) if clean else embeddings, segments, **how
        )

    patch.setattr(transformer.DiffusionGemma, "_run", run)


def window_one_token_wider(patch: Patch) -> None:
    original = cache._LayerCache.__init__

    def init(self, shape, max_kept, dtype, device, max_visible):
        more = shape[2] == 8
        original(
            self,
            (shape[0], shape[1] + more, shape[2]),
            max_kept + more,
            dtype,
            device,
            max_visible + more,
        )

    patch.setattr(cache._LayerCache, "__init__", init)


def window_for_each_canvas_position(patch: Patch) -> None:
    original = context.CachedContext.attend

    def attend(self, index, query, key, value):
        window = self.config.layers[index].sliding_window
        segment = (self.clean or self.canvases)[0]
        if window is None or segment.clean:
            return original(self, index, query, key, value)
        count = segment.length
        keys, values = segment.cache.peek(
            index, key[:count].transpose(0, 1), value[:count].transpose(0, 1)
        )
        total = keys.shape[1]
        seen = torch.arange(total) > torch.arange(total - count, total)[:, None] - window
        mixed = query.new_zeros(len(query), query.shape[1] * query.shape[2])
        mixed[:count] = attention(query[:count], keys, values, seen)
        return mixed

    patch.setattr(context.CachedContext, "attend", attend)


def canvas_read_causally(patch: Patch) -> None:
    def masked(q, k, v, mask=None):
        if mask is None and q.shape[0] > 1:
            mask = torch.ones(q.shape[0], k.shape[1]).tril(k.shape[1] - q.shape[0]).bool()
        return attention(q, k, v, mask)

    patch.setattr(context, "attention", masked)


def rope_exponents_over_the_turning_part(patch: Patch) -> None:
    original = context.inverse_frequencies

    def wrong(rope: RopeConfig, head_dim: int, device: torch.device):
        frequencies = original(rope, head_dim, device)
        turning = int((frequencies > 0).sum())
        frequencies[:turning] = rope.rope_theta ** -(torch.arange(turning) / turning)
        return frequencies

    patch.setattr(context, "inverse_frequencies", wrong)


def rope_pairs_neighbours(patch: Patch) -> None:
    def wrong(x, table):
        cos, sin = (part.unsqueeze(-2).chunk(2, -1)[0].repeat_interleave(2, -1) for part in table)
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
        return x * cos + turned * sin

    patch.setattr(layers, "apply_rotary", wrong)


def logits_without_softcap(patch: Patch) -> None:
    patch.setattr(
        transformer, "softcapped_logits", lambda h, e, cap: torch.nn.functional.linear(h, e)
    )


def gelu_exact(patch: Patch) -> None:
    patch.setitem(layers.ACTIVATIONS, "gelu_pytorch_tanh", lambda x: torch.nn.functional.gelu(x))


def _wrap(patch: Patch, kind: type, after: Callable) -> None:
    """Change a module once it is loaded, when it first runs."""
    original = kind.forward

    def forward(self, *args):
        after(self)
        return original(self, *args)

    patch.setattr(kind, "forward", forward)


def _wrap_attention(patch: Patch, after: Callable) -> None:
    _wrap(patch, layers.Attention, after)


def _attention(value=None, turn_value=False, norm_first=True) -> Callable:
    def forward(self, x, ctx, first=0):
        table, heads = ctx.rotary(self.layer), (*x.shape[:-1], -1, self.layer.head_dim)
        query, key = self.q_proj(x).view(heads), self.k_proj(x).view(heads)
        raw = key if self.v_proj is None else self.v_proj(x).view(heads)
        values = rms_norm(raw, None, self.eps) if value is None else value(self, x, raw)
        if turn_value:
            values = apply_rotary(values, table)
        if norm_first:
            query, key = (
                apply_rotary(self.q_norm(query), table),
                apply_rotary(self.k_norm(key), table),
            )
        else:
            query, key = (
                self.q_norm(apply_rotary(query, table)),
                self.k_norm(apply_rotary(key, table)),
            )
        return self.o_proj(ctx.attend(self.index, query[first:], key, values))

    return forward


TRAPS = [
    attention_scaled_by_head_size,
    norms_of_one_plus_weight,
    queries_without_norm,
    values_without_norm,
    values_turned,
    full_layers_take_normed_keys_as_values,
    norm_behind_rope,
    routing_by_the_experts_input,
    experts_on_the_dense_norm,
    router_without_inverse_root,
    expert_weights_all_equal,
    per_expert_scale_forgotten,
    layer_scalar_on_the_branch_only,
    encoder_with_the_decoders_scalar,
    embeddings_unscaled,
    no_norm_at_step_one,
    self_conditioning_ignored,
    encoder_input_normed,
    window_one_token_wider,
    window_for_each_canvas_position,
    canvas_read_causally,
    rope_exponents_over_the_turning_part,
    rope_pairs_neighbours,
    logits_without_softcap,
    gelu_exact,
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    folder = Path(tmp_path_factory.mktemp("traps")) / "model"
    reference = saved_reference(
        folder,
        3,
        sliding_window=7,
        head_dim=8,
        global_head_dim=16,
        num_key_value_heads=2,
        num_global_key_value_heads=1,
        num_experts=8,
        top_k_experts=2,
    )
    return reference, folder


def worst(pair) -> float:
    reference, folder = pair
    model = redraft.load(folder).network
    rng = torch.Generator().manual_seed(1)
    return max(compare(reference, model, torch.randint(3, 150, (20,), generator=rng), rng).values())


def test_without_a_trap_parity_holds(pair) -> None:
    assert worst(pair) < TOLERANCE


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_parity_notices(trap: Callable, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    # The plain form, which traps change; tests/network/test_few_operations.py has the fast one's.
    monkeypatch.setattr(transformer, "suits_few_operations", lambda *_: False)
    trap(monkeypatch)
    try:
        difference = worst(pair)
    except AssertionError:  # shapes of the cache differ: noticed as well
        return
    assert difference > 5 * TOLERANCE
