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
# Places of tests that take long, the longest first: they run before all others, so that no core
# waits for the last of them, and `make test-fast` leaves them out (they are marked slow).
SLOW = (
    "train/test_minute.py",
    "ops/test_kernels.py",
    "cli",
    "test_benchmarks.py",
    "docs/test_code.py",
    "evals",
    "network/test_cuda_graphs.py",
    "train",
    "engine/test_engine.py",
    "parity",
    "checkpoint/test_formats.py",
    "checkpoint/test_quantize.py",
    "editing/test_infill.py",
    "editing/test_repair.py",
    "grammar/test_schema.py",
    "grammar/test_writing.py",
    "server/test_anything.py",
    "server/test_crowd.py",
    "server/test_speech.py",
    "test_small.py",
    "browser",
)


def length_rank(path: Path) -> int:
    """Return the number of a test's place in SLOW; len(SLOW) if it is not slow."""
    place = path.relative_to(TESTS).as_posix()
    slow = (place == one or place.startswith(f"{one}/") for one in SLOW)
    return next((at for at, found in enumerate(slow) if found), len(SLOW))


def pytest_report_header(config: pytest.Config) -> str:
    left_out = "not slow" in config.getoption("markexpr")
    return f"left out as slow: {', '.join(SLOW)}" if left_out else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: length_rank(item.path))
    for item in items:
        if length_rank(item.path) < len(SLOW):
            item.add_marker("slow")
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint folder; tests that change it copy it."""
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")
