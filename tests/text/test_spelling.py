"""The text of each token alone, and its part of a longer text."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import redraft
from redraft.editing.token_healing import before_hole
from redraft.testing import byte_tokenizer
from redraft.text import Tokenizer
from redraft.text.tokenizer import REPLACEMENT_CHARACTER


def like_gemma() -> Tokenizer:
    """Spaces as a sign of their own that joins words, bytes for what is not in the vocabulary."""
    words = [
        "\u2581",
        "p",
        "r",
        "i",
        "n",
        "t",
        "x",
        "=",
        "\n",
        "pr",
        "in",
        "int",
        "print",
        "\u2581print",
        "\u2581x",
        "\u2581\u2581",
    ]
    merges = [
        ("p", "r"),
        ("i", "n"),
        ("in", "t"),
        ("pr", "int"),
        ("\u2581", "print"),
        ("\u2581", "x"),
        ("\u2581", "\u2581"),
    ]
    names = ["<pad>", "<eos>", "<bos>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True)
    )
    backend.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    decoders = tokenizers.decoders
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens(["<pad>", "<eos>", "<bos>"])
    return Tokenizer(backend)


TOKENIZERS = {
    "bytes": byte_tokenizer(),
    "words": redraft.load("small-text").tokenizer,
    "gemma": like_gemma(),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=200, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
    | st.text("print x=\n\u00e9\U0001f642", max_size=30)
)
def test_the_parts_of_a_text_are_the_text(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert tokenizer is not None
    tokens, parts = tokenizer.encode_parts(text)
    assert tokens == tokenizer.encode(text, bos=False)
    assert len(parts) == len(tokens)
    assert "".join(parts) == text or not tokens


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokens_own_text_is_whole(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert tokenizer is not None
    special, raw = tokenizer.special_tokens(), tokenizer.byte_tokens()
    for token, text in enumerate(tokenizer.token_texts):
        if token in special or token in raw:
            assert text == ""
        elif text:
            assert text == tokenizer.decode([token])
            assert REPLACEMENT_CHARACTER not in text


def test_a_word_of_gemma_is_finished_with_its_space() -> None:
    tokenizer = like_gemma()
    seam = before_hole(tokenizer.encode("x = pr", bos=False), tokenizer.token_texts)
    assert seam is not None
    assert (seam.text, [tokenizer.token_texts[token] for token in seam.allowed]) == (
        " pr",
        [" print"],
    )
    space = before_hole(tokenizer.encode("x = ", bos=False), tokenizer.token_texts)
    assert space is not None
    assert [tokenizer.token_texts[token] for token in space.allowed] == [" ", " print", " x", "  "]
    assert before_hole(tokenizer.encode("x\n  ", bos=False), tokenizer.token_texts) is None
