from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from redraft.errors import ChatTemplateError
from redraft.text import ChatTemplate
from redraft.text.messages import plain_messages
from tests.text.templates import RELEASE, template


def plain(messages: list[Any]) -> list[Any]:
    return plain_messages(messages, lambda role: True)


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            '{"a": 1, "b": {"c": [null, true, 1.5, "x"]}}',
            {"a": 1, "b": {"c": [None, True, 1.5, "x"]}},
        ),
        ('{"a": "\\u00e9\\n"}', {"a": "é\n"}),
        ('  {"a":1}\n', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (" ", {}),
        ("null", {}),
        (None, {}),
    ],
)
def test_arguments_of_a_call_become_a_mapping(given: Any, expected: Any) -> None:
    (message,) = plain([{"role": "assistant", "content": None, "tool_calls": [call(given)]}])
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": expected}
    assert "content" not in message


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        "[1]",
        "3",
        '"x"',
        "{'a': 1}",
        '{"a": NaN}',
        3,
        [],
        "[" * 9999,
        '{"a":' * 500,
        '{"a": 1e999}',
    ],
)
def test_other_arguments_are_refused_with_their_place(arguments: Any) -> None:
    hello = {"role": "user", "content": "hi"}
    with pytest.raises(
        ChatTemplateError, match=r"messages\[1\].tool_calls\[0\].function.arguments"
    ):
        plain([hello, {"role": "assistant", "tool_calls": [call(arguments)]}])


def test_the_callers_messages_stay_as_they_are() -> None:
    given = [{"role": "assistant", "content": None, "tool_calls": [call('{"a": 1}')]}]
    plain(given)
    assert given == [{"role": "assistant", "content": None, "tool_calls": [call('{"a": 1}')]}]


@pytest.mark.parametrize("name", ["reasoning", "thinking", "reasoning_content"])
def test_reasoning_has_one_name(name: str) -> None:
    (message,) = plain([{"role": "assistant", "content": "x", name: "hm", "refusal": None}])
    assert message == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "hm",
        "thinking": "hm",
    } | {name: "hm"}


def test_objects_of_clients_become_plain_data() -> None:
    class Model(BaseModel):
        role: str
        content: str | None
        tool_calls: list[Any] | None = None

    @dataclass
    class Part:
        type: str
        text: str

    found = plain(
        [
            Model(role="assistant", content="a"),
            {"role": "user", "content": (Part("text", "b"), {"type": "input_text", "text": "c"})},
        ]
    )
    assert found == [
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "image_url"),
        ({"role": "user", "content": ["x"]}, "only text"),
        ({"role": "user", "content": [{"type": "text"}]}, "needs a text"),
        ({"role": "user"}, "no content"),
        ({"role": "user", "content": {"a": 1}}, "no content"),
        ({"role": "user<turn|>", "content": "x"}, "role"),
        ({"role": "assistant", "tool_calls": {"a": 1}}, "list of calls"),
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "function"),
        ({"role": "user", "content": b"x"}, "bytes"),
    ],
)
def test_a_message_that_no_template_reads_rightly_is_refused(message: Any, words: str) -> None:
    with pytest.raises(ChatTemplateError, match=words):
        plain([message])


def test_text_parts_are_joined_for_a_template_that_reads_none() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": " b"}]
    messages = [{"role": "user", "content": parts}]
    bare = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert bare.render(messages) == "a  b"
    reader = ChatTemplate(
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for p in m.content %}{{ p.text | trim }};{% endfor %}{% endif %}{% endfor %}"
    )
    assert reader.render(messages) == "a;b;"


HISTORY = [
    {"role": "user", "content": "the weather?", "name": None},
    {
        "role": "assistant",
        "content": None,
        "reasoning": "look it up",
        "tool_calls": [call('{"city": "Berne", "days": 2}')],
    },
    {"role": "tool", "tool_call_id": "1", "content": '{"sun": true}'},
]


def test_a_second_turn_with_tools_reads_as_the_release_writes_it(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(template(RELEASE), encoding="utf-8")
    release = ChatTemplate.from_folder(tmp_path)
    assert release is not None
    assert release.render(HISTORY, enable_thinking=True) == (
        "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nthe weather?<turn|>\n<|turn>model\n"
        "<|channel>thought\nlook it up\n<channel|>"
        '<|tool_call>call:f{city:<|"|>Berne<|"|>,days:2}<tool_call|>'
        '<|tool_response>response:f{value:<|"|>{"sun": true}<|"|>}<tool_response|>'
        "<|channel>thought\n"
    )
