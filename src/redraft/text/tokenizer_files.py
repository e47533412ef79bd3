"""TokenizerFiles: the special and added tokens that stand beside `tokenizer.json`.

`tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` -> names for the chat
template, and tokens that the tokenizer must not split. The rules are those of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import tokenizers

from redraft.errors import CheckpointError
from redraft.text.json_value import Json
from redraft.text.plain_file import is_there, read_json

# Gemma's tokenizer class has these where no file names them.
GEMMA_NAMES = {f"{name}_token": f"<{name}>" for name in ("unk", "bos", "eos", "pad", "mask")}
# Lists of special tokens without a name, or groups of named ones.
EXTRA = ("extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokens that a folder's files name.

    Attributes:
        named: name -> text, such as `bos_token` -> `<bos>`.
        added: tokens with an id, in the order of their ids. ids: text -> id, of these.
        extra: special tokens without a name.
        defaults: as `named`, where no file has the name and the vocabulary has the text.
        chat_control_tokens: control tokens of chats; None where the files do not list them.
    """

    named: Mapping[str, str]
    added: tuple[tokenizers.AddedToken, ...]
    ids: Mapping[str, Json]
    extra: tuple[str, ...]
    defaults: Mapping[str, str]
    chat_control_tokens: tuple[str, ...] | None

    @classmethod
    def of(cls, folder: Path) -> TokenizerFiles:
        """Read the files of a folder; each of them may be absent.

        Raises:
            CheckpointError: a file is not JSON, or holds something else than tokens.
        """
        config = read_object(folder / "tokenizer_config.json")
        has_decoder = "added_tokens_decoder" in config
        # An older layout; it is not read beside `added_tokens_decoder`.
        older = {} if has_decoder else read_object(folder / "special_tokens_map.json")
        added = {} if has_decoder else read_object(folder / "added_tokens.json")
        settings = config | older
        lists = [files.get(key) for files, key in product((config, older), EXTRA)]
        groups = [group for group in lists if isinstance(group, dict)]
        named = {
            name: text
            for name, value in [*settings.items(), *chain.from_iterable(map(dict.items, groups))]
            if (text := _text(value)) and (name.endswith("_token") or name not in settings)
        }
        unnamed = chain.from_iterable(group for group in lists if isinstance(group, list))
        extra = tuple(text for value in unnamed if (text := _text(value)))
        listed = settings.get("chat_control_tokens")
        is_gemma = str(config.get("tokenizer_class") or "Gemma").startswith("Gemma")
        return cls(
            named,
            _decoder_tokens(_mapping(config.get("added_tokens_decoder")), folder)
            or _older_tokens(added, {*named.values(), *extra}),
            added or _decoder_ids(_mapping(config.get("added_tokens_decoder"))),
            extra,
            GEMMA_NAMES if is_gemma else {},
            tuple(map(str, listed)) if isinstance(listed, list) else None,
        )

    @property
    def variables(self) -> dict[str, str]:
        """The names that a chat template may use."""
        return {**self.defaults, **self.named}

    def tokens_to_add(self, backend: tokenizers.Tokenizer) -> list[tokenizers.AddedToken]:
        """Return the tokens that a backend is to get: those it lacks, and those whose flags the
        files state anew."""
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        known |= {token.content for token in self.added}
        named = set(self.named.values())
        found = [
            _special(token.content) if token.content in named and not token.special else token
            for token in self.added
        ]
        defaults = [
            text
            for name, text in self.defaults.items()
            if name not in self.named and backend.token_to_id(text) is not None
        ]
        missing = dict.fromkeys([*self.named.values(), *defaults, *self.extra])
        return found + [_special(text) for text in missing if text not in known]

    def check_ids(self, backend: tokenizers.Tokenizer) -> None:
        """Check that a backend has each token with an id under that id.

        Raises:
            CheckpointError: it does not: the model would read another token.
        """
        for text, number in self.ids.items():
            if (own := backend.token_to_id(text)) != number:
                raise CheckpointError(
                    f"the token {text!r} has the id {number!r} in the settings of the tokenizer "
                    f"and {own} in tokenizer.json: these files are not of one model"
                )


def read_object(path: Path) -> dict[str, Json]:
    """Return the JSON object of a file, empty where there is no file.

    Raises:
        CheckpointError: it is not JSON, or no object.
    """
    return read_json(path) if is_there(path) else {}


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _text(value: Json) -> str:
    """Return the text of a token: it stands alone, or in an object with flags."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""


def _special(text: str) -> tokenizers.AddedToken:
    return tokenizers.AddedToken(text, special=True, normalized=False)


def _decoder_tokens(decoder: Mapping[str, Json], folder: Path) -> tuple[tokenizers.AddedToken, ...]:
    try:
        in_order = sorted(decoder.items(), key=lambda item: int(item[0]))
    except ValueError as error:
        raise CheckpointError(
            f"{folder / 'tokenizer_config.json'}: added_tokens_decoder has a key that is no token "
            f"id: {error}"
        ) from error
    return tuple(
        _added(_mapping(value) or {"content": value}) for _, value in in_order if _text(value)
    )


def _decoder_ids(decoder: Mapping[str, Json]) -> dict[str, Json]:
    return {text: int(number) for number, value in decoder.items() if (text := _text(value))}


def _added(token: Mapping[str, Json]) -> tokenizers.AddedToken:
    flags = {flag: bool(token[flag]) for flag in FLAGS if flag in token}
    special = bool(token.get("special", False))
    return tokenizers.AddedToken(
        str(token["content"]), special=special, **{"normalized": not special} | flags
    )


def _older_tokens(
    added: Mapping[str, Json], special: set[str]
) -> tuple[tokenizers.AddedToken, ...]:
    in_order = sorted(added.items(), key=lambda item: item[1] if isinstance(item[1], int) else 0)
    return tuple(
        tokenizers.AddedToken(text, special=text in special, normalized=text not in special)
        for text, _ in in_order
        if text
    )
