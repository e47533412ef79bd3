"""The launches of a denoising step are few: counted without a device, in the released shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

from redraft.config.presets import PRESETS
from redraft.ops.linear import Linear
from redraft.quant import keep_decoded_matrices, kept_decoded
from tests.network.launches import (
    Launches,
    commit_launches,
    network_without_numbers,
    step_launches,
    token_launches,
    whole_step_launches,
)

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a device, kernels are not the interpreter's"
)
FULL = PRESETS["26b"]


def test_launches_and_operations_are_counted_and_views_are_not() -> None:
    x = torch.zeros(4, 6, device="meta")
    with Launches() as found:
        x.view(2, 12).unsqueeze(0)
        x.reshape(24)
        x.float()
        assert found.counts.total() == 0
        x.t().reshape(24)
        x.double() + x
        x.t().contiguous()
    assert found.counts.total() == 4, found.counts


@pytest.mark.parametrize(("form", "kept"), [("bf16", True), ("int8", True), ("int8", False)])
def test_a_step_of_the_released_shape_has_at_most_500(form: str, kept: bool) -> None:
    counts = step_launches(FULL, form, kept=kept)
    assert counts.total() <= 500, counts
    assert not counts["_decode"], "a canvas has few enough rows for packed numbers"
    assert not counts["cos"], "rotary tables are computed once a canvas"
    layers = FULL.num_hidden_layers
    assert counts["_end_layer"] == counts["_after_attention"] == counts["_heads"] == layers
    fewer = replace(FULL, num_hidden_layers=24, layer_types=FULL.layer_types[:24])
    assert (counts.total() - step_launches(fewer, form, kept=kept).total()) / 6 <= 16


def test_packed_numbers_cost_no_launch_more_than_decoded_ones() -> None:
    config = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])
    counts = {kept: step_launches(config, "int8", kept=kept) for kept in (False, True)}
    assert counts[False].total() == counts[True].total()
    assert counts[False]["_product"] - counts[True]["_product"] == 4 * 6


def test_experts_are_two_products() -> None:
    """The first one gates as it writes."""
    config = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])
    counts = step_launches(config, "bf16")
    assert counts["_product"] == 2 * 6
    assert counts["_gated"] == 6 + 1  # of the dense blocks, and of the self-conditioning


def test_what_a_graph_adds_to_the_layers_is_bounded() -> None:
    """Noise, schedule, sampler and stop beside the statistics; clean tokens beside a canvas."""
    six = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])
    statistics, whole = step_launches(six).total(), whole_step_launches(six)
    assert whole.total() - statistics <= 90, whole
    commit = whole_step_launches(six, commit=True)
    # A layer has one launch more for the clean tokens, and puts the rows of both together.
    assert commit.total() - whole.total() <= 4 * 6 + 30, commit
    assert commit["_attend"] == 6
    assert commit["_attend_placed"] == 5, "the last layer computes the canvas alone"
    token = token_launches(six)
    assert token["_attend_tokens"] == token["_join_shares"] == 6
    assert token.total() <= 16 * 6 + 60, token


def test_columns_are_moved_outside_of_a_graph() -> None:
    six = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])
    counts = commit_launches(six)
    assert counts["clone"] == 2 * 5, counts  # five layers slide
    assert counts.total() <= 4 * 5 + 30, counts


def test_matrices_are_kept_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])
    network = network_without_numbers(config, "int8", kept=False)
    weights = [one.weight for one in network.modules() if isinstance(one, Linear)]
    packed = [one for one in weights if not isinstance(one, torch.Tensor)]
    needed = 2 * sum(one.shape.numel() for one in packed)
    assert keep_decoded_matrices(network) == 0  # no device
    monkeypatch.setattr(kept_decoded, "KERNEL_DEVICES", {"meta"})
    for free, kept in (
        (needed + kept_decoded.SPARE_MEMORY - 1, 0),
        (needed + kept_decoded.SPARE_MEMORY, needed),
    ):
        monkeypatch.setattr(kept_decoded, "_free_memory", lambda device, free=free: free)
        assert keep_decoded_matrices(network) == kept
        assert all(one._keeps_decoded == bool(kept) for one in packed)
