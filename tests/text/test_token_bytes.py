"""The bytes of each token, against the tokenizer's own decoder."""

from __future__ import annotations

import random

import pytest
import tokenizers
from tokenizers import decoders, models

import redraft
from redraft.errors import ConstraintError
from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text import Tokenizer
from redraft.text.token_bytes import token_bytes

TOKENIZERS = {"small-text": lambda: redraft.load("small-text").tokenizer, "bytes": byte_tokenizer}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_end_to_end_spell_what_the_tokenizer_decodes(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    spelled = token_bytes(tokenizer)
    rng = random.Random(name)
    anything = "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(300))
    texts = ["héllo wörld  \n\t x=1 € 😀", " leading", '{"a": [1, 2]}', anything]
    for text in texts:
        tokens = tokenizer.encode(text, bos=False)
        assert b"".join(spelled[token] or b"?" for token in tokens) == text.encode()
    assert all(spelled[token] is None for token in tokenizer.special_tokens())
    assert sum(one is None for one in spelled) == len(tokenizer.special_tokens())


def test_tokens_that_change_one_another_have_no_bytes() -> None:
    backend = tokenizers.Tokenizer(
        models.WordPiece({"a": 0, "##b": 1, "[UNK]": 2}, unk_token="[UNK]")
    )
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ConstraintError, match="decodes by WordPiece"):
        token_bytes(Tokenizer(backend))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("a", "x"), decoders.Fuse(), decoders.Replace("xx", "y")]
    )
    backend.model = models.WordPiece({"a": 0, "c": 1, "[UNK]": 2}, unk_token="[UNK]")
    with pytest.raises(ConstraintError, match="to another text"):
        token_bytes(Tokenizer(backend))
