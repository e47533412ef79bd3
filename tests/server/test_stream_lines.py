"""Lines of streams: clients that read by Python's splitlines get each whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from redraft.server.runtime.sse import data_line, json_line, named_line

ODD = {"type": "é", "content": "a\x85b\u2028c\u2029d\ne\x1cf\x0bg 東京 \\u2028"}


@pytest.mark.parametrize("line", [data_line, named_line, json_line])
def test_a_line_ends_at_its_end_alone(line: Callable[[Any], str]) -> None:
    found = line(ODD).splitlines()
    whole = [one for one in found if one and not one.startswith("event:")]
    assert [json.loads(one.removeprefix("data: ")) for one in whole] == [ODD]
    assert "東京" in whole[0]
