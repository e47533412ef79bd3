"""Tokenizer: between strings and token ids, from a checkpoint's `tokenizer.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import tokenizers

from redraft.config.special_tokens import BOS_ID
from redraft.errors import CheckpointError, RequestError
from redraft.text.plain_file import check_file, is_there
from redraft.text.token_texts import TokenTexts
from redraft.text.tokenizer_files import TokenizerFiles

# Texts that are encoded together, and tokens whose places are made into one list.
BATCH, MAX_AT_ONCE = 1024, 50_000
# Stands in decoded text for bytes that are not a character, or not yet one.
REPLACEMENT_CHARACTER = "\ufffd"


class TokenIds(Protocol):
    """Knows the ids of special tokens."""

    def token_id(self, token: str) -> int | None:
        """Return the id of a token's exact string, None where the vocabulary lacks it."""
        ...


class Tokenizer:
    """Strings to token ids and back.

    Args:
        backend: the tokenizer of the `tokenizers` library.
        bos_token_id: the id in front of a raw text, where the backend itself does not say what
            goes around one; None for no such id.
        chat_control_tokens: added tokens that are control tokens of chats, beside the special
            tokens; None where the file does not list them.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        bos_token_id: int | None = BOS_ID,
        chat_control_tokens: Sequence[str] | None = None,
    ) -> None:
        self.backend = backend
        self.bos_token_id = bos_token_id
        self.chat_control_tokens = chat_control_tokens
        self._spelled: dict[int, str] = {}  # as many as the vocabulary has, at most

    @classmethod
    def from_folder(cls, folder: Path, *, bos_token_id: int | None = BOS_ID) -> Tokenizer:
        """Read a checkpoint's tokenizer, with the tokens that its other files add.

        Raises:
            CheckpointError: there is no `tokenizer.json`, or a file cannot be read.
        """
        path = folder / "tokenizer.json"
        if not is_there(path):
            raise CheckpointError(
                f"{path} does not exist: give prompts as token ids, or add the tokenizer's file"
            )
        files = TokenizerFiles.of(folder)
        check_file(path)
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
            backend.no_truncation()
            backend.no_padding()
            backend.add_tokens(files.tokens_to_add(backend))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error
        files.check_ids(backend)
        return cls(
            backend, bos_token_id=bos_token_id, chat_control_tokens=files.chat_control_tokens
        )

    @property
    def vocab_size(self) -> int:
        return int(self.backend.get_vocab_size())

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the token ids of a raw text. Special tokens in the text become their ids.

        Args:
            bos: put special tokens around the text, as `add_special_tokens` of transformers does:
                those of the tokenizer's post-processor, or the BOS id where it has none.

        Raises:
            RequestError: the text is not valid Unicode.
        """
        ids = list(_encoded(self.backend.encode_batch_fast, text, bos).ids)
        if not bos or self.bos_token_id is None or self._has_own_special_tokens:
            return ids
        return [self.bos_token_id, *ids]

    @property
    def _has_own_special_tokens(self) -> bool:
        """True where the backend itself puts special tokens around a text."""
        processor = self.backend.post_processor
        return processor is not None and processor.num_special_tokens_to_add(False) > 0

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """The backend without its added tokens."""
        plain = tokenizers.Tokenizer(self.backend.model)
        if self.backend.normalizer is not None:
            plain.normalizer = self.backend.normalizer
        if self.backend.pre_tokenizer is not None:
            plain.pre_tokenizer = self.backend.pre_tokenizer
        return plain

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of a text in which no token is special, not even an added one.

        Raises:
            RequestError: the text is not valid Unicode.
        """
        return list(_encoded(self._plain.encode_batch_fast, text).ids)

    def encode_each(self, texts: Sequence[str], *, is_text: bool) -> list[list[int]]:
        """Return the token ids of each text, without tokens around it.

        Args:
            is_text: no token in the texts is special, as in `encode_text`.

        Raises:
            RequestError: a text is not valid Unicode.
        """
        backend = self._plain if is_text else self.backend
        found: list[list[int]] = []
        for first in range(0, len(texts), BATCH):
            try:
                some = backend.encode_batch_fast(
                    list(texts[first : first + BATCH]), add_special_tokens=False
                )
            except (TypeError, UnicodeError) as error:
                raise _not_unicode(error) from error
            found += [list(one.ids) for one in some]
        return found

    def decode(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """Return the text of token ids, without special tokens unless `special` is True."""
        return str(self.backend.decode(list(tokens), skip_special_tokens=not special))

    def spelled(self, token: int) -> str:
        """Return the text of one token, special or not. Each is decoded once: a draft names
        hundreds of them."""
        if token not in self._spelled:
            self._spelled[token] = self.decode([token], special=True)
        return self._spelled[token]

    def encode_parts(self, text: str) -> tuple[list[int], list[str]]:
        """Return the token ids of a text, and the part of the text that each stands for.

        The parts, one after another, are the text. A character of several tokens is in the part of
        the first one.
        """
        encoded = _encoded(self.backend.encode_batch, text)
        ids = list(encoded.ids)
        parts, at = [], 0
        for _, end in _offsets(encoded, len(ids)):
            parts.append(text[at : max(at, end)])
            at = max(at, end)
        if parts:
            parts[-1] += text[at:]
        return ids, parts

    @cached_property
    def token_texts(self) -> TokenTexts:
        """The text of each token alone; empty for special tokens, raw bytes and parts of
        characters."""
        texts: list[str] = self.backend.decode_batch(
            [[token] for token in range(self.vocab_size)], skip_special_tokens=True
        )
        raw = self.byte_tokens()
        return TokenTexts(
            "" if REPLACEMENT_CHARACTER in text or token in raw else text
            for token, text in enumerate(texts)
        )

    def byte_tokens(self) -> frozenset[int]:
        """Return the ids of tokens that are one raw byte, `<0x00>` to `<0xFF>`."""
        return self._byte_tokens

    def special_tokens(self) -> frozenset[int]:
        """Return the ids of tokens that are not text, which decoding leaves out."""
        return self._special_tokens

    # Kept: every text asks for both, and a vocabulary does not change.
    @cached_property
    def _byte_tokens(self) -> frozenset[int]:
        found = (self.token_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(token for token in found if token is not None)

    @cached_property
    def _special_tokens(self) -> frozenset[int]:
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


def _encoded(
    encode_batch: Callable[..., list[tokenizers.Encoding]], text: str, around: bool = False
) -> tokenizers.Encoding:
    """Return one text, encoded as a batch: the library holds the interpreter while it encodes one
    text alone (6 s for 4 MB), and lets others run while it encodes a batch."""
    if not isinstance(text, str):  # a pair of texts would be taken, too
        raise RequestError(f"a text must be a str, not {type(text).__name__}")
    try:
        return encode_batch([text], add_special_tokens=around)[0]
    except (TypeError, UnicodeError) as error:
        raise _not_unicode(error) from error


def _offsets(encoded: tokenizers.Encoding, count: int) -> Iterable[tuple[int, int]]:
    """Return the first character of each token, and the one behind its last.

    The library makes the list of all of them with the interpreter held: those of many tokens are
    asked for one by one.
    """
    if count <= MAX_AT_ONCE:
        found: list[tuple[int, int]] = encoded.offsets
        return found
    return (encoded.token_to_chars(token) or (0, 0) for token in range(count))


def _not_unicode(error: Exception) -> RequestError:
    return RequestError(
        f"the text holds half a surrogate pair or other invalid characters: {error}"
    )
