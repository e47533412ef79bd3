from __future__ import annotations

import pytest

from redraft.testing import tiny_model


def test_only_a_whole_cache_is_cut_and_only_back() -> None:
    model = tiny_model(0)
    with pytest.raises(ValueError, match="truncatable=False"):
        model.new_cache(10).truncate(0)
    with pytest.raises(ValueError, match="of 0 tokens"):
        model.new_cache(10, truncatable=True).truncate(1)
