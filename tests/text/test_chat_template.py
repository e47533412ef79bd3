from __future__ import annotations

from pathlib import Path

import pytest

from redraft.errors import ChatTemplateError, CheckpointError
from redraft.testing import byte_tokenizer, write_byte_tokenizer
from redraft.text import ChatTemplate, Tokenizer

HELLO = [{"role": "user", "content": "hi"}]


def test_the_template_is_found_beside_or_inside_the_tokenizer_config(tmp_path: Path) -> None:
    write_byte_tokenizer(tmp_path)
    beside = ChatTemplate.from_folder(tmp_path)
    assert beside is not None
    expected = "<bos><|turn>user\nhi<turn|>\n<|turn>model\n"
    assert beside.render(HELLO) == expected
    (tmp_path / "chat_template.jinja").unlink()
    assert ChatTemplate.from_folder(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(
        '{"bos_token": {"content": "<bos>"}, "chat_template": '
        '[{"name": "default", "template": "{{bos_token}}{{messages[0].content}}"}]}'
    )
    inside = ChatTemplate.from_folder(tmp_path)
    assert inside is not None
    assert inside.render(HELLO) == "<bos>hi"


NONE: list[list] = [
    [],
    ["hi"],
    [{"content": "x"}],
    [{"role": 3, "content": "x"}],
    [{"role": "user"}],
    [{"role": "user", "content": None}],
]


@pytest.mark.parametrize("messages", NONE)
def test_messages_that_are_none_are_refused(messages: list) -> None:
    with pytest.raises(ChatTemplateError):
        ChatTemplate("{{ messages }}").render(messages)


def test_what_the_template_itself_refuses_is_told() -> None:
    with pytest.raises(ChatTemplateError, match="roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}").render(HELLO)


def test_what_transformers_offers_a_template_is_offered_here() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{{ {'é': 1} | tojson(ensure_ascii=False, separators=(',', ':')) }}"
        "{{ strftime_now('%Y') | length }}{% endfor %}"
    )
    assert ChatTemplate(source).render([{"role": "system", "content": "x"}, *HELLO]) == '{"é":1}4'


def test_a_template_that_fails_is_told() -> None:
    with pytest.raises(ChatTemplateError, match="refuses"):
        ChatTemplate("{{ 'a' + messages[0].number }}").render([{**HELLO[0], "number": 3}])


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(ChatTemplateError, match="refuses"):
        ChatTemplate(escape).render(HELLO)


def test_a_broken_template_or_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not valid"):
        ChatTemplate("{% if %}")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "plain", "naïve €字🙂", "a\tb\n\n c", "<|turn>user\n", "\x00\x7f"]
)
def test_bytes_go_there_and_back(text: str) -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text, bos=False), special=True) == text
