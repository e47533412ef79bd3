"""What a request repeats is done once, or has a limit."""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
from typing import Any

import anyio
import pytest
from PIL import Image
from pydantic import ValidationError

from redraft.config import GenerationConfig
from redraft.diffusion import as_sampler
from redraft.engine.scoring import TokenLikelihood
from redraft.errors import (
    ChatTemplateError,
    ConfigError,
    ImageError,
    RequestError,
    UnknownOptionError,
)
from redraft.images import ImageBudget
from redraft.images.read import read_image
from redraft.server.json_text import LONG, JsonAnswer, is_shorter, json_answer, json_text
from redraft.server.llamacpp.schemas import LlamaCompletionRequest
from redraft.server.openai.logprobs import chat_logprobs, text_logprobs
from redraft.server.openai.messages import template_variables
from redraft.server.openai.schemas import ChatRequest, TokenizeRequest
from redraft.server.openai.suffix import _token_counts
from redraft.server.routes.openai import _tokenized
from redraft.server.runtime.sse import OPENAI_STREAM, _line
from redraft.testing import byte_tokenizer
from redraft.text import control_tokens, template_environment
from redraft.text import tokenizer as tokenizers
from redraft.text.control_tokens import ControlTokens
from redraft.text.messages import plain_messages
from redraft.text.template_environment import CompiledTemplate

TOKENIZER = byte_tokenizer()


def test_a_suffix_is_counted_once() -> None:
    calls: list[str] = []

    class Counting:
        def encode(self, text: str, *, bos: bool) -> list[int]:
            calls.append(text)
            return [0] * len(text)

    texts = ["suffix", *["a", "bb"] * 8]
    counts = _token_counts(Counting(), texts)  # type: ignore[arg-type]
    assert counts == [len(text) for text in texts]
    assert calls == ["suffix", "a", "bb"]


@pytest.mark.parametrize("at_once", [50_000, 0])
def test_tokens_are_told_in_steps_as_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    text = 'é "quoted"\n' * 300
    tokens, parts = TOKENIZER.encode_parts(text)
    monkeypatch.setattr(tokenizers, "MAX_AT_ONCE", at_once)
    for special, pieces in itertools.product((False, True), repeat=2):
        body = TokenizeRequest(text=text, add_special=special, with_pieces=pieces)
        found = json.loads(_tokenized(TOKENIZER, body))
        bos = [TOKENIZER.bos_token_id] * special
        ids, texts = [*bos, *tokens], [""] * special + parts
        shown = [{"id": one, "piece": part} for one, part in zip(ids, texts, strict=True)]
        assert found == {"tokens": shown if pieces else ids, "texts": texts, "count": len(ids)}


def test_a_template_writes_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    template = CompiledTemplate("{% for m in messages %}{{ extra }}{% endfor %}")
    monkeypatch.setattr(template_environment, "MAX_PROMPT", 1000)
    assert len(template.render({"messages": [{}] * 10, "extra": "x" * 100})) == 1000
    with pytest.raises(ChatTemplateError, match="1000 characters"):
        template.render({"messages": [{}] * 11, "extra": "x" * 100})


def test_variables_are_bounded_by_the_messages_that_may_write_them() -> None:
    variables = {"enable_thinking": True, "extra": "x" * 2000}
    given: dict[str, Any] = {"model": "m", "chat_template_kwargs": variables}
    body = ChatRequest.model_validate(given | {"messages": [{}] * 5000})
    assert template_variables(body) == variables
    body = ChatRequest.model_validate(given | {"messages": [{}] * 10_000})
    with pytest.raises(RequestError, match="shorter"):
        template_variables(body)


def test_a_template_is_rendered_once_for_all_roles_that_it_does_not_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = (
        "{% for m in messages %}{% if m.role in ['user', 'critic'] %}"
        "{% for p in m.content %}{{ p.text }}{% endfor %}{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    template, renders = CompiledTemplate(source), 0
    render = CompiledTemplate.render

    def counting(self: CompiledTemplate, variables: Any) -> str:
        nonlocal renders
        renders += 1
        return render(self, variables)

    monkeypatch.setattr(CompiledTemplate, "render", counting)
    for _ in range(2):
        assert [template.reads_parts(role) for role in ("user", "critic")] == [True, True]
        assert not any(template.reads_parts(f"role{number}") for number in range(100))
    assert renders == 3


def test_control_tokens_in_messages_are_encoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    controls = ControlTokens(["<bos>", "<eos>"])
    marked = controls.mark("".join(f"<bos>{number}<eos>" for number in range(500)))
    calls: list[int] = []
    each = tokenizers.Tokenizer.encode_each

    def counting(self: Any, texts: list[str], *, is_text: bool) -> list[list[int]]:
        calls.append(len(texts))
        return each(self, texts, is_text=is_text)

    monkeypatch.setattr(tokenizers.Tokenizer, "encode_each", counting)
    ids = controls.encode(marked, TOKENIZER)
    assert TOKENIZER.decode(ids, special=True) == "".join(f"<bos>{at}<eos>" for at in range(500))
    assert sum(calls) <= 502
    monkeypatch.setattr(control_tokens, "MAX_PIECES", 100)
    with pytest.raises(ChatTemplateError, match="50 control tokens"):
        controls.encode(marked, TOKENIZER)


def test_images_of_a_request_have_a_budget_together() -> None:
    file = io.BytesIO()
    Image.new("RGB", (100, 100), "red").save(file, "PNG")
    budget = ImageBudget(pixels=25_000)
    for _ in range(2):
        read_image(file.getvalue(), files=False, budget=budget)
    with pytest.raises(ImageError, match="pixels together"):
        read_image(file.getvalue(), files=False, budget=budget)
    budget = ImageBudget(seconds=0.0)
    read_image(file.getvalue(), files=False, budget=budget)
    with pytest.raises(ImageError, match="0 seconds"):
        read_image(file.getvalue(), files=False, budget=budget)


def test_what_a_response_repeats_is_measured_without_reading_it_whole() -> None:
    assert is_shorter({"a": ["x" * 10, None, 1]}, 100)
    assert not is_shorter({"a": "x" * 100}, 100)
    assert not is_shorter([[]] * 60, 100)
    began = time.perf_counter()
    assert not is_shorter([{"a": 1}] * 1_000_000, 1000)
    assert time.perf_counter() - began < 1.0


def test_biases_are_checked_once() -> None:
    config = GenerationConfig().with_options({"logit_bias": {5: 1.0, 7: -1.0}})
    assert config.logit_bias == {5: 1.0, 7: -1.0}
    copy = config.with_options({"max_new_tokens": 3, "logit_bias": config.logit_bias})
    assert copy.logit_bias is config.logit_bias
    for wrong in ({-1: 1.0}, {1: "a"}, {1: 1e10}, [1]):
        with pytest.raises(ConfigError, match="logit_bias"):
            GenerationConfig(logit_bias=wrong)  # type: ignore[arg-type]


def test_arguments_in_json_have_the_limits_of_a_body() -> None:
    def message(arguments: str) -> list[dict[str, Any]]:
        function = {"name": "f", "arguments": arguments}
        call = {"id": "1", "type": "function", "function": function}
        return [{"role": "assistant", "content": None, "tool_calls": [call]}]

    def read(count: int) -> Any:
        text = json.dumps({"a": [[]] * count})
        return plain_messages(message(text), lambda _: False)

    assert read(20_000)
    with pytest.raises(ChatTemplateError, match="lists, objects"):
        read(140_000)


def test_names_and_times_of_no_sensible_length_are_refused_at_once() -> None:
    name = "max_new_token" + "s" * 2_000_000
    body = ChatRequest.model_validate({"model": "m", "messages": [], name: 1})
    began = time.thread_time()
    with pytest.raises(UnknownOptionError):
        body.settings()
    with pytest.raises(UnknownOptionError):
        as_sampler(name)
    assert time.thread_time() - began < 0.2
    for field, value in (
        ("timeout_ms", 10**400),
        ("sampler", "a" * 2000),
        ("stopping", "a" * 2000),
    ):
        with pytest.raises(ValidationError, match=field):
            ChatRequest.model_validate({"model": "m", "messages": [], field: value})
    with pytest.raises(ValidationError, match="t_max"):
        LlamaCompletionRequest.model_validate({"prompt": "a", "t_max_predict_ms": 10**400})


def test_long_answers_are_written_in_steps_as_at_once() -> None:
    items = [{"token": f"é{number}\ud800", "bytes": [1, 2], 5: None} for number in range(3000)]
    value = {"a": [items, [], {}], "b\ud83d": {"c\n": items, "d": 1.5}, "e": "\u2028" * LONG}
    assert not is_shorter(value, LONG)
    text = json_text(value)
    assert (
        text == json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    )
    assert json.loads(text.encode())["b\ud83d"]["c\n"][7]["token"] == "é7\ud800"


def test_long_answers_are_written_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    render = JsonAnswer.render

    def noting(self: JsonAnswer, content: Any) -> bytes:
        threads.append(threading.current_thread())
        return render(self, content)

    monkeypatch.setattr(JsonAnswer, "render", noting)
    long = {"choices": [{"n": number} for number in range(LONG // 4)]}

    async def written() -> None:
        for value in ({}, long):
            assert json.loads(bytes((await json_answer(value)).body)) == value
            assert await _line(OPENAI_STREAM, value) == f"data: {json.dumps(value)}\n\n"

    anyio.run(written)
    assert [one is threading.main_thread() for one in threads] == [True, False]


def test_a_token_is_spelled_once_for_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [TokenLikelihood(70, -1.0, ((70, -1.0), (71, -2.0)))] * 50
    calls: list[Any] = []
    decode = tokenizers.Tokenizer.decode

    def counting(self: Any, tokens: Any, **options: Any) -> str:
        calls.append(tokens)
        return decode(self, tokens, **options)

    monkeypatch.setattr(tokenizers.Tokenizer, "decode", counting)
    assert len(chat_logprobs(found, TOKENIZER)["content"]) == 50
    assert len(text_logprobs(found, TOKENIZER, 72)["tokens"]) == 51
    assert calls == [[70], [71], [72], [70], [71]]
