"""Random conversations, rendered and encoded like transformers, or refused with a reason.

REDRAFT_CONVERSATIONS sets how many there are for each template.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.text.conversations import Comparison, Generator
from tests.text.templates import OTHERS, RELEASE, template

COUNT = int(os.environ.get("REDRAFT_CONVERSATIONS", "60"))


@pytest.mark.parametrize("name", [RELEASE, *OTHERS])
def test_random_conversations_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    comparison = Comparison.of(name, template(name), tmp_path)
    found = Counter(comparison.compare(Generator(seed)()) for seed in range(COUNT))
    assert found["equal"] > COUNT / 5
