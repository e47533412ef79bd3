"""Random patterns and schemas, texts of an dfa drawn at random, and what other readers say of
them."""

from __future__ import annotations

import json
import random
from functools import cache, lru_cache
from typing import Any

import llguidance
import numpy as np

from redraft.grammar.language.dfa import DFA

Schema = dict[str, Any]
LARGE = 10**6


def pattern(rng: random.Random, depth: int = 0) -> str:
    """A pattern over a few letters that every dialect reads alike."""
    atom = rng.choice(["a", "b", "[a-c]", "[^a]", ".", "\\d", "é", "ab", "\\."])
    if depth < 3 and rng.random() < 0.6:
        parts = [pattern(rng, depth + 1) for _ in range(rng.randint(1, 3))]
        atom = f"({rng.choice(['|', '', ''])[:1].join(parts)})"
    return atom + rng.choice(["", "", "", "*", "+", "?", "{1,3}", "{2}", "*?"])


def string_schema(rng: random.Random) -> Schema:
    found: Schema = {"type": "string"}
    if rng.random() < 0.15:
        return found | {
            "format": rng.choice(
                "date email ipv4 ipv6 uuid date-time time hostname duration".split()
            )
        }
    if rng.random() < 0.4:
        found["minLength"] = rng.randint(0, 3)
    if rng.random() < 0.4:
        found["maxLength"] = rng.randint(3, 8)
    if rng.random() < 0.25:
        found["pattern"] = rng.choice(["^[a-z]+$", "[0-9]{2}", "a|b$", "^x.*y$", "\\d", "^\\S+$"])
    return found


def number_schema(rng: random.Random) -> Schema:
    found: Schema = {"type": rng.choice(["integer", "number"])}
    if rng.random() < 0.5:
        low = rng.randint(-50, 50) if rng.random() < 0.6 else rng.randint(-500, 500) / 10
        found[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.4:
        found[rng.choice(["maximum", "exclusiveMaximum"])] = rng.randint(55, 500)
    if rng.random() < 0.2:
        found["multipleOf"] = rng.choice([2, 5, 7, 10, 0.5, 0.25])
    return found


def object_schema(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(["name", "age", "x y", "é", "tags", 'q"', "id"], rng.randint(1, 4))
    found: Schema = {
        "type": "object",
        "properties": {name: schema(rng, depth + 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
    }
    if rng.random() < 0.5:
        found["additionalProperties"] = False
    elif rng.random() < 0.3:
        found["additionalProperties"] = schema(rng, depth + 2)
    return found


def array_schema(rng: random.Random, depth: int) -> Schema:
    found: Schema = {"type": "array", "items": schema(rng, depth + 1)}
    if rng.random() < 0.3:
        found["prefixItems"] = [schema(rng, depth + 1) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.4:
        found["minItems"] = rng.randint(0, 3)
    if rng.random() < 0.4:
        found["maxItems"] = rng.randint(3, 5)
    return found


def schema(rng: random.Random, depth: int = 0) -> Schema:
    """A schema of the keywords that are supported."""
    kinds = ["string", "string", "number", "number", "boolean", "enum", "const", "null"]
    match rng.choice(kinds + (["object", "object", "array", "anyOf", "dict"] if depth < 2 else [])):
        case "string":
            return string_schema(rng)
        case "number":
            return number_schema(rng)
        case "boolean":
            return {"type": "boolean"}
        case "null":
            return {"type": ["null", rng.choice(["string", "integer"])]}
        case "enum":
            values = ["a", 'b"c', 1, 2.5, None, True, {"x": 1, "y": []}, [1, "é"], "\n"]
            return {"enum": rng.sample(values, rng.randint(1, 4))}
        case "const":
            return {"const": rng.choice(["k", 3, {"a": []}])}
        case "object":
            return object_schema(rng, depth)
        case "array":
            return array_schema(rng, depth)
        case "anyOf":
            return {"anyOf": [schema(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    return {"type": "object", "additionalProperties": schema(rng, depth + 1)}


def drawn(rng: random.Random, dfa: DFA, max_length: int) -> str:
    """Draw a random text of a DFA; behind `max_length` characters the shortest path to an end."""
    return "".join(map(chr, drawn_symbols(rng, dfa, max_length)))


def drawn_symbols(rng: random.Random, dfa: DFA, max_length: int) -> list[int]:
    """As `drawn`, for texts with special tokens."""
    left = _left(dfa)
    state = 0
    text: list[int] = []
    while True:
        kinds = np.flatnonzero(dfa.table[state] >= 0).tolist()
        if dfa.final[state] and (not kinds or len(text) > max_length or rng.random() < 0.2):
            return text
        if len(text) > max_length:
            kinds = [kind for kind in kinds if left[dfa.table[state, kind]] < left[state]]
        kind = rng.choice(kinds)
        first, last = rng.choice(dfa.alphabet.charsets[kind].intervals)
        code = rng.choice(
            [first, last, rng.randint(first, last), rng.randint(first, min(last, first + 90))]
        )
        text.append(code)
        state = int(dfa.table[state, kind])


def _left(dfa: DFA) -> np.ndarray:
    """How far each state is from an end."""
    left = np.where(dfa.final, 0, LARGE)
    while True:
        reached = np.where(dfa.table >= 0, left[dfa.table], LARGE).min(axis=1, initial=LARGE) + 1
        nearer = np.minimum(left, reached)
        if (nearer == left).all():
            return left
        left = nearer


class _Bytes:
    """A tokenizer of single bytes, as llguidance wants one."""

    eos_token_id, bos_token_id = 256, None
    tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<eos>")
    special_token_ids = (256,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@cache
def _tokenizer() -> Any:
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()), slices=[])


@lru_cache(maxsize=64)
def _matcher(grammar: str) -> Any:
    matcher = llguidance.LLMatcher(_tokenizer(), grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def _accepts(grammar: str, text: str) -> bool:
    matcher = _matcher(grammar).deep_copy()
    read = matcher.try_consume_tokens(list(text.encode()))
    assert not matcher.is_error(), matcher.get_error()
    return bool(read == len(text.encode()) and matcher.is_accepting())


def guidance_accepts(given: Schema, text: str) -> bool:
    """Return True where llguidance accepts a text as JSON of a schema."""
    return _accepts(llguidance.LLMatcher.grammar_from_json_schema(json.dumps(given)), text)


def guidance_matches(source: str, text: str) -> bool:
    """Return True where llguidance finds that a pattern matches a whole text."""
    return _accepts(llguidance.LLMatcher.grammar_from_regex(source), text)
