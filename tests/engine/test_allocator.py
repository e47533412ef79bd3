from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from redraft.engine import allocator


def test_glibc_listens() -> None:
    assert allocator.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_without_glibc_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("there is nobody to tell"))
    assert allocator.keep_freed_memory.__wrapped__() is False
    assert allocator.give_memory_back() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_freed_memory_goes_back_when_it_is_told_to() -> None:
    script = """
from pathlib import Path
from redraft.engine.allocator import give_memory_back, keep_freed_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
keep_freed_memory()
held = [bytearray(1 << 16) for _ in range(2000)]
last = bytearray(1 << 16)
del held
kept = resident()
give_memory_back()
print(kept - resident())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 100e6
