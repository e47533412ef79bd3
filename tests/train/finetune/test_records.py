"""Records of a file: three forms, bad lines by their numbers, and an order for every pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redraft.errors import DataError
from redraft.train.finetune.records import (
    Continuation,
    Conversation,
    FilledTemplate,
    RecordFile,
    parse_record,
)

CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}


def test_the_three_forms() -> None:
    assert parse_record(json.dumps(CHAT)) == Conversation(CHAT["messages"])
    tools = [{"type": "function"}]
    more = CHAT | {"tools": tools, "chat_template_kwargs": {"enable_thinking": True}}
    found = parse_record(json.dumps(more))
    assert isinstance(found, Conversation)
    assert found.variables == {"tools": tools, "enable_thinking": True}
    assert parse_record('{"prompt": "a", "completion": "b"}') == Continuation("a", "b")
    assert parse_record('{"template": "x<hole>y<hole>", "fills": ["1", ""]}') == FilledTemplate(
        ("x", "y", ""), ("1", "")
    )


@pytest.mark.parametrize(("line", "message"), [
    ("{", "not JSON"),
    ("[]", "a list, not an object"),
    ("{}", "one of messages"),
    ('{"prompt": "a", "messages": []}', "one of messages"),
    ('{"messages": "hi"}', "list of objects"),
    ('{"messages": []}', "nothing to learn"),
    ('{"messages": [{"role": "user", "content": "a"}]}', "nothing to learn"),
    ('{"messages": [{"role": "model", "content": "a"}], "weight": 2}', "it has 'weight'"),
    ('{"prompt": "a"}', "must be texts"),
    ('{"prompt": "a", "completion": ""}', "completion is empty"),
    ('{"prompt": 3, "completion": "a"}', "must be texts"),
    ('{"template": "a", "fills": []}', "<hole> in it"),
    ('{"template": "a<hole>", "fills": ["b", "c"]}', "2 fills for 1 holes"),
    ('{"template": "a<hole>", "fills": "b"}', "list of texts"),
    ('{"template": "a<hole>", "fills": ["b"], "instruction": 1}', "instruction must be"),
])  # fmt: skip
def test_a_bad_line_says_what_is_wrong(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        parse_record(line)
    path = tmp_path / "data.jsonl"
    path.write_text(f"{json.dumps(CHAT)}\n\n{line}\n")
    with pytest.raises(DataError, match=rf"line 3: .*{message}"):
        RecordFile(path)
    file = RecordFile(path, skip_bad=True)
    assert len(file) == 1
    assert [number for number, _ in file.bad] == [3]


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    with pytest.raises(DataError, match="cannot be read"):
        RecordFile(path)
    path.write_bytes(b"\n\xff\xfe\n")
    with pytest.raises(DataError, match="line 2: it is not UTF-8"):
        RecordFile(path)
    with pytest.raises(DataError, match="no records"):
        RecordFile(path, skip_bad=True)


def test_each_pass_has_every_record_once_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    lines = [json.dumps({"prompt": "ä", "completion": str(number)}) for number in range(20)]
    path.write_text("\n".join(lines), encoding="utf-8")
    file = RecordFile(path)
    assert [file[at] for at in range(20)] == [Continuation("ä", str(n)) for n in range(20)]
    passes = [[file.shuffled(20 * epoch + at, 5) for at in range(20)] for epoch in range(3)]
    assert all(sorted(one) == list(range(20)) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert [file.shuffled(at, 5) for at in range(20)] == passes[0]
    assert [file.shuffled(at, 6) for at in range(20)] != passes[0]
