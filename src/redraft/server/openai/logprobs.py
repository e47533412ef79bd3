"""Log-probabilities in OpenAI's form: left to right at temperature 1, of the content's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from redraft.engine.scoring import TokenLikelihood
from redraft.text import Tokenizer


def chat_logprobs(found: Sequence[TokenLikelihood], tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the log-probabilities of a chat's choice."""
    content = []
    for one in found:
        top = [_one(token, logprob, tokenizer) for token, logprob in one.likeliest]
        content.append(_one(one.token, one.log_probability, tokenizer) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def text_logprobs(found: Sequence[TokenLikelihood], tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the log-probabilities of a completion's choice."""
    texts = [_text(one.token, tokenizer) for one in found]
    offsets = list(accumulate(map(len, texts), initial=0))[: len(texts)]
    top = []
    for one in found:
        top.append({_text(token, tokenizer): logprob for token, logprob in one.likeliest})
    return {
        "tokens": texts,
        "token_logprobs": [one.log_probability for one in found],
        "top_logprobs": top,
        "text_offset": offsets,
    }


def _one(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    text = _text(token, tokenizer)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _text(token: int, tokenizer: Tokenizer) -> str:
    return tokenizer.decode([token], special=True)
