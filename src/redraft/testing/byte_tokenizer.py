"""A tokenizer of bytes, which encodes every text.

Special tokens have their ids of Gemma; ids 128 to 383 are the bytes.
"""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.text.chat_template import IMAGE_TEMPLATE, TURN_TEMPLATE
from redraft.text.token_bytes import BYTES
from redraft.text.tokenizer import Tokenizer

FIRST_BYTE = 128
# Opening of an image, an image, closing.
IMAGE_TOKENS = {125: "<|image>", 126: "<|image|>", 127: "<image|>"}
VOCAB_SIZE = FIRST_BYTE + 256


def byte_tokenizer(*, images: bool = False) -> Tokenizer:
    """Build the tokenizer in memory.

    Args:
        images: it has the three tokens of images too, with the ids of IMAGE_TOKENS.
    """
    names = SPECIAL_TOKENS | (IMAGE_TOKENS if images else {})
    vocabulary = {names.get(number, f"<unused{number}>"): number for number in range(FIRST_BYTE)}
    by_byte = sorted(BYTES.items(), key=lambda pair: pair[1])
    vocabulary |= {letter: FIRST_BYTE + byte for letter, byte in by_byte}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    # "<" alone is a byte.
    special = [token for token in vocabulary if token[0] == "<" != token]
    backend.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in special])
    return Tokenizer(backend)


def write_byte_tokenizer(folder: Path, *, images: bool = False) -> None:
    """Write tokenizer.json, tokenizer_config.json and a chat template into a checkpoint folder.

    Args:
        images: see `byte_tokenizer`; the template then reads parts of texts and images.
    """
    template = IMAGE_TEMPLATE if images else TURN_TEMPLATE
    byte_tokenizer(images=images).save(folder, template)
