"""The tokenizer of a small model: byte-pair encoding of its own tasks.

Special tokens have the ids that they have in Gemma. Digits are single tokens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.errors import ConfigError
from redraft.tasks import Task
from redraft.tasks.task import is_held_out
from redraft.text import Tokenizer

# Ids below are special tokens, or unused.
RESERVED = 128
# Tags, words with the space before them, single digits, runs of spaces, newlines, and signs.
PIECES = r"▁?</?[a-z0-9]+>|▁?[A-Za-z]+|[0-9]|▁+(?=▁)|▁?[^▁A-Za-z0-9\n<]+|▁?<|▁|\n"
# Texts to learn from, of each task.
EXAMPLES = 3000
# Times that a pair of tokens must occur to be merged.
MIN_FREQUENCY = 20


def train_tokenizer(tasks: Sequence[Task], vocab_size: int, seed: int) -> Tokenizer:
    """Train a tokenizer of at most `vocab_size` ids on the texts of the tasks.

    Ids: special tokens below 128, the bytes `<0x00>` to `<0xFF>` from 128, then printable ASCII,
    then merges by rank. Any other text is spelt in bytes.

    Raises:
        ConfigError: the vocabulary is too small for a single merge.
    """
    alphabet = ["\n", "▁", *map(chr, range(33, 127))]
    base = [SPECIAL_TOKENS.get(number, f"<unused{number}>") for number in range(RESERVED)]
    base += [f"<0x{byte:02X}>" for byte in range(256)] + alphabet
    if vocab_size <= len(base):
        raise ConfigError(
            f"{vocab_size=} must be above {len(base)}, the number of special tokens, bytes and "
            "letters"
        )
    learner = _pipeline(tokenizers.Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(base) + len(alphabet),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
    )
    learner.train_from_iterator(_texts(tasks, seed), trainer)
    learnt = sorted(learner.get_vocab().items(), key=lambda entry: entry[1])
    words = [word for word, _ in learnt if len(word) > 1]
    vocabulary = {token: number for number, token in enumerate([*base, *words])}
    merges = [(left, right) for left, right in _merges(learner)]
    model = models.BPE(
        vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"
    )
    backend = _pipeline(tokenizers.Tokenizer(model))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens(
        [tokenizers.AddedToken(token, special=True) for token in base[:RESERVED]]
    )
    return Tokenizer(backend)


def _pipeline(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    return backend


def _texts(tasks: Sequence[Task], seed: int) -> Iterator[str]:
    rng = random.Random(f"vocabulary {seed}")
    for task in tasks:
        for _ in range(EXAMPLES):
            example = task.draw(rng)
            if not is_held_out(example.key):
                yield f"user\n{example.prompt}"
                yield f"model\n{example.answer}"


def _merges(backend: tokenizers.Tokenizer) -> list[list[str]]:
    merges: list[list[str]] = json.loads(backend.to_str())["model"]["merges"]
    return merges
