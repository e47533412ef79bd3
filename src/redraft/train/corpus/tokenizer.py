"""The tokenizer of small-code: byte-pair encoding of Python, any text back to the byte.

Pieces: `self.`; newlines with the indentation behind them; runs of spaces; a word or signs with the
space before; single digits. What is not printable ASCII is spelt in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.errors import ConfigError
from redraft.text import Tokenizer

RESERVED = 128  # ids below are special tokens, or unused, as in every tokenizer made here
PIECES = r" ?self\.|\n+ *| {2,}|\t+| ?[A-Za-z_]+| ?[0-9]| ?[!-/:-@\[-^`{-~]+| |[^ -~]"
ALPHABET = ["\n", "\t", *map(chr, range(32, 127))]
MIN_PAIRS = 50  # times that a pair must occur


def train_code_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer of `vocab_size` ids.

    Ids: special tokens below 128, the bytes `<0x00>` to `<0xFF>` from 128, then newline, tab and
    printable ASCII, then merges by rank.

    Raises:
        ConfigError: no room for a single merge.
    """
    base = [SPECIAL_TOKENS.get(number, f"<unused{number}>") for number in range(RESERVED)]
    base += [f"<0x{byte:02X}>" for byte in range(256)] + ALPHABET
    if vocab_size <= len(base):
        raise ConfigError(f"{vocab_size=} must be above {len(base)}")
    learner = _pipeline(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(base) + len(ALPHABET),
        initial_alphabet=ALPHABET,
        limit_alphabet=len(ALPHABET),
        min_frequency=MIN_PAIRS,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learnt = sorted(learner.get_vocab().items(), key=lambda entry: entry[1])
    words = [word for word, _ in learnt if len(word) > 1]
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    vocabulary = {token: number for number, token in enumerate([*base, *words])}
    model = models.BPE(
        vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"
    )
    backend = _pipeline(model)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(
        [tokenizers.AddedToken(token, special=True) for token in base[:RESERVED]]
    )
    return Tokenizer(backend)


def _pipeline(model: models.BPE) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    return backend
