"""Log-probabilities in OpenAI's form: left to right at temperature 1, of the content's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from redraft.engine.scoring import TokenLikelihood
from redraft.server.json_object import JsonObject
from redraft.text import Tokenizer


def chat_logprobs(found: Sequence[TokenLikelihood], tokenizer: Tokenizer) -> JsonObject:
    """Return the log-probabilities of a chat's choice."""
    content = []
    for one in found:
        top = [_one(token, logprob, tokenizer) for token, logprob in one.likeliest]
        content.append(_one(one.token, one.log_probability, tokenizer) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def text_logprobs(
    found: Sequence[TokenLikelihood], tokenizer: Tokenizer, first: int | None = None
) -> JsonObject:
    """Return the log-probabilities of a completion's choice.

    Args:
        first: the token before those, behind which nothing stands: it has no log-probability.
    """
    before = [] if first is None else [first]
    tokens = [one.token for one in found]
    texts = [_text(token, tokenizer) for token in before + tokens]
    lengths = [len(text) for text in texts]
    if first in tokenizer.special_tokens():
        lengths[0] = 0  # BOS is a token of the prompt, and no part of its text
    top = [_likeliest(one, tokenizer) for one in found]
    return {
        "tokens": texts,
        "token_logprobs": [*(None for _ in before), *(one.log_probability for one in found)],
        "top_logprobs": [*(None for _ in before), *top],
        "text_offset": list(accumulate(lengths, initial=0))[: len(texts)],
    }


def _likeliest(one: TokenLikelihood, tokenizer: Tokenizer) -> dict[str, float]:
    return {_text(token, tokenizer): value for token, value in one.likeliest}


def _one(token: int, logprob: float, tokenizer: Tokenizer) -> JsonObject:
    text = _text(token, tokenizer)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _text(token: int, tokenizer: Tokenizer) -> str:
    return tokenizer.decode([token], special=True)
