"""Tokenizer: Gemma's byte-pair encoding and its chat template, from a GGUF file's metadata."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from redraft.checkpoint.gguf.config import TOKEN, TOKENS
from redraft.checkpoint.gguf.header import Header, Strings
from redraft.errors import CheckpointError
from redraft.text import ChatTemplate, Tokenizer

# Byte pairs, with spaces written as ▁, and byte tokens for text that has no other token.
MODEL = "gemma4"
# The key of the template; further ones have their name behind it.
TEMPLATE = "tokenizer.chat_template"
# Types of tokens: control tokens, and added ones, which are never split.
CONTROL, USER_DEFINED = 3, 4


def gguf_tokenizer(header: Header, bos_token_id: int | None) -> Tokenizer | None:
    """Return the tokenizer; None for a file without one.

    Raises:
        CheckpointError: it is of another model, or damaged.
    """
    metadata = header.metadata
    if (model := metadata.get("tokenizer.ggml.model")) is None or model in ("none", "no_vocab"):
        return None
    if model != MODEL:
        raise CheckpointError(
            f"{header.path} has a tokenizer of model {model!r}, only {MODEL!r} is read: "
            "put tokenizer.json beside it"
        )
    tokens, merges = (_texts(header, key) for key in (TOKENS, "tokenizer.ggml.merges"))
    vocabulary = {text: number for number, text in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise CheckpointError(f"{header.path} has tokens twice: {TOKENS} is damaged")
    # A piece may begin with a space, so the space between two pieces is searched from the second
    # letter on.
    pairs = [(merge[:at], merge[at + 1 :]) for merge in merges if (at := merge.find(" ", 1)) > 0]
    if len(pairs) < len(merges):
        raise CheckpointError(
            f"{header.path} has merges that are not pairs: tokenizer.ggml.merges is damaged"
        )
    try:
        backend = _backend(vocabulary, pairs, _token(header, tokens, "unknown"))
        backend.add_special_tokens(_added(header, tokens, special=True))
        backend.add_tokens(_added(header, tokens, special=False))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(
            f"{header.path} has a tokenizer that cannot be built: {error}"
        ) from error
    return Tokenizer(backend, bos_token_id=bos_token_id)


def gguf_template(header: Header) -> ChatTemplate | None:
    """Return the chat templates; None for a file without one."""
    metadata = header.metadata
    source = metadata.get(TEMPLATE)
    named = {
        name: text
        for key, text in metadata.items()
        if (name := key.removeprefix(f"{TEMPLATE}.")) != key and isinstance(text, str)
    }
    if not isinstance(source, str):
        source = named.pop("default", None)
    if source is None and not named:
        return None
    tokens = _texts(header, TOKENS) if TOKENS in metadata else []
    kinds = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    found = {name: _token(header, tokens, kind) for name, kind in kinds.items()}
    return ChatTemplate(source, {name: text for name, text in found.items() if text}, named)


def _backend(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], unknown: str | None
) -> tokenizers.Tokenizer:
    model = models.BPE(
        vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True
    )
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def _texts(header: Header, key: str) -> list[str]:
    found = header.metadata.get(key)
    if not isinstance(found, Strings):
        raise CheckpointError(
            f"{header.path} has no list of texts {key}: its tokenizer cannot be built"
        )
    return found.read()


def _token(header: Header, tokens: list[str], kind: str) -> str | None:
    number = header.metadata.get(TOKEN.format(kind))
    return tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else None


def _added(header: Header, tokens: list[str], *, special: bool) -> list[tokenizers.AddedToken]:
    """Return the tokens that are never split.

    Args:
        special: return those with a fixed role, and not the others. A token's spelling decides:
            converters give some of them the type of ordinary tokens, so that llama.cpp prints them.
    """
    types = header.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(types, list) or len(types) != len(tokens):
        raise CheckpointError(
            f"{header.path} does not give each token a type: tokenizer.ggml.token_type is damaged"
        )
    found = []
    for text, kind in zip(tokens, types, strict=True):
        is_special = kind == CONTROL or (
            len(text) > 4 and text[0] == "<" and text[-1] == ">" and "|" in (text[1], text[-2])
        )
        if text and (is_special if special else kind == USER_DEFINED and not is_special):
            found.append(tokenizers.AddedToken(text, special=special, normalized=False))
    return found
