"""The bytes that each token of a vocabulary stands for."""

from __future__ import annotations

import json
from typing import Any

from redraft.errors import ConstraintError
from redraft.text.tokenizer import Tokenizer

KNOWN = (
    "Replace",
    "ByteFallback",
    "Fuse",
    "ByteLevel",
)  # decoders that turn each token into its text, whatever stands beside it
TRIED = 200  # tokens that are decoded together, for a check


def token_bytes(tokenizer: Tokenizer) -> list[bytes | None]:
    """Of every token id; None for special tokens, which are no text.

    Raises:
        ConstraintError: tokens change one another's text, so that no token has bytes of its own.
    """
    decoders = _decoders(tokenizer)
    if unknown := [step["type"] for step in decoders if step["type"] not in KNOWN]:
        raise ConstraintError(
            f"this tokenizer decodes by {', '.join(unknown)}: its tokens have no bytes of their own"
        )
    special, pieces = (
        tokenizer.special_tokens(),
        tokenizer.backend.get_vocab(with_added_tokens=True),
    )
    found: list[bytes | None] = [None] * (max(pieces.values(), default=-1) + 1)
    added = {
        number: token.content
        for number, token in tokenizer.backend.get_added_tokens_decoder().items()
    }
    raw = (
        tokenizer.byte_tokens()
        if any(step["type"] == "ByteFallback" for step in decoders)
        else frozenset()
    )
    for piece, number in pieces.items():
        if number in raw:
            found[number] = bytes([int(piece[1:-1], 16)])
        elif number not in special:
            found[number] = _spelled(piece, [] if number in added else decoders)
    _check(tokenizer, found)
    return found


def _decoders(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    state = json.loads(tokenizer.backend.decoder.__getstate__())
    steps: list[dict[str, Any]] = state["decoders"] if state["type"] == "Sequence" else [state]
    return steps


def _spelled(piece: str, decoders: list[dict[str, Any]]) -> bytes | None:
    for step in decoders:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            piece = piece.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "ByteLevel":
            return (
                bytes(BYTES[letter] for letter in piece)
                if all(letter in BYTES for letter in piece)
                else None
            )
    return piece.encode("utf-8", "surrogatepass")


def _alphabet() -> dict[str, int]:
    """The letters that byte-level tokenizers write bytes with."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(rest)
    }


BYTES = _alphabet()


def _check(tokenizer: Tokenizer, found: list[bytes | None]) -> None:
    """Decode some tokens together, in one order and the other and each beside itself, and
    compare."""
    whole = [number for number, spelled in enumerate(found) if spelled and _is_text(spelled)]
    tried = whole[:: max(1, len(whole) // TRIED)]
    tokens = [*tried, *reversed(tried), *(token for token in tried for _ in range(2))]
    alone = all(tokenizer.decode([token]).encode() == found[token] for token in tried)
    if not alone or tokenizer.decode(tokens).encode() != b"".join(
        found[token] or b"" for token in tokens
    ):
        raise ConstraintError(
            "this tokenizer decodes tokens together to another text than each of them: they have no bytes of their own"
        )


def _is_text(spelled: bytes) -> bool:
    try:
        spelled.decode()
    except UnicodeDecodeError:
        return False
    return True
