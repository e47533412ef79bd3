"""Tokenizer: between strings and token ids, from a checkpoint's `tokenizer.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from redraft.config.special_tokens import BOS_ID
from redraft.errors import CheckpointError, RequestError

# Stands in decoded text for bytes that are not a character, or not yet one.
REPLACEMENT_CHARACTER = "\ufffd"


class Tokenizer:
    """Strings to token ids and back.

    Args:
        backend: the tokenizer of the `tokenizers` library.
        bos_token_id: the id in front of a raw text; None for no such id.
    """

    def __init__(self, backend: tokenizers.Tokenizer, *, bos_token_id: int | None = BOS_ID) -> None:
        self.backend = backend
        self.bos_token_id = bos_token_id

    @classmethod
    def from_folder(cls, folder: Path, *, bos_token_id: int | None = BOS_ID) -> Tokenizer:
        """Read a checkpoint's tokenizer.

        Raises:
            CheckpointError: there is no `tokenizer.json`, or it cannot be read.
        """
        path = folder / "tokenizer.json"
        if not path.exists():
            raise CheckpointError(
                f"{path} does not exist: give prompts as token ids, or add the tokenizer's file"
            )
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error
        return cls(backend, bos_token_id=bos_token_id)

    @property
    def vocab_size(self) -> int:
        return int(self.backend.get_vocab_size())

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the token ids of a raw text. Special tokens in the text become their ids.

        Args:
            bos: put the BOS id in front.

        Raises:
            RequestError: the text is not valid Unicode.
        """
        ids = list(self._encode(text).ids)
        return [self.bos_token_id, *ids] if bos and self.bos_token_id is not None else ids

    def _encode(self, text: str) -> tokenizers.Encoding:
        try:
            return self.backend.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeError) as error:
            raise RequestError(
                f"the text holds half a surrogate pair or other invalid characters: {error}"
            ) from error

    def decode(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """Return the text of token ids, without special tokens unless `special` is True."""
        return str(self.backend.decode(list(tokens), skip_special_tokens=not special))

    def encode_parts(self, text: str) -> tuple[list[int], list[str]]:
        """Return the token ids of a text, and the part of the text that each stands for.

        The parts, one after another, are the text. A character of several tokens is in the part of
        the first one.
        """
        encoded = self._encode(text)
        parts, at = [], 0
        for _, end in encoded.offsets:
            parts.append(text[at : max(at, end)])
            at = max(at, end)
        if parts:
            parts[-1] += text[at:]
        return list(encoded.ids), parts

    @cached_property
    def token_texts(self) -> list[str]:
        """The text of each token alone; empty for special tokens, raw bytes and parts of
        characters."""
        texts: list[str] = self.backend.decode_batch(
            [[token] for token in range(self.vocab_size)], skip_special_tokens=True
        )
        raw = self.byte_tokens()
        return [
            "" if REPLACEMENT_CHARACTER in text or token in raw else text
            for token, text in enumerate(texts)
        ]

    def byte_tokens(self) -> frozenset[int]:
        """Return the ids of tokens that are one raw byte, `<0x00>` to `<0xFF>`."""
        found = (self.token_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(token for token in found if token is not None)

    def special_tokens(self) -> frozenset[int]:
        """Return the ids of tokens that are not text, which decoding leaves out."""
        return frozenset(
            number
            for number, token in self.backend.get_added_tokens_decoder().items()
            if token.special
        )

    def save(self, folder: Path, chat_template: str | None = None) -> None:
        """Write the tokenizer and a chat template into a checkpoint folder.

        A `tokenizer_config.json` that is there already is left as it is.
        """
        self.backend.save(str(folder / "tokenizer.json"))
        config = {
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "tokenizer_class": "TokenizersBackend",
        }
        if not (folder / "tokenizer_config.json").exists():
            (folder / "tokenizer_config.json").write_text(
                json.dumps(config, indent=2) + "\n", encoding="utf-8"
            )
        if chat_template is not None:
            (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")

    def token_id(self, token: str) -> int | None:
        """Return the id of a token's exact string, None where the vocabulary lacks it."""
        found = self.backend.token_to_id(token)
        return None if found is None else int(found)


def tokenizer_config(folder: Path) -> dict[str, Any]:
    """Return the parsed `tokenizer_config.json`, empty where there is none.

    Raises:
        CheckpointError: it is not JSON.
    """
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    return raw if isinstance(raw, dict) else {}
