"""The tokenizer of small-code: byte-pair encoding of Python, any text back to the byte.

Pieces: `self.`; newlines with the indentation behind them; runs of spaces; a word or signs with the
space before; single digits. What is not printable ASCII is spelt in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, pre_tokenizers

from redraft.text import Tokenizer
from redraft.train.byte_pairs import learn_byte_pairs

PIECES = r" ?self\.|\n+ *| {2,}|\t+| ?[A-Za-z_]+| ?[0-9]| ?[!-/:-@\[-^`{-~]+| |[^ -~]"
ALPHABET = ["\n", "\t", *map(chr, range(32, 127))]
MIN_PAIRS = 50  # times that a pair must occur


def train_code_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer of `vocab_size` ids.

    The alphabet is newline, tab and printable ASCII; `learn_byte_pairs` has the order of the ids.

    Raises:
        ConfigError: no room for a single merge.
    """
    return learn_byte_pairs(
        texts,
        vocab_size,
        alphabet=ALPHABET,
        min_frequency=MIN_PAIRS,
        pipeline=_pipeline,
        decoder=decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]),
    )


def _pipeline(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    return backend
