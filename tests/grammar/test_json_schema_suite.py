"""Schemas that other people wrote: a selection of the JSON-Schema-Test-Suite."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from redraft.grammar import JsonSchema
from tests.grammar.cases import drawn

GROUPS = json.loads((Path(__file__).parent / "json_schema_suite/selection.json").read_text())


# Every third is in the ordinary run.
PICKED = [
    pytest.param(group, id=group["group"][:60], marks=[pytest.mark.long] if at % 3 else [])
    for at, group in enumerate(GROUPS)
]


@pytest.mark.parametrize("group", PICKED)
def test_a_schema_admits_no_invalid_text(group: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # keywords that have no effect
        dfa = JsonSchema(group["schema"]).dfa
    for test in group["tests"]:
        expected = test.get("admitted", test["valid"])
        assert dfa.accepts(json.dumps(test["data"], ensure_ascii=False)) == expected, test
    validator = jsonschema.validators.validator_for(
        group["schema"], jsonschema.Draft202012Validator
    )
    rng = random.Random(group["group"])
    for length in (0, 20, 60):
        text = drawn(rng, dfa, length)
        assert validator(group["schema"]).is_valid(json.loads(text)), text
