"""Log-probabilities in OpenAI's form: left to right at temperature 1, of the content's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from redraft.engine.scoring import TokenLikelihood
from redraft.server.json_object import JsonObject
from redraft.text import Tokenizer


class Spelled(dict[int, str]):
    """The texts of tokens; each is decoded once.

    Attributes:
        bytes: of each text. Places share them: so many lists would keep the collector busy.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.bytes: dict[int, list[int]] = {}

    def __missing__(self, token: int) -> str:
        text = self[token] = self._tokenizer.decode([token], special=True)
        self.bytes[token] = list(text.encode("utf-8", "replace"))
        return text


def chat_logprobs(found: Sequence[TokenLikelihood], tokenizer: Tokenizer) -> JsonObject:
    """Return the log-probabilities of a chat's choice."""
    content, spelled = [], Spelled(tokenizer)
    for one in found:
        top = [_one(token, logprob, spelled) for token, logprob in one.likeliest]
        content.append(_one(one.token, one.log_probability, spelled) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def text_logprobs(
    found: Sequence[TokenLikelihood], tokenizer: Tokenizer, first: int | None = None
) -> JsonObject:
    """Return the log-probabilities of a completion's choice.

    Args:
        first: the token before those, behind which nothing stands: it has no log-probability.
    """
    before, spelled = [] if first is None else [first], Spelled(tokenizer)
    tokens = [one.token for one in found]
    texts = [spelled[token] for token in before + tokens]
    lengths = [len(text) for text in texts]
    if first in tokenizer.special_tokens():
        lengths[0] = 0  # BOS is a token of the prompt, and no part of its text
    top = [_likeliest(one, spelled) for one in found]
    return {
        "tokens": texts,
        "token_logprobs": [*(None for _ in before), *(one.log_probability for one in found)],
        "top_logprobs": [*(None for _ in before), *top],
        "text_offset": list(accumulate(lengths, initial=0))[: len(texts)],
    }


def _likeliest(one: TokenLikelihood, spelled: Spelled) -> JsonObject:
    return {spelled[token]: value for token, value in one.likeliest}


def _one(token: int, logprob: float, spelled: Spelled) -> JsonObject:
    text = spelled[token]
    return {"token": text, "logprob": logprob, "bytes": spelled.bytes[token]}
