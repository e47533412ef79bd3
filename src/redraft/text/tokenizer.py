"""Tokenizer: a `tokenizer.json`, and what `tokenizer_config.json` says of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from redraft.config.special_tokens import BOS_ID
from redraft.errors import CheckpointError, RequestError

BROKEN = "\ufffd"  # stands for what is no character yet


class Tokenizer:
    """Strings to token ids and back.

    Args:
        backend: the tokenizer proper.
        bos_token_id: put in front of raw text, unless None.
    """

    def __init__(self, backend: tokenizers.Tokenizer, *, bos_token_id: int | None = BOS_ID) -> None:
        self.backend = backend
        self.bos_token_id = bos_token_id

    @classmethod
    def from_folder(cls, folder: Path, *, bos_token_id: int | None = BOS_ID) -> Tokenizer:
        """Read a checkpoint's tokenizer.

        Raises:
            CheckpointError: there is none, or it cannot be read.
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
        """Token ids of raw text, with BOS in front where `bos`. Special tokens written in the text
        become their ids."""
        ids = list(self._encoded(text).ids)
        return [self.bos_token_id, *ids] if bos and self.bos_token_id is not None else ids

    def _encoded(self, text: str) -> Any:
        try:
            return self.backend.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeError) as error:
            raise RequestError(
                f"the text holds half a surrogate pair or other invalid characters: {error}"
            ) from error

    def decode(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """Text of token ids; special tokens are left out unless `special`."""
        return str(self.backend.decode(list(tokens), skip_special_tokens=not special))

    def spell(self, text: str) -> tuple[list[int], list[str]]:
        """Token ids of a text, and the part of it that each stands for: end to end they are the
        text. Of a character of several tokens the first has all."""
        encoded = self._encoded(text)
        parts, at = [], 0
        for _, end in encoded.offsets:
            parts.append(text[at : max(at, end)])
            at = max(at, end)
        if parts:
            parts[-1] += text[at:]
        return list(encoded.ids), parts

    @cached_property
    def texts(self) -> list[str]:
        """The text of every token by itself; empty for special tokens, bytes, and what is a part of
        a character."""
        alone: list[str] = self.backend.decode_batch(
            [[token] for token in range(self.vocab_size)], skip_special_tokens=True
        )
        bytes_ = self.byte_tokens()
        return [
            "" if BROKEN in text or token in bytes_ else text for token, text in enumerate(alone)
        ]

    def byte_tokens(self) -> frozenset[int]:
        """Ids of tokens that stand for one raw byte (`<0x00>` to `<0xFF>`), where the vocabulary
        has such."""
        found = (self.token_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(token for token in found if token is not None)

    def special_tokens(self) -> frozenset[int]:
        """Ids of tokens that are no text and are left out when decoding."""
        return frozenset(
            number
            for number, token in self.backend.get_added_tokens_decoder().items()
            if token.special
        )

    def save(self, folder: Path, chat_template: str | None = None) -> None:
        """Write tokenizer.json and, where given, chat_template.jinja into a checkpoint folder; a
        tokenizer_config.json that is there already is left as it is."""
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
        """Id of one token's exact string."""
        found = self.backend.token_to_id(token)
        return None if found is None else int(found)


def tokenizer_config(folder: Path) -> dict[str, Any]:
    """The parsed `tokenizer_config.json`, empty where there is none."""
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    return raw if isinstance(raw, dict) else {}
