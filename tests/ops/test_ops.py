"""Each operation against the form in which one would write it down."""

from __future__ import annotations

import pytest
import torch

from redraft.ops import attention as attention_module
from redraft.ops import experts as experts_module
from redraft.ops import linear as linear_module
from redraft.ops.activation import ACTIVATIONS
from redraft.ops.attention import attention, causal_attention, causal_mask
from redraft.ops.experts import experts, route
from redraft.ops.linear import ONEDNN, linear, wide_product
from redraft.ops.norm import rms_norm

GELU = ACTIVATIONS["gelu_pytorch_tanh"]


def naive_attention(query, key, value, mask):
    length, heads, _ = query.shape
    group = heads // key.shape[0]
    out = []
    for head in range(heads):
        scores = query[:, head] @ key[head // group].T
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        out.append(scores.softmax(-1) @ value[head // group])
    return torch.stack(out, 1).reshape(length, -1)


@pytest.mark.parametrize("seed", range(20))
def test_attention(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(seed)
    kv, group, dim = (int(torch.randint(1, 5, ())) for _ in range(3))
    length, total = int(torch.randint(1, 12, ())), int(torch.randint(12, 40, ()))
    query, key, value = (
        torch.randn(length, kv * group, dim),
        torch.randn(kv, total, dim),
        torch.randn(kv, total, dim),
    )
    for mask in (
        None,
        causal_mask(length, total, None, query.device),
        causal_mask(length, total, 5, query.device),
    ):
        expected = naive_attention(query, key, value, mask)
        assert torch.allclose(attention(query, key, value, mask), expected, atol=1e-5)
        # The same in blocks of queries.
        monkeypatch.setattr(attention_module, "MAX_SCORES_CPU", 64)
        monkeypatch.setattr(attention_module, "MIN_QUERIES", 1)
        assert torch.allclose(attention(query, key, value, mask), expected, atol=1e-5)
        monkeypatch.undo()


@pytest.mark.parametrize("window", [None, 1, 5, 30, 200])
@pytest.mark.parametrize(("length", "total"), [(1, 1), (1, 50), (7, 7), (40, 100), (100, 100)])
def test_causal_attention_in_blocks_is_attention_under_its_mask(
    length: int, total: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(total)
    query, key, value = (
        torch.randn(length, 6, 8),
        torch.randn(2, total, 8),
        torch.randn(2, total, 8),
    )
    expected = naive_attention(query, key, value, causal_mask(length, total, window, query.device))
    for queries, scores in ((32, 1 << 21), (3, 1000), (1, 1)):
        monkeypatch.setattr(attention_module, "MIN_QUERIES", queries)
        monkeypatch.setattr(attention_module, "MAX_SCORES_CPU", scores)
        with torch.no_grad():
            assert torch.allclose(causal_attention(query, key, value, window), expected, atol=1e-5)


def test_the_causal_mask_is_the_definition() -> None:
    for queries, keys, window in ((1, 1, 3), (4, 4, 3), (3, 9, 4), (5, 9, None), (1, 9, 4)):
        mask = causal_mask(queries, keys, window, torch.device("cpu"))
        for q in range(queries):
            for k in range(keys):
                at = keys - queries + q
                seen = k <= at and (window is None or at - k < window)
                assert seen == (True if mask is None else bool(mask[q, k]))


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_experts(tokens: int) -> None:
    torch.manual_seed(tokens)
    count, hidden, width, top_k = 6, 24, 10, 3
    x, gate_up, down = (
        torch.randn(tokens, hidden),
        torch.randn(count, 2 * width, hidden),
        torch.randn(count, hidden, width),
    )
    weights, index = route(torch.randn(tokens, count), top_k, torch.rand(count))
    expected = torch.zeros(tokens, hidden)
    for token in range(tokens):
        for weight, number in zip(weights[token], index[token], strict=True):
            gate, up = (gate_up[number] @ x[token]).chunk(2)
            expected[token] += weight * (down[number] @ (GELU(gate) * up))
    assert torch.allclose(
        experts(x, gate_up, down, weights, index, GELU), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.skipif(not linear_module.adds_alike(), reason="oneDNN computes all products here")
@pytest.mark.parametrize("transposed", [False, True])
def test_small_products_have_the_bits_of_onednn(transposed: bool) -> None:
    generator = torch.Generator().manual_seed(7)
    onednn = torch.ops.mkldnn._linear_pointwise.default
    with torch.inference_mode():
        for inputs in (8, 24, 32, 100, 128, 192):
            for columns in (16, 24, 128, 203, 384):
                for rows in (16, 33, 96, 288):
                    x = torch.randn(rows, inputs, generator=generator)
                    shape = (inputs, columns) if transposed else (columns, inputs)
                    weight = torch.randn(*shape, generator=generator)
                    weight = weight.T if transposed else weight
                    assert linear_module.suits_mkl(x, weight) or x.numel() * columns > 1 << 22
                    expected = onednn(x, weight, None, "none", [], "")
                    assert torch.equal(linear(x, weight), expected), (rows, columns, inputs)
        assert not linear_module.suits_mkl(x, torch.ones(128, 193))
        assert not linear_module.suits_mkl(x, torch.ones(15, 192))
        assert not linear_module.suits_mkl(x[:15], torch.ones(128, 192))


@pytest.mark.skipif(not linear_module.adds_alike(), reason="each head is a product of its own")
def test_heads_in_one_product_have_the_bits_of_their_own() -> None:
    generator = torch.Generator().manual_seed(8)
    with torch.inference_mode():
        for heads, rows, dim, columns in ((4, 84, 32, 340), (2, 168, 64, 212), (1, 16, 192, 16)):
            query = torch.randn(heads, rows, dim, generator=generator)
            cache = torch.randn(heads, columns + 5, dim, generator=generator)
            key = cache[:, :columns]
            assert linear_module.suits_mkl(query, key)
            pairs = zip(query, key, strict=True)
            expected = torch.stack([linear_module.onednn_product(*pair) for pair in pairs])
            assert torch.equal(attention_module._product(query, key), expected)


def test_a_library_that_adds_in_another_order_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = linear_module.adds_alike()
    linear_module.adds_alike.cache_clear()
    monkeypatch.setattr(linear_module.F, "linear", lambda x, weight: x @ weight.T + 1e-6)
    assert not linear_module.adds_alike()
    monkeypatch.undo()
    linear_module.adds_alike.cache_clear()
    assert linear_module.adds_alike() == asked


@pytest.mark.parametrize(
    ("size", "count", "width", "top_k"), [(128, 8, 24, 2), (32, 8, 16, 2), (64, 16, 16, 4)]
)
def test_few_narrow_experts_give_the_bits_of_sorted_tokens(
    monkeypatch: pytest.MonkeyPatch, size: int, count: int, width: int, top_k: int
) -> None:
    generator = torch.Generator().manual_seed(size)
    gate_up = torch.randn(count, 2 * width, size, generator=generator)
    down = torch.randn(count, size, width, generator=generator)
    ways = []
    for tokens in (32, 96, 352):
        x = torch.randn(tokens, size, generator=generator)
        scores = torch.randn(tokens, count, generator=generator)
        with torch.inference_mode():
            weights, index = route(scores, top_k, torch.rand(count, generator=generator))
            given = x, gate_up, down, weights, index, ACTIVATIONS["gelu_pytorch_tanh"]
            ways.append(experts_module._suits_all(x, gate_up, down))
            found = experts(*given)
            with monkeypatch.context() as patch:
                patch.setattr(experts_module, "FEW_NUMBERS", 0)
                assert torch.equal(found, experts(*given))
    assert ways == [ONEDNN] * 3


def test_a_norm_in_few_operations_gives_the_bits_of_the_formula() -> None:
    x = torch.randn(37, 48, generator=torch.Generator().manual_seed(3)) * 30
    weight = torch.rand(48, generator=torch.Generator().manual_seed(4))
    for scale in (None, weight):
        formula = rms_norm(x, scale, 1e-6)  # a gradient may be wanted here
        with torch.inference_mode():
            assert torch.equal(rms_norm(x, scale, 1e-6), formula)


def test_an_experts_sum_does_not_depend_on_the_other_tokens() -> None:
    torch.manual_seed(0)
    x, gate_up, down = torch.randn(256, 24), torch.randn(8, 20, 24), torch.randn(8, 24, 10)
    weights, index = route(torch.randn(256, 8), 2, torch.rand(8))
    together = experts(x, gate_up, down, weights, index, GELU)
    for start in range(0, 224, 7):  # passes have whole rows: 32 tokens, or a multiple of it
        part = slice(start, start + 32)
        assert torch.equal(
            experts(x[part], gate_up, down, weights[part], index[part], GELU), together[part]
        )


def test_routing_is_softmax_then_top_k_then_renormalised_then_scaled() -> None:
    scores, scale = torch.tensor([[1.0, 3.0, 2.0, 0.0]]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    weights, index = route(scores, 2, scale)
    assert index.tolist() == [[1, 2]]
    high = torch.tensor(1.0).sigmoid()
    assert torch.allclose(weights, torch.stack((high * 2, (1 - high) * 3))[None])


def test_rms_norm_is_computed_in_float32_and_rounded_once() -> None:
    x, weight = torch.randn(50, 64).bfloat16(), torch.rand(64).bfloat16()
    wide = x.double()
    exact = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
    assert torch.equal(rms_norm(x, weight, 1e-6), exact.float().bfloat16())


@pytest.mark.parametrize("shape", [(1, 40, 24), (2, 24, 40), (33, 192, 768), (5, 7, 96, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_is_the_plain_product_also_of_a_turned_weight(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    *rows, inner, outer = shape
    x, weight = torch.randn(*rows, inner).to(dtype), torch.randn(outer, inner).to(dtype)
    turned = weight.T.contiguous().T
    expected = (x.double() @ weight.double().T).to(dtype)
    with torch.no_grad():
        for one in (weight, turned):
            assert torch.allclose(
                linear(x, one), expected, atol=1e-4, rtol=1e-4 if dtype == torch.float32 else 1e-2
            )
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, weight).dtype == torch.bfloat16
    weight.requires_grad_()
    linear(x, weight).sum().backward()  # a gradient goes another way
    assert weight.grad is not None


@pytest.mark.parametrize("inner", [24, 768])
def test_a_rows_product_does_not_depend_on_the_other_rows(inner: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(150, inner), torch.randn(64, inner)
    with torch.no_grad():
        together = linear(x, weight)
        for count in range(32, 150, 9):
            assert torch.equal(linear(x[:count], weight), together[:count])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wide_product_is_that_of_the_numbers(dtype):
    x, matrix = torch.randn(3, 40, 64).to(dtype), torch.randn(64, 24).to(dtype)
    found, right = wide_product(x, matrix), x.double() @ matrix.double()
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    assert (found - right).abs().max() < tolerance * right.abs().max()
