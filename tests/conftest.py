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

TESTS = Path(__file__).parent
# Places of tests that take long: marked slow, so that `make test-fast` leaves them out.
SLOW = (
    "browser",
    "checkpoint/test_formats.py",
    "checkpoint/test_quantize.py",
    "cli",
    "docs/test_code.py",
    "editing/test_infill.py",
    "editing/test_repair.py",
    "engine/test_engine.py",
    "evals",
    "grammar/test_schema.py",
    "grammar/test_writing.py",
    "ops/test_kernels.py",
    "parity",
    "server/test_anything.py",
    "server/test_crowd.py",
    "server/test_speech.py",
    "test_benchmarks.py",
    "test_small.py",
    "train",
)


def is_slow(path: Path) -> bool:
    place = path.relative_to(TESTS).as_posix()
    return any(place == slow or place.startswith(f"{slow}/") for slow in SLOW)


def pytest_report_header(config: pytest.Config) -> str:
    left_out = config.getoption("markexpr") == "not slow"
    return f"left out as slow: {', '.join(SLOW)}" if left_out else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker("slow")
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint folder; tests that change it copy it."""
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")
