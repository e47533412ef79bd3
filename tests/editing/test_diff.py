"""Diffs: they lead from one text to the other, and are those of difflib where no line comes
twice."""

from __future__ import annotations

import difflib
import random
import re
import time

import pytest

from redraft.editing import diff
from redraft.editing.diff import unified_diff

HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")


def lines_of(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def plain(before: str, after: str) -> str:
    lines = difflib.unified_diff(lines_of(before), lines_of(after), "before", "after")
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
    )


def applied(before: str, diff: str) -> str:
    """A patch by the book: every number of every header is checked."""
    old, new, at = lines_of(before), list[str](), 0
    _, _, *rest = re.findall(
        r"[^\n\0]*[\n\0]", diff.replace("\n\\ No newline at end of file\n", "\0")
    ) or [None, None]
    while rest:
        found = HEADER.fullmatch(rest.pop(0))
        assert found
        first, count, start, length = (
            1 if number is None else int(number) for number in found.groups()
        )
        begin = first - (count > 0)
        new += old[at:begin]
        assert len(new) == start - (length > 0)
        at, written = begin, 0
        context = 0
        while rest and not rest[0].startswith("@@"):
            line = rest.pop(0)
            text = line[1:-1] + ("\n" if line.endswith("\n") else "")
            context = context + 1 if line[0] == " " else 0
            if line[0] in " -":
                assert old[at] == text
                at += 1
            if line[0] in " +":
                new.append(text)
                written += 1
        assert (at - begin, written) == (count, length)
        assert context == min(3, len(old) - at + context)
    return "".join(new + old[at:])


def changed(rng: random.Random, lines: list[str], fresh: str) -> list[str]:
    found = list(lines)
    for number in range(rng.choice((0, 1, 1, 2, 3))):
        at = rng.randint(0, len(found))
        found[at : at + rng.randint(0, 4)] = [
            f"{rng.choice(fresh)}{number}{row}\n" for row in range(rng.randint(0, 3))
        ]
    return found


def cut(rng: random.Random, lines: list[str]) -> str:
    text = "".join(lines)
    return text[:-1] if rng.random() < 0.3 else text


@pytest.mark.parametrize("case", range(300))
def test_a_diff_leads_from_one_text_to_the_other(case: int) -> None:
    rng = random.Random(case)
    lines = [rng.choice("abc") + "\n" for _ in range(rng.randint(0, 30))]
    before, after = cut(rng, lines), cut(rng, changed(rng, lines, "abcx"))
    found = unified_diff(before, after)
    assert applied(before, found) == after
    assert bool(found) == (before != after)
    unique = [f"line {number}\n" for number in range(rng.randint(0, 40))]
    before, after = cut(rng, unique), cut(rng, changed(rng, unique, "xyz"))
    assert unified_diff(before, after) == plain(before, after)


def test_one_change_in_a_large_text_is_found_at_once() -> None:
    rng = random.Random(0)
    text = "".join("".join(rng.choice("ab") for _ in range(8)) + "\n" for _ in range(60_000))
    started = time.perf_counter()
    found = unified_diff(text, text[:1000] + "hello" + text[1000:])
    assert time.perf_counter() - started < 1
    assert found.count("\n") < 12


@pytest.mark.parametrize("count", [9_000, 30_000])
@pytest.mark.parametrize("kind", ["reversed", "same lines", "half"])
def test_a_diff_of_long_texts_has_a_budget_and_stays_right(kind: str, count: int) -> None:
    lines = [f"{number}\n" for number in range(count)]
    before, after = {
        "reversed": (lines, lines[::-1]),
        "same lines": (["a\n", "b\n"] * (count // 2), ["b\n", "b\n", "a\n"] * (count // 3)),
        "half": (lines, lines[count // 2 :] + lines[: count // 2]),
    }[kind]
    found = unified_diff("".join(before), "".join(after))
    assert applied("".join(before), found) == "".join(after)


@pytest.mark.parametrize("case", range(40))
def test_what_has_too_many_lines_is_replaced_as_a_whole(
    case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(case)
    lines = [rng.choice("abc") + "\n" for _ in range(rng.randint(0, 30))]
    before, after = cut(rng, lines), cut(rng, changed(rng, lines, "abcx"))
    monkeypatch.setattr(diff, "MAX_LINES", -1)
    found = unified_diff(before, after)
    assert applied(before, found) == after
    assert found.count("@@ -") == (before != after)


def test_many_lines_cost_little() -> None:
    before, after = "\n" * 1_000_000, "y" + "\n" * 400_000 + "x" + "\n" * 300_000
    started = time.thread_time()
    assert unified_diff(before, after).count("\n") > 1_000_000
    assert time.thread_time() - started < 0.4  # 0.03 s; 0.94 s where every line was looked at
