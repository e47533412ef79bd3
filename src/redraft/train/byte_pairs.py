"""Byte-pair encoding: a tokenizer learnt from texts, with Gemma's special tokens and a fallback to
bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import tokenizers
from tokenizers import decoders, models, trainers

from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.errors import ConfigError
from redraft.text import Tokenizer

# Ids below are special tokens, or unused.
RESERVED = 128


def learn_byte_pairs(
    texts: Iterable[str],
    vocab_size: int,
    *,
    alphabet: Sequence[str],
    min_frequency: int,
    pipeline: Callable[[tokenizers.Tokenizer], tokenizers.Tokenizer],
    decoder: decoders.Decoder,
) -> Tokenizer:
    """Learn a tokenizer of at most `vocab_size` ids.

    Ids: special tokens below 128, the bytes `<0x00>` to `<0xFF>` from 128, then the alphabet, then
    merges by rank. Any other text is spelt in bytes.

    Args:
        min_frequency: times that a pair of tokens must occur to be merged.
        pipeline: sets the normalizer and the pre-tokenizer.

    Raises:
        ConfigError: the vocabulary is too small for a single merge.
    """
    base = [SPECIAL_TOKENS.get(number, f"<unused{number}>") for number in range(RESERVED)]
    base += [f"<0x{byte:02X}>" for byte in range(256)] + list(alphabet)
    if vocab_size <= len(base):
        raise ConfigError(
            f"{vocab_size=} must be above {len(base)}, the number of special tokens, bytes and "
            "letters"
        )
    learner = pipeline(tokenizers.Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(base) + len(alphabet),
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        min_frequency=min_frequency,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learnt = sorted(learner.get_vocab().items(), key=lambda entry: entry[1])
    words = [word for word, _ in learnt if len(word) > 1]
    vocabulary = {token: number for number, token in enumerate([*base, *words])}
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    model = models.BPE(
        vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"
    )
    backend = pipeline(tokenizers.Tokenizer(model))
    backend.decoder = decoder
    backend.add_special_tokens(
        [tokenizers.AddedToken(token, special=True) for token in base[:RESERVED]]
    )
    return Tokenizer(backend)
