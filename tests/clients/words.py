"""Words that the clients and the server of these tests share; those in JavaScript read the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS: dict[str, Any] = json.loads((Path(__file__).parent / "words.json").read_text("utf-8"))


def visit(city: str) -> tuple[str, str]:
    """Return the results of the tools weather and people of a city."""
    return f"sun in {city}", f"{len(city)} people in {city}"


def journey() -> str:
    """Return what the model writes at the end of the journey: all results, in their order."""
    return "; ".join(result for city in WORDS["cities"] for result in visit(city))
