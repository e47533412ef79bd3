from __future__ import annotations

import os
from pathlib import Path

# Before torch loads: idle threads must sleep, a busy neighbour would make them cost a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

# Kernels for a device that is not here run in Triton's interpreter; it must be told so before it
# loads.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from redraft.testing import tiny_checkpoint


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint folder; tests that change it copy it."""
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")
