from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import GemmaTokenizer

import redraft
from redraft.testing.byte_tokenizer import write_byte_tokenizer
from redraft.text.token_bytes import token_bytes
from tests.checkpoint.gguf_files import MERGES, vocabulary, write
from tests.command import call

TEXTS = (
    "hello there",
    "the  hello\n\nother",
    "héllo é 日本 🙂",
    " <turn|>x<|turn>",
    "",
    "a<|tool_call>b<unused7>",
    "ＡÀ\tz",
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write(path)
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> redraft.Model:
    return redraft.load(path, device="cpu")


def test_texts_become_the_tokens_that_the_reference_makes(model: redraft.Model) -> None:
    tokens, types = vocabulary()
    pairs = [tuple(merge.split(" ")) for merge in MERGES]
    special = [token for token, kind in zip(tokens, types, strict=True) if kind in (3, 4)]
    reference = GemmaTokenizer(
        {token: number for number, token in enumerate(tokens)}, pairs, extra_special_tokens=special
    )
    for text in TEXTS:
        ids = model.tokenizer.encode(text, bos=False)
        assert ids == reference.encode(text, add_special_tokens=False)
        assert model.tokenizer.decode(ids, special=True) == text
    assert model.tokenizer.encode("hello")[0] == 2


def test_special_tokens_are_those_of_the_machinery(model: redraft.Model) -> None:
    tokens, _ = vocabulary()
    special = {tokens[number] for number in model.tokenizer.special_tokens()}
    assert special == {
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        *(token for token in tokens if "|" in token and len(token) > 1),
    }
    assert len(model.tokenizer.byte_tokens()) == 256
    assert len(token_bytes(model.tokenizer)) == len(tokens)


def test_messages_go_through_the_files_template(model: redraft.Model) -> None:
    prompt = model.chat_prompt([{"role": "user", "content": "hello"}])
    spelled = model.tokenizer.decode(prompt, special=True)
    assert spelled == "<bos><|turn>user\nhello<turn|>\n<|turn>model\n"


def test_further_templates_of_a_file_have_names(tmp_path: Path) -> None:
    named = "{{ bos_token }}tools {{ messages[0].content }}"
    write(tmp_path / "model.gguf", keys={"tokenizer.chat_template.tool_use": named})
    template = redraft.load(tmp_path / "model.gguf", device="cpu").chat_template
    hello = [{"role": "user", "content": "hello"}]
    assert template.render(hello, tools=[]) == "<bos>tools hello"
    assert template.render(hello).startswith("<bos><|turn>user")


def test_a_tokenizer_beside_the_file_goes_first(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "model.gguf")
    write_byte_tokenizer(tmp_path)
    model = redraft.load(tmp_path / "model.gguf", device="cpu")
    assert model.tokenizer.encode("ab", bos=False) == [128 + ord("a"), 128 + ord("b")]


def test_a_file_without_a_tokenizer_takes_token_ids(tmp_path: Path) -> None:
    write(
        tmp_path / "model.gguf",
        keys={"tokenizer.ggml.model": None, "tokenizer.chat_template": None},
    )
    model = redraft.load(tmp_path / "model.gguf", device="cpu")
    assert (model.tokenizer, model.chat_template) == (None, None)
    assert model.generate([2, 300, 301], max_new_tokens=4, seed=1).tokens


def test_commands_take_a_file(path: Path) -> None:
    described = call("inspect", str(path), "--json", "--tensors")
    told = json.loads(described.stdout)
    assert told["model"] == str(path)
    assert told["tensors"]["blk.1.ffn_down_exps.weight"] == {
        "shape": [4, 256, 256],
        "dtype": "F32",
        "file": "model.gguf",
    }
    done = call(
        "generate", "-m", str(path), "-p", "hello", "--seed", "3", "--max-new-tokens", "8", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["tokens"]) > 0
