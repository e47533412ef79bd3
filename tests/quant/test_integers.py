"""Products of int8 weights in integers: on a CPU, and on a device where they were faster."""

from __future__ import annotations

import pytest
import torch

from redraft.ops import triton as kernels
from redraft.ops.triton.measured_tiles import integers_name, trying
from redraft.quant import FORMATS, int8
from redraft.quant.int8 import Int8Weight

SHAPES = ((48, 64), (16, 64), (80, 64))


def weights(group: int = 0) -> list[Int8Weight]:
    generator = torch.Generator().manual_seed(1)
    made = [
        FORMATS["int8"].quantize(torch.randn(*shape, generator=generator), torch.bfloat16, group)
        for shape in SHAPES
    ]
    return [one for one in made if isinstance(one, Int8Weight)]


def test_a_device_multiplies_integers_where_that_was_faster() -> None:
    one, other, _ = weights()
    x = torch.empty(32, 64, dtype=torch.bfloat16, device="meta")  # stands for one on a device
    assert not one._multiplies_integers(x)
    with trying(integers_name(SHAPES[0]), (1,)):
        assert one._multiplies_integers(x)
        assert not one._multiplies_integers(x[:16]), "cuBLAS takes more rows"
        assert not one._multiplies_integers(x.float())
        assert not other._multiplies_integers(x), "another shape"
        assert not one.as_table()._multiplies_integers(x)  # type: ignore[attr-defined]
    with trying(integers_name(SHAPES[0]), (0,)):
        assert not one._multiplies_integers(x)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the processor stands for a device")
@pytest.mark.skipif(not int8._has_exact_products(), reason="this processor's sums may saturate")
def test_products_with_one_input_round_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 17, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
    first, *others = weights()
    with torch.inference_mode():
        expected = [one.product(x) for one in (first, *others)]
        monkeypatch.setattr(kernels, "KERNEL_DEVICES", {"cpu"})
        rounded: list[int] = []
        round_inputs = int8._rounded_inputs

        def noted(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rounded.append(len(given))
            return round_inputs(given)

        monkeypatch.setattr(int8, "_rounded_inputs", noted)
        found = first.products(x, others)
    assert rounded == [34]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    exact = x.float() @ first.dequantize().float().T
    assert (found[0].float() - exact).abs().max() < 0.03 * exact.abs().max()
