"""The places where transformers finds special tokens and templates; transformers is the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from transformers import AutoTokenizer

from redraft.errors import ChatTemplateError, CheckpointError
from redraft.testing import byte_tokenizer
from redraft.text import ChatTemplate, Tokenizer
from redraft.text.tokenizer_files import TokenizerFiles

NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "image", "boi", "sot")
SHOW = (
    "{% for name in [" + ",".join(f"{name}_token" for name in NAMES) + "] %}{{ name }};{% endfor %}"
)
TEXTS = ("a<x1>b <x2> c<x3><bos>", "<|turn>user\n<sep> <new> <X1>", "<x1 ><boi><extra>d")
HELLO = [{"role": "user", "content": "hi"}]

Files = dict[str, Any]
CLASS = {"tokenizer_class": "TokenizersBackend"}


def added(content: str, **flags: bool) -> dict[str, Any]:
    usual = {
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
        "special": True,
    }
    return {"content": content} | usual | flags


CASES: dict[str, Files] = {
    "none": {"tokenizer_config.json": CLASS},
    "named": {"tokenizer_config.json": CLASS | {"bos_token": "<bos>", "sep_token": "<sep>", "pad_token": None}},
    "objects": {"tokenizer_config.json": CLASS | {"bos_token": {"__type": "AddedToken"} | added("<x1>")}},
    "models own names": {"tokenizer_config.json": CLASS | {"boi_token": "<boi>", "image_token": "<x2>"}},
    "extra list": {"tokenizer_config.json": CLASS | {"extra_special_tokens": ["<x1>", "<extra>"]}},
    "extra names": {"tokenizer_config.json": CLASS | {"extra_special_tokens": {"image_token": "<x1>", "sot": "<x2>"}}},
    "additional": {"tokenizer_config.json": CLASS | {"additional_special_tokens": ["<x1>", "<new>"]}},
    "decoder": {
        "tokenizer_config.json": CLASS
        | {
            "bos_token": "<bos>",
            "added_tokens_decoder": {
                "384": added("<x1>"),
                "385": added("<x2>", special=False, lstrip=True),
                "2": added("<bos>"),
                "386": added("<X1>", special=False, normalized=True),
            },
        },
        "special_tokens_map.json": {"bos_token": "<x3>"},
        "added_tokens.json": {"<x3>": 400},
    },
    "map": {
        "tokenizer_config.json": CLASS | {"bos_token": "<bos>"},
        "special_tokens_map.json": {
            "bos_token": added("<x1>"),
            "sep_token": "<sep>",
            "boi_token": "<boi>",
            "additional_special_tokens": ["<new>"],
        },
    },
    "added file": {
        "tokenizer_config.json": CLASS | {"cls_token": "<x2>"},
        "added_tokens.json": {"<x3>": 386, "<x1>": 384, "<x2>": 385},
    },
    "only the map": {"special_tokens_map.json": {"bos_token": "<bos>"}, "tokenizer_config.json": CLASS},
    "gemma": {"tokenizer_config.json": {"tokenizer_class": "GemmaTokenizer", "boi_token": "<boi>"}},
}  # fmt: skip


def write(folder: Path, files: Files) -> Path:
    byte_tokenizer().backend.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize("files", CASES.values(), ids=CASES)
def test_special_and_added_tokens_are_those_of_transformers(files: Files, tmp_path: Path) -> None:
    write(tmp_path, files)
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    found = {
        number: (token.content, token.special)
        for number, token in theirs.added_tokens_decoder.items()
    }
    kept = ours.backend.get_added_tokens_decoder()
    assert {number: (token.content, token.special) for number, token in kept.items()} == found
    # Gemma's class has a pipeline of its own there, in place of the file's.
    for text in () if files is CASES["gemma"] else TEXTS:
        ids = ours.encode(text, bos=False)
        assert ids == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    variables = TokenizerFiles.of(tmp_path).variables
    rendered = theirs.apply_chat_template(HELLO, chat_template=SHOW, tokenize=False)
    assert ChatTemplate(SHOW, variables).render(HELLO) == rendered


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": {"added_tokens_decoder": {"400": added("<x1>")}}},
        {"tokenizer_config.json": {"added_tokens_decoder": {"7": added("<bos>")}}},
        {"added_tokens.json": {"<x1>": 384, "<x2>": 386}},
        {"added_tokens.json": {"<x1>": "384"}},
    ],
)
def test_an_added_token_with_another_id_than_the_tokenizers_is_refused(
    files: Files, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="has the id"):
        Tokenizer.from_folder(write(tmp_path, files))


def template(word: str) -> str:
    return word + " {{ messages[0].content }}{{ bos_token }}"


LISTED = [
    {"name": "default", "template": template("d")},
    {"name": "tool_use", "template": template("t")},
]
FOLDER = "additional_chat_templates"
PLACES: dict[str, Files] = {
    "a file": {"chat_template.jinja": template("file")},
    "a config": {"tokenizer_config.json": CLASS | {"chat_template": template("config")}},
    "a file goes before a config": {
        "chat_template.jinja": template("file"),
        "tokenizer_config.json": CLASS | {"chat_template": LISTED},
    },
    "a list": {"tokenizer_config.json": CLASS | {"chat_template": LISTED}},
    "a list without a default": {"tokenizer_config.json": CLASS | {"chat_template": LISTED[1:]}},
    "a folder": {
        "chat_template.jinja": template("file"),
        f"{FOLDER}/tool_use.jinja": template("use"),
        f"{FOLDER}/rag.jinja": template("rag"),
    },
    "a folder alone": {
        f"{FOLDER}/rag.jinja": template("rag"),
        "tokenizer_config.json": CLASS | {"chat_template": template("config")},
    },
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("files", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("tools", [None, TOOLS, []])
@pytest.mark.parametrize("name", [None, "rag", "default"])
def test_templates_are_found_where_transformers_finds_them(
    files: Files, tools: Any, name: str | None, tmp_path: Path
) -> None:
    write(tmp_path, {"tokenizer_config.json": CLASS} | files)
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), ChatTemplate.from_folder(tmp_path)
    assert ours is not None
    if name is not None and name not in (
        theirs.chat_template if isinstance(theirs.chat_template, dict) else ()
    ):
        if name == "default" and isinstance(theirs.chat_template, str):
            return  # there the name would be a template
        with pytest.raises(ChatTemplateError, match=name):
            ours.render(HELLO, tools=tools, template=name)
        return
    try:
        expected = theirs.apply_chat_template(
            HELLO, tools=tools, chat_template=name, tokenize=False
        )
    except ValueError:
        with pytest.raises(ChatTemplateError, match="its templates are"):
            ours.render(HELLO, tools=tools)
        return
    assert ours.render(HELLO, tools=tools, template=name) == expected


def test_templates_of_a_processor_are_found_too(tmp_path: Path) -> None:
    for name in ("chat_template.json", "processor_config.json"):
        (tmp_path / name).write_text(json.dumps({"chat_template": template(name)}))
        found = ChatTemplate.from_folder(tmp_path)
        assert found is not None
        assert found.render(HELLO).startswith(name)
        (tmp_path / name).unlink()
    assert ChatTemplate.from_folder(tmp_path) is None


def test_templates_are_saved_to_be_found_again(tmp_path: Path) -> None:
    one = ChatTemplate(template("d"), {"bos_token": "<bos>"}, {"tool_use": template("t")})
    one.save(tmp_path)
    again = ChatTemplate.from_folder(tmp_path)
    assert again is not None
    assert (again.source, again.named) == (one.source, one.named)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"added_tokens_decoder": {"x": {"content": "a"}}}',
        '{"added_tokens_decoder": 3, "bos_token": 3}',
    ],
)
def test_damaged_files_are_named(content: str, tmp_path: Path) -> None:
    write(tmp_path, {"tokenizer_config.json": content})
    try:
        Tokenizer.from_folder(tmp_path)
    except CheckpointError as error:
        assert "tokenizer_config.json" in str(error)  # noqa: PT017
    else:
        assert content[-2] == "3"


AROUND = tokenizers.processors.TemplateProcessing(
    single="<bos> $A <eos>", pair="<bos> $A $B", special_tokens=[("<bos>", 2), ("<eos>", 1)]
)


@pytest.mark.parametrize("post_processor", [None, AROUND])
def test_special_tokens_around_a_raw_text(post_processor: Any, tmp_path: Path) -> None:
    backend = byte_tokenizer().backend
    if post_processor is not None:
        backend.post_processor = post_processor
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CLASS | {"bos_token": "<bos>"}))
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    for text in ("a<|turn>b", "<bos>x", "é"):
        assert ours.encode(text, bos=False) == theirs(text, add_special_tokens=False)["input_ids"]
        around = theirs(text)["input_ids"]
        # A file that does not say what goes around a text leaves BOS to us: the model knows it.
        assert ours.encode(text) == (around if post_processor else [2, *around])
    assert (
        Tokenizer.from_folder(tmp_path, bos_token_id=None).encode("a") == theirs("a")["input_ids"]
    )
