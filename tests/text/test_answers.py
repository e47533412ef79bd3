"""Answers: what they say, as transformers reads them or better, in pieces as in one.

REDRAFT_RANDOM_ANSWERS sets how many are drawn; 5,000 take some
minutes.
"""

from __future__ import annotations

import os
import random

import pytest

from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text import Answer, AnswerReader, read_answer
from redraft.text.tool_calls import ToolCall
from tests.text.random_answers import answer, read_by_transformers

TOKENIZER = byte_tokenizer()
WHOLE = os.environ.get("REDRAFT_RANDOM_ANSWERS")
COUNT = int(WHOLE or "150")
CUT_COUNT = int(WHOLE or "60")
# Answers that are cut into canvases of every length.
EVERY_LENGTH = int(WHOLE or "60") // 10
# What transformers reads of calls that are reported here: numbers that are none, a name that comes
# twice, half a character.
WRONG_READINGS = [repr(("f", {"a": value})) for value in (float("inf"), float("nan"), 2, "\ud800")]


def read(text: str, prompt: str = "") -> Answer:
    tokens = TOKENIZER.encode(text, bos=False)
    return read_answer(tokens, TOKENIZER, prompt=TOKENIZER.encode(prompt, bos=False))


def calls_of(found: Answer) -> list[tuple[str, dict[str, object]]]:
    return [(call.name, call.arguments) for call in found.calls]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("odd", [False, True])
def test_answers_say_what_was_meant_and_what_transformers_reads(odd: bool) -> None:
    understood = 0
    for seed in range(COUNT):
        expected = answer(random.Random(seed), odd=odd)
        found = read(expected.text)
        # repr tells 1 from True and 1.0.
        assert repr(calls_of(found)) == repr(expected.calls), (seed, expected.text)
        assert len(found.unreadable) == len(expected.unreadable), (seed, expected.text)
        assert all(one.error and one.text in found.content for one in found.unreadable)
        assert squeezed(found.content) == squeezed("".join(expected.content)), (seed, expected.text)
        thoughts = [
            one.replace("<|tool_call>", "").replace("<tool_call|>", "") for one in expected.thoughts
        ]
        assert found.reasoning == "\n".join(one.strip() for one in thoughts), (seed, expected.text)
        theirs = read_by_transformers(expected.text)
        if theirs is None:
            assert odd, (seed, expected.text)
            continue
        understood += 1
        functions = [one["function"] for one in theirs.get("tool_calls", [])]
        read_calls = [repr((one["name"], one["arguments"])) for one in functions]
        ours = iter(map(repr, calls_of(found)))
        # It takes calls with white space in front of `call` for text, and loses them.
        told = [one for one in read_calls if one not in WRONG_READINGS]
        assert all(one in ours for one in told), (seed, expected.text)
        assert odd or not list(ours)
        # Of several runs of text it keeps the last one alone.
        if not odd and len(expected.runs()) == 1:
            assert theirs.get("content", "").strip() == found.content.strip(), (seed, expected.text)
    assert understood == COUNT or (odd and 0 < understood < COUNT)


@pytest.mark.parametrize("odd", [False, True])
def test_pieces_are_the_whole_over_every_cut_into_canvases(odd: bool) -> None:
    """Every place is a cut with canvases of one token; the first answers meet all lengths, the
    others some."""
    for seed in range(CUT_COUNT):
        rng = random.Random(seed)
        tokens = TOKENIZER.encode(answer(rng, odd=odd).text, bos=False)
        lengths = list(range(1, len(tokens) + 1))
        if seed >= EVERY_LENGTH:
            lengths = [1, *rng.sample(lengths, min(9, len(lengths)))]
        whole = read_answer(tokens, TOKENIZER)
        for length in lengths:
            check_pieces(tokens, length, whole)


def check_pieces(tokens: list[int], length: int, whole: Answer) -> None:
    reader = AnswerReader(TOKENIZER)
    for first in range(0, len(tokens), length):
        reader.add(tokens[first : first + length])
        part = reader.answer()
        assert whole.content.startswith(part.content), (length, first)
        assert whole.reasoning.startswith(part.reasoning), (length, first)
        assert part.calls == whole.calls[: len(part.calls)]
        assert part.unreadable == whole.unreadable[: len(part.unreadable)]
    assert reader.answer(last=True) == whole


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("{a:1,\nb:2}", {"a": 1, "b": 2}),
        (' {\n  "a" : 1 ,\n  "b" : "x"\n} ', {"a": 1, "b": "x"}),
        ("{a:True,b:False,c:None}", {"a": True, "b": False, "c": None}),
        ('{a:["x", "y z"],b:{"c": \'d\'}}', {"a": ["x", "y z"], "b": {"c": "d"}}),
        ("{a='it',b=2}", {"a": "it", "b": 2}),
        ('{Basic LLM Chain:1,Content-Type:"x"}', {"Basic LLM Chain": 1, "Content-Type": "x"}),
        ('{a:<|"|>look<|"|>b:90}', {"a": "look", "b": 90}),
        ('{a:<|"|>say "hi", {x}: \\n<|"|>}', {"a": 'say "hi", {x}: \\n'}),
        ('{a:<|"|>see <|tool_call>call:g{}<|"|>}', {"a": "see <|tool_call>call:g{}"}),
        ('{a:<|"|>x<|channel>y<|"|>}', {"a": "x<|channel>y"}),
        ("{a:[1,],}", {"a": [1]}),
        ('{a:"line\nbreak"}', {"a": "line\nbreak"}),
    ],
)
def test_what_models_really_write_is_read(text: str, arguments: dict[str, object]) -> None:
    for end in ("<tool_call|>", "", "<turn|>", "\n<|tool_response>"):
        found = read(f"<|tool_call>call:f{text}{end}")
        assert found == Answer("", "", (ToolCall("f", arguments),))


def test_one_unreadable_call_loses_nothing() -> None:
    good, bad = '<|tool_call>call:f{a:<|"|>x<|"|>}<tool_call|>', "<|tool_call>call:g{a:<tool_call|>"
    found = read(f"before {good} between {bad} and {good} behind<turn|>")
    assert [call.name for call in found.calls] == ["f", "f"]
    assert found.content == f"before  between {bad} and  behind"
    (unreadable,) = found.unreadable
    assert unreadable.text == bad
    assert "value expected" in unreadable.error
    # A missing end: what follows is a call of its own.
    found = read(f"<|tool_call>call:g{{}}{good}")
    assert [call.name for call in found.calls] == ["g", "f"]
    found = read(f'<|tool_call>call:g{{a:<|"|>no end {good}')
    assert [call.name for call in found.calls] == ["f"]
    assert len(found.unreadable) == 1


def test_a_call_in_a_thought_is_no_call() -> None:
    call = "<|tool_call>call:f{}<tool_call|>"
    assert read(f"<|channel>thought\nmaybe {call}<channel|>no").calls == ()
    assert read(f"<|channel>thought\nmaybe {call}").calls == ()
    opened = "<|turn>model\n<|channel>thought\n"
    found = read(f"maybe {call} so<channel|>{call}", prompt=opened)
    assert (found.content, found.reasoning) == ("", "maybe call:f{} so")
    assert len(found.calls) == 1
    closed = "<|channel>thought\nx<channel|><turn|>\n<|turn>model\n"
    assert read("yes", prompt=closed) == Answer("yes", "")
    assert read("yes", prompt="<|channel>thought\n<|turn>model\n") == Answer("yes", "")


def test_a_channel_with_another_name_is_reasoning_and_keeps_it() -> None:
    found = read("<|channel>plan\none<channel|>two")
    assert (found.content, found.reasoning) == ("two", "plan\none")


def test_content_ends_before_a_stop_string_in_pieces_too() -> None:
    tokens = TOKENIZER.encode("so far <|tool_call>call:f{}<tool_call|>and END on", bos=False)
    for length in range(1, len(tokens)):
        reader = AnswerReader(TOKENIZER, stops=("END",))
        for first in range(0, len(tokens), length):
            reader.add(tokens[first : first + length])
            assert "so far and ".startswith(reader.answer().content)
        assert reader.answer(last=True).content == "so far and "
