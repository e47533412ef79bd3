"""On a CUDA device: the same text as on the CPU, from the same seed."""

from __future__ import annotations

import pytest

from redraft.engine import Model
from redraft.testing import tiny_model

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("method", ["diffusion", "typewriter"])
def test_the_same_seed_writes_the_same_text_on_both_devices(seed: int, method: str) -> None:
    options = {"max_new_tokens": 40, "max_denoising_steps": 5, "seed": seed, "eos_token_id": (), "method": method}
    options |= {"top_p": 0.9, "repetition_penalty": 1.1, "logit_bias": {7: 2.0}}
    written = [
        Model(tiny_model(seed).to(device)).generate([2, 150 + seed, 151], **options).tokens for device in ("cpu", "cuda")
    ]
    assert written[0] == written[1]
