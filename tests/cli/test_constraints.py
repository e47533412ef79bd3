"""The options that say what a text must be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import lark
import pytest

from tests.command import call

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
GRAMMAR = 'start: item ("+" item)*\nitem: /[0-9]/ | "(" start ")"\n'
SMALL = (
    "generate",
    "-m",
    "small-text",
    "-p",
    "a record",
    "--seed",
    "3",
    "-s",
    "max_denoising_steps=8",
    "--json",
)


def test_a_schema_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    done = call(*SMALL, "--json-schema", str(tmp_path / "schema.json"))
    report = json.loads(done.stdout)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(report["parsed"]), done.stderr
    assert json.loads(report["text"]) == report["parsed"]


def test_patterns_choices_and_grammars(tmp_path: Path) -> None:
    (tmp_path / "sum.lark").write_text(GRAMMAR)
    assert re.fullmatch(
        "[a-z]{2}-[0-9]{3}", json.loads(call(*SMALL, "--regex", "[a-z]{2}-[0-9]{3}").stdout)["text"]
    )
    assert json.loads(call(*SMALL, "--choice", "yes,no", "--choice", "maybe").stdout)["text"] in (
        "yes",
        "no",
        "maybe",
    )
    done = call(*SMALL, "--grammar", str(tmp_path / "sum.lark"))
    lark.Lark(GRAMMAR, lexer="dynamic_complete").parse(json.loads(done.stdout)["text"])


def test_holes_can_be_told_what_they_are() -> None:
    done = call(
        "infill", "--prefix", "x = ", "--suffix", " + 1", "--regex", "[0-9]{2}", "--seed", "1"
    )
    assert re.fullmatch("x = [0-9]{2} \\+ 1", done.stdout), done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--regex", "(?<=a)b"), "lookbehind"),
        (("--regex", "a", "--choice", "b"), "give one of --json-schema"),
        (("--json-schema", "missing.json"), "missing.json cannot be read"),
        (("--regex", "a{300}"), "raise max_new_tokens"),
        (("--regex", "a+", "--stop", "x"), "stop strings"),
    ],
)
def test_mistakes_are_one_line(options: tuple[str, ...], message: str) -> None:
    done = call(*SMALL, *options)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.strip().splitlines()
    assert message in line
