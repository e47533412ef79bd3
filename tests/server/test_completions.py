"""Completions: lists of prompts, scored prompts, and the likeliest of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.server.test_openai import QUICK, Served

PROMPTS = ["def f():\n", "x = 1\n", ""]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=8)
    yield server
    server.close()


def complete(served: Served, **given: Any) -> Any:
    options = {"model": "small-text", "seed": 5, "max_tokens": 8, "extra_body": QUICK} | given
    return served.client().completions.create(**options)


def test_each_prompt_of_a_list_gets_what_it_would_get_alone(served: Served) -> None:
    together = complete(served, prompt=PROMPTS, n=2)
    assert [choice.index for choice in together.choices] == list(range(6))
    alone = [complete(served, prompt=prompt, n=2) for prompt in PROMPTS]
    expected = [choice.text for answer in alone for choice in answer.choices]
    assert [choice.text for choice in together.choices] == expected
    assert together.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    tokenizer = served.model.tokenizer
    assert tokenizer is not None
    ids = [tokenizer.encode(prompt, bos=True) for prompt in PROMPTS]
    assert [choice.text for choice in complete(served, prompt=ids, n=2).choices] == expected
    streamed = ["" for _ in expected]
    for chunk in complete(served, prompt=PROMPTS, n=2, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == expected


@pytest.mark.parametrize("stream", [False, True])
def test_an_echo_is_the_prompt_and_the_text(served: Served, stream: bool) -> None:
    plain = complete(served, prompt=PROMPTS[:2]).choices
    found = complete(served, prompt=PROMPTS[:2], echo=True, stream=stream)
    texts = ["", ""]
    for chunk in found if stream else [found]:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [prompt + one.text for prompt, one in zip(PROMPTS, plain, strict=False)]


@pytest.mark.parametrize("as_ids", [False, True])
@pytest.mark.parametrize("count", [0, 3])
def test_an_echo_scores_its_prompt(served: Served, as_ids: bool, count: int) -> None:
    tokenizer = served.model.tokenizer
    assert tokenizer is not None
    text = "x = 1\ny = x + 2\n"
    ids = tokenizer.encode(text, bos=True)
    answer = complete(
        served, prompt=[ids if as_ids else text], echo=True, logprobs=2, max_tokens=count
    )
    (choice,) = answer.choices
    found = choice.logprobs
    expected = served.model.score(ids[:1], ids[1:], top=2)
    assert found.token_logprobs[0] is None
    assert found.token_logprobs[1 : len(ids)] == pytest.approx(
        [one.log_probability for one in expected], abs=1e-4
    )
    assert len(found.tokens) == len(ids) + answer.usage.completion_tokens
    assert answer.usage.completion_tokens <= count
    assert answer.usage.prompt_tokens == len(ids)
    assert choice.text.startswith(text)
    for at, token in enumerate(found.tokens[1 : len(ids)], 1):
        assert choice.text[found.text_offset[at] :].startswith(token)


def test_nothing_is_written_where_nothing_is_asked_for(served: Served) -> None:
    answer = complete(served, prompt="x = ", max_tokens=0)
    assert answer.choices[0].text == ""
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 0


def test_the_likeliest_of_several_is_kept(served: Served) -> None:
    every = complete(served, prompt=PROMPTS[:2], n=4, logprobs=0)
    best = complete(served, prompt=PROMPTS[:2], n=1, extra_body=QUICK | {"best_of": 4})
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.choices[0].logprobs is None
    for number in (0, 1):
        group = every.choices[4 * number : 4 * number + 4]

        def mean(choice: Any) -> float:
            found = choice.logprobs.token_logprobs
            return sum(found) / len(found) if found else float("-inf")

        texts = {one.text: mean(one) for one in group}
        assert best.choices[number].text in texts
        assert texts[best.choices[number].text] >= max(texts.values()) - 0.5


def test_a_suffix_ends_at_a_stop_and_has_several_answers(served: Served) -> None:
    given: dict[str, Any] = {"prompt": "x = 1\n", "suffix": "\ny = x\n"}
    (first,) = complete(served, **given).choices
    # As langchain's class for completions sends it.
    (listed,) = complete(served, **(given | {"prompt": [given["prompt"]]})).choices
    assert listed.text == first.text
    several = complete(served, **given, n=3).choices
    assert several[0].text == first.text
    assert [one.index for one in several] == [0, 1, 2]
    assert len(first.text) > 1
    (cut,) = complete(served, **given, stop=[first.text[1:]]).choices
    assert cut.text == first.text[: first.text.find(first.text[1:])]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompt": []}, "empty list"),
        ({"prompt": [[]]}, "no tokens"),
        ({"prompt": ["x"] * 600}, "600 prompts"),
        ({"prompt": ["x"] * 20}, "more than this server writes"),
        ({"prompt": ["x", [1]]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": "x", "n": True}, "n: "),
        ({"prompt": "x", "best_of": 2, "n": 3}, "best_of"),
        ({"prompt": "x", "best_of": 3, "stream": True}, "best_of"),
        ({"prompt": "x", "max_tokens": 0, "logprobs": 9}, "logprobs"),
        ({"prompt": [[0] * 9000], "max_tokens": 0}, "context"),
        ({"prompt": [[1, 2]], "suffix": "y"}, "suffix"),
        ({"prompt": ["x"] * 9, "suffix": "y", "n": 2}, "16 choices"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told(served: Served, given: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        complete(served, **given)


def test_a_model_is_described_by_its_name(served: Served) -> None:
    assert served.client().models.retrieve("small-text").id == "small-text"
    with pytest.raises(openai.NotFoundError):
        served.client().models.retrieve("other")
