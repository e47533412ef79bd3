from __future__ import annotations

import ast
import builtins
import json
import random
import re
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from redraft.tasks import Example, Infill, Rewrite, Task
from redraft.tasks.snippets import filled
from redraft.tasks.snippets.snippet import (
    MAX_CHARACTERS,
    MAX_HOLE_TOKENS,
    MAX_LINES,
    MAX_TOKENS,
    count_tokens,
)
from redraft.tasks.snippets.words import CITIES, PEOPLE
from redraft.tasks.task import HELD_OUT_ONE_IN, held_out, is_held_out, outside, training_stream

TASKS = (Infill(), Rewrite())


def drawn(task: Task, count: int, seed: int = 0) -> list[Example]:
    rng = random.Random(seed)
    return [task.draw(rng) for _ in range(count)]


def inside(example: Example) -> list[str]:
    return [example.answer[start:end] for start, end in example.holes]


def example_of(prompt: str, marked: str) -> Example:
    """An example whose holes are in << >>."""
    parts, holes, text = re.split("<<|>>", marked), [], ""
    for at, part in enumerate(parts):
        if at % 2:
            holes.append((len(text), len(text) + len(part)))
        text += part
    return Example(prompt, text, 1, tuple(holes))


def variables(code: str) -> Iterator[tuple[str, bool]]:
    """Names of a function and whether each is bound there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.arg):
            yield node.arg, True
        elif isinstance(node, ast.Name):
            yield node.id, isinstance(node.ctx, ast.Store)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_snippets_are_right_and_keep_the_limits(task: Task) -> None:
    kinds = set()
    for example in drawn(task, 2_000):
        kinds.add((example.prompt if task.name == "infill" else "", example.difficulty))
        assert len(example.answer) <= MAX_CHARACTERS
        assert example.answer.count("\n") < MAX_LINES
        assert count_tokens(example.answer) <= MAX_TOKENS
        assert count_tokens(example.prompt) <= 40
        assert all(0 <= start < end <= len(example.answer) for start, end in example.holes)
        assert all(left[1] < right[0] for left, right in pairwise(example.holes))
        assert all(0 < count_tokens(part) <= MAX_HOLE_TOKENS for part in inside(example))
        assert "«" not in example.answer
        assert "$" not in example.answer
        assert task.check(example, example.answer)
        assert filled(example, inside(example)) == example.answer
        assert all(part not in example.key for part in inside(example) if len(part) > 25)
        if example.prompt == "fill json":
            json.loads(example.answer)
            continue
        names = list(variables(example.answer))
        bound, used = ({name for name, stored in names if stored is way} for way in (True, False))
        assert used - set(dir(builtins)) <= bound
        assert example.difficulty == 9 or task.name == "rewrite" or bound <= used, example.answer
        assert any(isinstance(node, ast.Return) for node in ast.walk(ast.parse(example.answer)))
    assert len(kinds) == (6 if task.name == "infill" else 10)


def test_holes_are_spans_lines_or_two() -> None:
    counts = dict.fromkeys((1, 2, 3), 0)
    for example in drawn(Infill(), 3_000):
        counts[example.difficulty] += 1
        assert len(example.holes) == (2 if example.difficulty == 3 else 1)
        assert not any("\n" in part for part in inside(example))
        whole = f"\n{inside(example)[0]}\n" in f"\n{example.answer}\n"
        assert whole or example.difficulty != 2
    assert counts[2] == pytest.approx(1_500, rel=0.1)
    assert counts[1] == pytest.approx(counts[3], rel=0.2)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_corrupted_fillings_are_wrong(task: Task) -> None:
    for example in drawn(task, 2_000, seed=1):
        answer, (start, end), parts = example.answer, example.holes[0], inside(example)
        wrong = [
            ["" for _ in parts],
            ["(" + part for part in parts],
            [part + "\n" for part in parts],
            ["pass" for _ in parts],
        ]
        for word in set(re.findall(r"[A-Za-z]+|\d+", parts[0])) - set(PEOPLE) - set(CITIES):
            seen = len(re.findall(rf"\b{word}\b", answer)) > len(
                re.findall(rf"\b{word}\b", " ".join(parts))
            )
            attribute = f".{word}" in parts[0]
            if word.isdigit() or seen or attribute:
                wrong.append(
                    [
                        parts[0].replace(word, "7" + word if word.isdigit() else "q" + word),
                        *parts[1:],
                    ]
                )
        for fillings in wrong:
            assert not task.check(example, filled(example, fillings)), filled(example, fillings)
        around = outside(answer, example.holes)
        assert not task.check(example, answer + " x")
        assert not around[-1] or not task.check(example, answer + " ")
        assert not task.check(example, " " + answer)
        assert not task.check(example, answer[:start])
        assert not task.check(example, answer + "\n" + around[-1])
        assert not task.check(
            example, answer[:end] + answer[end:].replace(around[1].strip() or "}", "", 1) + "x"
        )


def test_other_right_fillings_pass() -> None:
    task = Infill()
    code = (
        "def run(items):\n    <<kept = []>>\n    for item in items:\n"
        "        kept.append(item.name)\n    return kept"
    )
    example = example_of("fill python", code)
    assert task.check(example, filled(example, ["kept=[]"]))
    assert not task.check(example, filled(example, ["kept = {}"]))
    assert not task.check(example, filled(example, ["kept = []  # new"]))
    assert not task.check(example, filled(example, ["kept = [items]"]))
    assert not task.check(example, filled(example, ["out = []"]))
    two = example_of(
        "fill python",
        "def f(rows):\n    <<best>> = sum(row.size for row in rows)\n"
        "    return <<best>> / len(rows)",
    )
    assert task.check(two, filled(two, ["total", "total"]))
    assert not task.check(two, filled(two, ["total", "best"]))
    assert not task.check(two, filled(two, ["rows", "rows"]))
    assert not task.check(two, filled(two, ["len", "len"]))
    assert not task.check(two, filled(two, ["sum", "sum"]))
    assert not task.check(two, filled(two, ["None", "None"]))


def test_free_names_in_json_pass_and_determined_ones_do_not() -> None:
    task = Infill()
    rows = (
        '[\n  {"id": 4, "name": "Ada"},\n<<  {"id": 5, "name": "Ben"},>>\n'
        '  {"id": 6, "name": "Cleo"}\n]'
    )
    example = example_of("fill json", rows)
    assert task.check(example, filled(example, ['  {"id": 5, "name": "Tess"},']))
    for wrong in (
        '{"id": 6, "name": "Ben"},',
        '{"id": 5, "name": "Rome"},',
        '{"id": 5, "name": 5},',
        '{"id": 5.0, "name": "Ben"},',
        '{"name": "Ben", "id": 5},',
        '{"id": 5, "id": 5, "name": "Ben"},',
        '{"id": 5, "name": "Ben"}',
        '{"id": 5, "name": "Ben"}, {"id": 5, "name": "Ben"},',
        '{"id": true, "name": "Ben"},',
    ):
        assert not task.check(example, filled(example, [wrong])), wrong
    route = example_of(
        "fill json", '[\n  {"from": "Rome", "to": "<<Oslo>>"},\n  {"from": "Oslo", "to": "Bern"}\n]'
    )
    assert not task.check(route, filled(route, ["Lima"]))


def test_a_rewritten_line_must_be_as_asked_for() -> None:
    prompt, code = (
        "rewrite total = 0: start at 5",
        "def f(x):\n<<    total = 5>>\n    total += x.cost\n    return total",
    )
    example = example_of(prompt, code)
    assert Rewrite().check(example, filled(example, ["    total  =  5"]))
    for wrong in (
        "    total = 0",
        "    total = 6",
        "total = 5",
        "    amount = 5",
        "    total = 5; x = 1",
    ):
        assert not Rewrite().check(example, filled(example, [wrong])), wrong
    for drawn_example in drawn(Rewrite(), 500, seed=3):
        old = drawn_example.prompt.removeprefix("rewrite ").rpartition(": ")[0]
        (line,) = inside(drawn_example)
        assert line.strip().removesuffix(":") != old
        assert not Rewrite().check(
            drawn_example, filled(drawn_example, [line.replace(line.strip(), old)])
        )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_draws_repeat_by_seed_and_held_out_ones_are_never_trained_on(task: Task) -> None:
    assert drawn(task, 200, seed=5) == drawn(task, 200, seed=5) != drawn(task, 200, seed=6)
    kept = {example.key for example in held_out(task, 12)}
    assert len(kept) == 12
    stream = list(islice(training_stream(task, 0), 1_500))
    assert kept.isdisjoint(example.key for example in stream)
    assert not any(is_held_out(example.key) for example in stream)


def test_there_are_many_snippets() -> None:
    examples = drawn(Infill(), 20_000, seed=7)
    assert len({example.answer for example in examples}) > 19_000
    share = sum(is_held_out(example.key) for example in examples) / len(examples)
    assert share == pytest.approx(1 / HELD_OUT_ONE_IN, rel=0.25)


def test_a_task_with_few_held_out_examples_gives_what_it_has() -> None:
    class Few:
        name = "few"

        def draw(self, rng: random.Random) -> Example:
            return Example(str(rng.randrange(300)), "", 1)

        def check(self, example: Example, text: str) -> bool:
            return text == example.answer

    found = held_out(Few(), 300)
    assert {example.key for example in found} == {
        str(number) for number in range(300) if is_held_out(str(number))
    }


def test_a_key_is_all_that_is_given() -> None:
    example = example_of("fill python", "a <<b>> c <<d>>")
    assert example.key == "fill python\na \0 c \0"
    assert Example("calc 1", "2", 1).key == "calc 1"
