"""The tokenizer of a small model: byte-pair encoding of its own tasks.

Special tokens have the ids that they have in Gemma. Digits are single tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import tokenizers
from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from redraft.tasks import Task
from redraft.tasks.task import is_held_out
from redraft.text import Tokenizer
from redraft.train.byte_pairs import learn_byte_pairs

# Tags, words with the space before them, single digits, runs of spaces, newlines, and signs.
PIECES = r"▁?</?[a-z0-9]+>|▁?[A-Za-z]+|[0-9]|▁+(?=▁)|▁?[^▁A-Za-z0-9\n<]+|▁?<|▁|\n"
# Texts to learn from, of each task.
EXAMPLES = 3000
# Times that a pair of tokens must occur to be merged.
MIN_FREQUENCY = 20


def train_tokenizer(tasks: Sequence[Task], vocab_size: int, seed: int) -> Tokenizer:
    """Train a tokenizer of at most `vocab_size` ids on the texts of the tasks.

    The alphabet is the newline and printable ASCII; `learn_byte_pairs` has the order of the ids.

    Raises:
        ConfigError: the vocabulary is too small for a single merge.
    """
    return learn_byte_pairs(
        _texts(tasks, seed),
        vocab_size,
        alphabet=["\n", "▁", *map(chr, range(33, 127))],
        min_frequency=MIN_FREQUENCY,
        pipeline=_pipeline,
        decoder=decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        ),
    )


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
