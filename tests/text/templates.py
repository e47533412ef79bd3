"""Chat templates of other projects: files of the package `trl`, which is read and never imported.

It is installed without what it needs (`make setup`); where it is not there, its tests are skipped.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

RELEASE = "diffusion_gemma"
# Templates that take tools apart or copy them, read lists of parts or texts only.
OTHERS = ("gemma3", "llama3_1", "qwen3", "qwen3_6")


def template(name: str) -> str:
    """Return the source of a template; skip the test where the package is not installed."""
    if (source := find_template(name)) is None:
        pytest.skip("trl is not installed: pip install --no-deps trl")
    return source


@cache
def find_template(name: str) -> str | None:
    spec = find_spec("trl")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "chat_templates" / f"{name}.jinja"
        if path.exists():
            return path.read_text(encoding="utf-8")
    return None
