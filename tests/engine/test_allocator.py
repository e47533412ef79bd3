from __future__ import annotations

import ctypes
import platform

import pytest

from redraft.engine import allocator


def test_glibc_listens() -> None:
    assert allocator.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_without_glibc_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("there is nobody to tell"))
    assert allocator.keep_freed_memory.__wrapped__() is False
