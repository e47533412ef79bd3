"""The bytes of each token of a vocabulary."""

from __future__ import annotations

import json
from typing import Any

from redraft.errors import ConstraintError
from redraft.text.tokenizer import Tokenizer

# Steps of a decoder that turn each token into its text, whatever tokens stand beside it.
INDEPENDENT_STEPS = ("Replace", "ByteFallback", "Fuse", "ByteLevel")
# The number of tokens that are decoded together, as a check.
SAMPLE_SIZE = 200

DecoderStep = dict[str, Any]  # a step as `tokenizer.json` has it


def token_bytes(tokenizer: Tokenizer) -> list[bytes | None]:
    """Return the bytes of every token id; None for special tokens, which are not text.

    Raises:
        ConstraintError: tokens change one another's text, so that a token has no bytes of its own.
    """
    steps = _decoder_steps(tokenizer)
    if unknown := [step["type"] for step in steps if step["type"] not in INDEPENDENT_STEPS]:
        raise ConstraintError(
            f"this tokenizer decodes by {', '.join(unknown)}: its tokens have no bytes of their own"
        )
    vocabulary = tokenizer.backend.get_vocab(with_added_tokens=True)
    added = tokenizer.backend.get_added_tokens_decoder()
    special = tokenizer.special_tokens()
    has_byte_tokens = any(step["type"] == "ByteFallback" for step in steps)
    raw = tokenizer.byte_tokens() if has_byte_tokens else frozenset()
    found: list[bytes | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
    for piece, token in vocabulary.items():
        if token in raw:
            found[token] = bytes([int(piece[1:-1], 16)])  # <0x41>
        elif token not in special:
            found[token] = _decoded(piece, [] if token in added else steps)
    _check(tokenizer, found)
    return found


def _decoder_steps(tokenizer: Tokenizer) -> list[DecoderStep]:
    state = json.loads(tokenizer.backend.decoder.__getstate__())
    steps: list[DecoderStep] = state["decoders"] if state["type"] == "Sequence" else [state]
    return steps


def _decoded(piece: str, steps: list[DecoderStep]) -> bytes | None:
    """Return the bytes of a token's string; None where byte-level decoding has no byte for it."""
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            piece = piece.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "ByteLevel":
            if any(letter not in BYTES for letter in piece):
                return None
            return bytes(BYTES[letter] for letter in piece)
    return piece.encode("utf-8", "surrogatepass")


def _byte_alphabet() -> dict[str, int]:
    """Return the letter that byte-level tokenizers write for each byte (GPT-2's alphabet)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + number): byte for number, byte in enumerate(others)}


BYTES = _byte_alphabet()


def _check(tokenizer: Tokenizer, found: list[bytes | None]) -> None:
    """Raise where a sample of tokens, decoded together, is not the sum of their bytes.

    The sample is decoded in one order, in the other, and with each token twice.
    """
    texts = [token for token, text in enumerate(found) if text and _is_utf8(text)]
    sample = texts[:: max(1, len(texts) // SAMPLE_SIZE)]
    twice = sorted(sample * 2)
    tokens = [*sample, *reversed(sample), *twice]
    alone = all(tokenizer.decode([token]).encode() == found[token] for token in sample)
    joined = b"".join(found[token] or b"" for token in tokens)
    if not alone or tokenizer.decode(tokens).encode() != joined:
        raise ConstraintError(
            "this tokenizer decodes tokens together to another text than each of them alone: "
            "they have no bytes of their own"
        )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
