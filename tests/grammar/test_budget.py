"""Compiling a constraint has a budget of work, memory and time, and can be cancelled."""

from __future__ import annotations

import random
import string
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import redraft
from redraft.errors import ConstraintError, ConstraintLimitError
from redraft.grammar import Choice, Grammar, JsonSchema, Regex, ToolCalls
from redraft.grammar import budget as budget_module
from redraft.grammar.budget import Budget, budgeted, spend, within
from redraft.grammar.schema import json_schema
from redraft.testing import byte_tokenizer

WORD = string.ascii_lowercase


def word(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(WORD) for _ in range(length))


def mutual(count: int) -> dict[str, Any]:
    """Return a schema of definitions that all refer to all others."""
    members = {f"p{number}": {"$ref": f"#/$defs/d{number}"} for number in range(count)}
    definitions = {f"d{number}": {"properties": members} for number in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


HOSTILE: dict[str, Callable[[], Any]] = {
    "optional": lambda: Regex("(a?){10000}"),
    "repeated": lambda: Regex("((a{1,50}b?){1,50}c?){1,50}"),
    "ranges": lambda: Regex(
        "".join(f"[{chr(0x4E00 + 2 * at)}-{chr(0x4E00 + 2 * at + 5000)}]?" for at in range(2000))
    ),
    "branches": lambda: Regex("|".join(chr(0x4E00 + at) + "{2}" for at in range(20000))),
    "choices": lambda: Choice([word(random.Random(at), 192) for at in range(10000)]),
    "rules": lambda: Grammar(
        'start: r0\nr20000: "z"\n'
        + "".join(f'r{at}: "a" r{at + 1} "b" | "c"\n' for at in range(20000))
    ),
    # Lark itself writes 2^16 alternatives, or expands for ever.
    "optional symbols": lambda: Grammar("start: " + " ".join(f'"{c}"?' for c in WORD[:16])),
    "template": lambda: Grammar('start: t{"a"}\nt{x}: t{t{x}}\n'),
    "definitions": lambda: JsonSchema(mutual(16)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_beyond_the_budget_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real limits take seconds to reach; what is held to them is the same.
    monkeypatch.setattr(budget_module, "MAX_WORK", 1_500_000)
    monkeypatch.setattr(budget_module, "MAX_HELD", 800_000)
    budget = Budget()
    with pytest.raises(ConstraintError, match=r"too much|too large|are the most"), within(budget):
        HOSTILE[name]()


WORDS = [word(random.Random(at), 3 + at % 8) for at in range(10000)]
OBJECT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CHAIN = {
    f"d{at}": {
        "type": "object",
        "properties": {"n": {"$ref": f"#/$defs/d{at + 1}"}},
        "additionalProperties": False,
    }
    for at in range(100)
} | {"d100": {"type": "null"}}
LEGITIMATE: dict[str, tuple[Callable[[], Any], str, str]] = {
    "choices": (lambda: Choice(WORDS), WORDS[77], "nosuchword"),
    "enum": (lambda: JsonSchema({"enum": WORDS}), f'"{WORDS[78]}"', '"nosuchword"'),
    "objects": (
        lambda: JsonSchema({"type": "array", "items": OBJECT, "maxItems": 1000}),
        "[" + ",".join(['{"name":"a","age":1}'] * 1000) + "]",
        "[" + ",".join(['{"name":"a","age":1}'] * 1001) + "]",
    ),
    "chain": (
        lambda: JsonSchema({"$ref": "#/$defs/d0", "$defs": CHAIN}),
        '{"n":' * 100 + "null" + "}" * 100,
        '{"n":' * 99 + "null" + "}" * 99,
    ),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_people_bring_takes_a_small_part_of_the_budget(name: str) -> None:
    build, inside, outside = LEGITIMATE[name]
    with within(Budget()) as budget:
        constraint = build()
        assert constraint.compile(byte_tokenizer(), [1], 0, 384) is not None
    assert constraint.dfa.accepts(inside)
    assert not constraint.dfa.accepts(outside)
    assert budget.work < budget_module.MAX_WORK / 5
    assert budget.held < budget_module.MAX_HELD / 3


EVERY_PART: dict[str, Callable[[], Any]] = {
    "schema": lambda: JsonSchema(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string", "pattern": "^x{2,5}$", "not": {"pattern": "xxx"}},
                "b": {"type": "string", "maxLength": 9},
                "c": {"type": "array", "items": {"enum": ["one", 3]}, "maxItems": 9},
            },
            "patternProperties": {"^p[0-9]{1,9}": {"type": "null"}},
            "additionalProperties": False,
        }
    ),
    "tools": lambda: ToolCalls([{"name": "f", "parameters": OBJECT}]),
    "grammar": lambda: Grammar('start: word ("," word)* | "(" start ")"\nword: /[a-z]{1,9}/\n'),
    "regex": lambda: Regex("(a?b){20}|c{5,30}"),
    "choice": lambda: Choice(WORDS[:300]),
}


@pytest.mark.parametrize("name", EVERY_PART)
def test_a_spent_budget_is_the_same_error_wherever_it_is_spent(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> None:
        EVERY_PART[name]().compile(byte_tokenizer(), [1], 0, 384)

    build()  # what is kept, in Lark and for formats, takes no work any more
    json_schema._compiled.cache_clear()
    with within(Budget()) as budget:
        build()
    for share in range(0, 100, 9):
        json_schema._compiled.cache_clear()
        monkeypatch.setattr(budget_module, "MAX_WORK", budget.work * share // 100)
        with pytest.raises(ConstraintError) as caught, within(Budget()):
            build()
        assert caught.type is ConstraintLimitError, caught.value


def test_work_is_counted_and_not_measured() -> None:
    counts = set()
    for _ in range(2):
        with within(Budget()) as budget:
            Regex("(a?b){200}|c{50,300}")
        counts.add((budget.work, budget.held))
    assert len(counts) == 1


def test_another_thread_cancels() -> None:
    budget, caught, begun = Budget(), [], threading.Event()

    def compile_it() -> None:
        with within(budget):
            begun.set()
            try:
                while True:
                    Regex("(a?b){300}")
            except ConstraintLimitError as error:
                caught.append(error)

    thread = threading.Thread(target=compile_it)
    thread.start()
    begun.wait()
    budget.cancel()
    thread.join(30)
    assert not thread.is_alive()
    assert "nobody waits" in str(caught[0])


def test_time_is_a_limit_where_it_is_given() -> None:
    budget = Budget(0.01)
    time.sleep(0.02)
    with pytest.raises(ConstraintLimitError, match=r"more than 0\.01 seconds"), within(budget):
        Regex("(a?b){300}")


def test_a_budget_is_shared_by_what_runs_inside_it() -> None:
    @budgeted
    def inner() -> None:
        spend(3, held=2)

    with within(Budget()) as budget:
        inner()
        inner()
    assert (budget.work, budget.held) == (6, 4)
    inner()
    assert (budget.work, budget.held) == (6, 4)


def test_a_prompt_with_a_constraint_that_is_too_large_is_refused_before_any_work() -> None:
    model = redraft.load("small-text", dtype="float32")
    with pytest.raises(ConstraintLimitError, match="lower its bounds"):
        model.generate("x", constraint=Regex("(a?){10000}"))
