"""Images against transformers: soft tokens, encoder states, cache, logits; files both ways; each
known trap is fallen into on purpose, and noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

import redraft
from redraft.network import context
from redraft.network.vision import encoder, layers
from redraft.ops import attention as attention_ops
from redraft.ops.norm import rms_norm
from tests.parity.reference import saved_reference
from tests.parity.test_model import TOLERANCE, cache_distance, distance
from tests.parity.vision import (
    BOI,
    EOI,
    IMAGE,
    SHAPE,
    prompt_of,
    random_pixels,
    reference_features,
    reference_states,
    spans_of,
)

Patch = pytest.MonkeyPatch
Loaded = tuple[DiffusionGemmaForBlockDiffusion, redraft.Model]
# Sides in soft tokens: one alone, wide, high, and more tokens than any window of the models here.
SIDES = ((1, 1), (1, 5), (4, 3), (3, 7), (6, 8))


def loaded(folder: Path, seed: int) -> Loaded:
    reference = saved_reference(folder / "model", seed, vision_shape=SHAPE, sliding_window=8)
    return reference, redraft.load(folder / "model", dtype="float32")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded(tmp_path_factory.mktemp("vision"), 3)


def feature_distance(both: Loaded, rows: int, columns: int) -> float:
    reference, model = both
    assert model.images is not None
    pixels = random_pixels(torch.Generator().manual_seed(rows), rows, columns)
    theirs = reference_features(reference, pixels)
    assert theirs.shape == (rows * columns, model.config.hidden_size)
    return distance(model.images.encoder(pixels), theirs) / theirs.abs().max().item()


@pytest.mark.parametrize("sides", SIDES)
def test_soft_tokens_are_the_references(both: Loaded, sides: tuple[int, int]) -> None:
    assert feature_distance(both, *sides) < TOLERANCE / 10


@pytest.mark.parametrize(
    "change", [{"standardize": False}, {"use_clipped_linears": True}, {"num_hidden_layers": 5}]
)
def test_soft_tokens_of_other_shapes_are_the_references(
    tmp_path: Path, change: dict[str, object]
) -> None:
    reference = saved_reference(tmp_path / "model", 5, vision_shape=SHAPE | change)
    if "use_clipped_linears" in change:
        for name, limit in reference.named_buffers():
            if name.endswith(("_min", "_max")):
                limit.fill_(-0.6 if name.endswith("_min") else 0.8)
        reference.save_pretrained(tmp_path / "model")
    both = reference, redraft.load(tmp_path / "model", dtype="float32")
    assert feature_distance(both, 4, 3) < TOLERANCE / 10


def compare(both: Loaded, seed: int, counts: list[tuple[int, int]], texts: list[int]) -> float:
    """The largest difference of encoder states, cache and logits behind a prompt with images."""
    reference, model = both
    assert model.images is not None
    network, rng = model.network, torch.Generator().manual_seed(seed)
    pixels = [random_pixels(rng, *sides) for sides in counts]
    tokens, places = prompt_of(random.Random(seed), [r * c for r, c in counts], texts)
    states, theirs = reference_states(
        reference, tokens, [reference_features(reference, one) for one in pixels]
    )
    canvas = torch.randint(0, 150, (1, model.config.canvas_length), generator=rng)
    cache = network.new_cache(len(tokens))
    with torch.inference_mode():
        images = spans_of(places, [model.images.encoder(one) for one in pixels])
        ours = network.encode([torch.tensor(tokens)], [cache], images=[images])[0]
        zeros = torch.zeros(1, canvas.shape[1], model.config.hidden_size)
        logits = network.logits(network.canvas_states(canvas, [cache], zeros))
        wanted = reference(cache=theirs, decoder_input_ids=canvas).logits
    return max(distance(ours, states), cache_distance(cache, theirs), distance(logits, wanted))


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        ([(2, 2)], [3, 4]),
        ([(2, 3)], [0, 5]),  # at the very start
        ([(5, 5)], [6, 3]),  # three times as wide as the window
        ([(1, 3), (3, 1)], [2, 0, 2]),  # one right behind the other
        ([(4, 5), (1, 1), (3, 3)], [1, 9, 0, 20]),
        ([(2, 2)], [30, 0]),  # nothing behind it
        ([], [20]),
    ],
)
def test_states_cache_and_logits_are_the_references(
    both: Loaded, counts: list[tuple[int, int]], texts: list[int]
) -> None:
    assert compare(both, len(texts), counts, texts) < TOLERANCE


@pytest.mark.parametrize("seed", range(4))
def test_so_they_are_on_random_shapes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    counts = [(rng.randint(1, 4), rng.randint(1, 4)) for _ in range(rng.randint(1, 3))]
    texts = [rng.choice((0, 1, 5, 12)) for _ in range(len(counts) + 1)]
    assert compare(loaded(tmp_path, 40 + seed), seed, counts, texts) < TOLERANCE


def test_a_long_prompt_cut_into_blocks_is_the_references(both: Loaded) -> None:
    """Blocks of 256 positions with an image over an edge, and one that ends behind a block."""
    assert compare(both, 7, [(6, 8), (5, 4)], [230, 200, 60]) < TOLERANCE


def test_the_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    saved_reference(tmp_path / "theirs", 6, vision_shape=SHAPE)
    model = redraft.load(tmp_path / "theirs")
    model.save(tmp_path / "ours")
    first, second = (
        DiffusionGemmaForBlockDiffusion.from_pretrained(tmp_path / name)
        for name in ("theirs", "ours")
    )
    assert first.config.vision_config.to_dict() == second.config.vision_config.to_dict()
    old, new = first.state_dict(), second.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    seen = [one for one in old if "vision_tower" in one or "embed_vision" in one]
    assert len(seen) == 13 * 2 + 5


# Traps of the image encoder. Each is a wrong reading of the same weights.


def channels_first(patch: Patch) -> None:
    def wrong(pixels: Tensor, size: int, dtype: torch.dtype) -> Tensor:
        right = patches_of(pixels, size, dtype)
        return right.view(len(right), -1, 3).transpose(1, 2).flatten(1)

    patch.setattr(encoder, "patches_of", wrong)


def pixels_not_centred(patch: Patch) -> None:
    patch.setattr(
        encoder, "patches_of", lambda pixels, size, dtype: patches_of(pixels, size, dtype) / 2 + 0.5
    )


def rows_for_columns(patch: Patch) -> None:
    right = encoder.PatchEmbedder.forward
    patch.setattr(
        encoder.PatchEmbedder,
        "forward",
        lambda self, x, columns, rows: right(self, x, rows, columns),
    )


def rope_of_rows_first(patch: Patch) -> None:
    right = layers.rotary_tables
    patch.setattr(
        encoder, "rotary_tables", lambda columns, rows, config: right(rows, columns, config)
    )


def rope_in_one_piece(patch: Patch) -> None:
    def wrong(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        cos, sin = (part.flatten(-2) for part in table)
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)

    patch.setattr(layers, "rotate", wrong)


def no_rope(patch: Patch) -> None:
    patch.setattr(layers, "rotate", lambda x, table: x)


def attention_scaled(patch: Patch) -> None:
    patch.setattr(
        layers, "full_attention", lambda q, k, v: full_attention(q * q.shape[-1] ** -0.5, k, v)
    )


def attention_causal(patch: Patch) -> None:
    def wrong(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (part.transpose(0, 1)[None] for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0, is_causal=True)
        return mixed[0].transpose(0, 1).flatten(-2)

    patch.setattr(layers, "full_attention", wrong)


def values_not_normed(patch: Patch) -> None:
    patch.setattr(layers, "rms_norm", lambda x, weight, eps: x)


def features_not_normed(patch: Patch) -> None:
    patch.setattr(encoder, "rms_norm", lambda x, weight, eps: x)


def norms_of_one_plus_weight(patch: Patch) -> None:
    patch.setattr(layers.RMSNorm, "forward", lambda self, x: rms_norm(x, self.weight + 1, self.eps))


def pooled_column_by_column(patch: Patch) -> None:
    def wrong(x: Tensor, width: int, size: int) -> Tensor:
        right = pool(x, width, size)
        return right.view(-1, width // size, right.shape[-1]).transpose(0, 1).flatten(0, 1)

    patch.setattr(encoder, "pool", wrong)


def pooled_in_a_row(patch: Patch) -> None:
    patch.setattr(
        encoder, "pool", lambda x, width, size: x.view(-1, size**2, x.shape[-1]).mean(dim=1)
    )


def not_scaled_by_the_root_of_the_width(patch: Patch) -> None:
    patch.setattr(encoder, "pool", lambda x, width, size: pool(x, width, size) / x.shape[-1] ** 0.5)


TOWER_TRAPS = [
    channels_first,
    pixels_not_centred,
    rows_for_columns,
    rope_of_rows_first,
    rope_in_one_piece,
    no_rope,
    attention_scaled,
    attention_causal,
    values_not_normed,
    features_not_normed,
    norms_of_one_plus_weight,
    pooled_column_by_column,
    pooled_in_a_row,
    not_scaled_by_the_root_of_the_width,
]
patches_of, pool, full_attention = encoder.patches_of, encoder.pool, layers.full_attention


@pytest.mark.parametrize("trap", TOWER_TRAPS, ids=lambda trap: trap.__name__)
def test_a_trap_of_the_encoder_is_noticed(
    both: Loaded, monkeypatch: Patch, trap: Callable[[Patch], None]
) -> None:
    trap(monkeypatch)
    assert feature_distance(both, 4, 3) > 100 * TOLERANCE


def test_standardizing_in_the_other_order_is_noticed(tmp_path: Path) -> None:
    both = loaded(tmp_path, 3)
    assert both[1].images is not None
    tower = both[1].images.encoder.vision_tower
    tower.std_bias.mul_(1 / tower.std_scale)  # (x s) - b in place of (x - b) s
    assert feature_distance(both, 4, 3) > 10 * TOLERANCE


# Traps of the prompt.


def images_causal(patch: Patch) -> None:
    patch.setattr(
        context,
        "image_attention",
        lambda q, k, v, window, images: attention_ops.causal_attention(q, k, v, window),
    )


def images_open_on_all_layers(patch: Patch) -> None:
    """What the reference's `generate` does."""
    patch.setattr(context.CachedContext, "attend", _attend_with(lambda window: window or 10**6))


def images_not_held_to_the_window(patch: Patch) -> None:
    right = attention_ops.image_attention
    patch.setattr(
        context, "image_attention", lambda q, k, v, window, images: right(q, k, v, 10**6, images)
    )


def _attend_with(window_of: Callable[[int | None], int]) -> Callable[..., Tensor]:
    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if not self.clean:
            return right(self, index, query, key, value)
        first = self.size - len(query)
        mixed = query.new_zeros(len(query), query.shape[-2] * query.shape[-1])
        window = window_of(self.config.layers[index].sliding_window)
        for segment in self.clean:
            keys, values = self._visible(index, segment, key, value)
            here = slice(max(0, segment.start - first), segment.stop - first)
            mixed[here] = attention_ops.image_attention(
                query[here], keys, values, window, segment.images
            )
        return mixed

    right = context.CachedContext.attend
    return attend


def features_scaled_as_embeddings(patch: Patch) -> None:
    from redraft.network.transformer import DiffusionGemma

    right = DiffusionGemma._clean_embeddings

    def wrong(self, clean) -> Tensor:
        found = right(self, clean)
        images = torch.cat(list(clean.tokens)) == IMAGE
        return torch.where(images[:, None], found * self.embedding_scale, found)

    patch.setattr(DiffusionGemma, "_clean_embeddings", wrong)


def opening_and_closing_belong_to_the_image(patch: Patch) -> None:
    right = attention_ops.image_attention
    patch.setattr(
        context,
        "image_attention",
        lambda q, k, v, window, images: right(
            q, k, v, window, [(first - 1, last + 1) for first, last in images]
        ),
    )


PROMPT_TRAPS = [
    images_causal,
    images_open_on_all_layers,
    images_not_held_to_the_window,
    features_scaled_as_embeddings,
    opening_and_closing_belong_to_the_image,
]


@pytest.mark.parametrize("trap", PROMPT_TRAPS, ids=lambda trap: trap.__name__)
def test_a_trap_of_the_prompt_is_noticed(
    both: Loaded, monkeypatch: Patch, trap: Callable[[Patch], None]
) -> None:
    trap(monkeypatch)
    assert compare(both, 2, [(4, 3), (3, 3)], [9, 4, 6]) > 10 * TOLERANCE


def test_the_ids_of_an_image_are_the_references(both: Loaded) -> None:
    config = both[0].config
    assert (config.boi_token_id, config.eoi_token_id, config.image_token_id) == (BOI, EOI, IMAGE)
