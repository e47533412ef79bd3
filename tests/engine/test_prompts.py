"""Prompts of conversations with thinking, on a tiny model with the release's template."""

from __future__ import annotations

import pytest

import redraft
from redraft import Regex
from redraft.errors import ChatTemplateError, RequestError, UnknownOptionError
from redraft.testing import tiny_checkpoint
from tests.text.templates import RELEASE, template
from tests.text.test_messages import HISTORY

HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> redraft.Model:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny")
    (folder / "chat_template.jinja").write_text(template(RELEASE), encoding="utf-8")
    return redraft.load(folder, device="cpu")


@pytest.mark.parametrize("messages", [HELLO, HISTORY])
@pytest.mark.parametrize("thinking", [None, False, True])
def test_a_constraint_holds_for_the_answer_behind_the_thoughts(
    model: redraft.Model, messages: list[dict[str, str]], thinking: bool | None
) -> None:
    finished = model.generate(
        messages=messages,
        thinking=thinking,
        constraint=Regex("[0-9]{3}"),
        max_new_tokens=24,
        max_denoising_steps=2,
        seed=2,
    )
    assert finished.parse_error is None
    assert finished.text == finished.parsed
    assert len(finished.text) == 3
    assert finished.text.isdigit()


def test_options_of_messages_and_of_prompts(model: redraft.Model) -> None:
    thinks = model.chat_prompt(HELLO, thinking=True)
    assert thinks == model.chat_prompt(HELLO, enable_thinking=True)
    assert thinks == model.chat_prompt(HELLO, chat_template_kwargs={"enable_thinking": True})
    assert thinks != model.chat_prompt(HELLO) == model.chat_prompt(HELLO, thinking=False)
    with pytest.raises(RequestError, match="something else"):
        model.chat_prompt(HELLO, thinking=True, enable_thinking=False)
    with pytest.raises(RequestError, match="'tools'"):
        model.chat_prompt(HELLO, chat_template_kwargs={"tools": []})
    with pytest.raises(RequestError, match="thinking is for messages"):
        model.generate("x", thinking=True)
    with pytest.raises(RequestError, match="add_special_tokens is for a prompt"):
        model.generate(messages=HELLO, add_special_tokens=True)
    with pytest.raises(UnknownOptionError):
        model.generate(messages=HELLO, thinkin=True)  # type: ignore[call-overload]
    with pytest.raises(ChatTemplateError, match="'rag'"):
        model.generate(messages=HELLO, template="rag")


def test_a_raw_prompt_gets_its_special_tokens_or_none(model: redraft.Model) -> None:
    quick = {"max_new_tokens": 1, "max_denoising_steps": 1, "seed": 1}
    for options, count in (({}, 3), ({"add_special_tokens": False}, 2)):
        finished = model.generate("<|turn>x", **quick, **options)
        assert finished.statistics.prompt_tokens == count
