"""Inference on a canvas, against all texts written out."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter

import numpy as np
import pytest

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.inference import ClassWeights, infer
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.grammar.tokens.token_transitions import VocabularyBytes

VOCABULARY: list[bytes | None] = [b"a", b"b", b"ab", b"ba", b"aa", b"c", b"bc", None, None]
END, PAD = 7, 8
PATTERNS = ["a*b+", "(ab|c)*", "a{2,4}c?", "[ab]*c[ab]*", "(a|b){0,3}", "a+(bc)?", "(aa|b)+c"]
Found = dict[tuple[int, ...], float]


def dfa_of(source: str) -> TokenDFA:
    return build_token_dfa(
        minimal_dfa(regex_fullmatch(source)),
        VocabularyBytes(VOCABULARY),
        [END],
        [PAD],
        len(VOCABULARY),
    )


def written_out(source: str, log_probs: np.ndarray) -> Found:
    """Every valid sequence of tokens and its log probability."""
    found = {}
    for tokens in itertools.product(range(9), repeat=len(log_probs)):
        stop = tokens.index(END) if END in tokens else len(tokens)
        if PAD in tokens[:stop] or not set(tokens[stop:]) <= {END, PAD}:
            continue
        text = b"".join(VOCABULARY[token] or b"" for token in tokens[:stop]).decode()
        weight = sum(log_probs[at, token] for at, token in enumerate(tokens))
        if re.fullmatch(source, text) and weight > -np.inf:
            found[tokens] = float(weight)
    return found


def log_sum(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def weights_of(dfa: TokenDFA, log_probs: np.ndarray, given: dict[int, int]) -> ClassWeights:
    mass = np.empty((len(log_probs), dfa.class_count))
    best = np.empty_like(mass)
    for number in range(dfa.class_count):
        members = log_probs[:, dfa.token_class == number]
        best[:, number] = members.max(axis=1)
        mass[:, number] = [log_sum(row.tolist()) for row in members]
    classes = np.full(len(log_probs), -1)
    for at, token in given.items():
        classes[at] = dfa.token_class[token]
    return ClassWeights(mass, best, classes)


def case(seed: int) -> tuple[str, TokenDFA, np.ndarray, dict[int, int]]:
    """A pattern, its dfa, log probabilities of 1 to 4 positions, and a frozen token in a
    third of all cases. In some, what is valid is nearly impossible."""
    rng, draws = random.Random(seed), np.random.default_rng(seed)
    source = rng.choice(PATTERNS)
    dfa = dfa_of(source)
    log_probs = draws.normal(0, rng.choice([0.5, 3, 60]), (rng.randint(1, 4), 9))
    log_probs -= np.log(
        np.exp(log_probs - log_probs.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    )
    token = rng.randrange(9)
    given = (
        {rng.randrange(len(log_probs)): token}
        if seed % 3 == 0 and dfa.token_class[token] >= 0
        else {}
    )
    return source, dfa, log_probs, given


def frozen(log_probs: np.ndarray, given: dict[int, int]) -> np.ndarray:
    changed = log_probs.copy()
    for at, token in given.items():
        changed[at] = -np.inf
        changed[at, token] = 0.0
    return changed


@pytest.mark.parametrize("seed", range(120))
def test_inference_is_what_enumeration_finds(seed: int) -> None:
    source, dfa, log_probs, given = case(seed)
    expected = written_out(source, frozen(log_probs, given))
    weights, draws = (
        weights_of(dfa, log_probs, given),
        np.random.default_rng(seed).random(len(log_probs)),
    )
    if not expected:
        with pytest.raises(ConstraintUnsatisfiedError):
            infer(dfa, weights, dfa.start, dfa.final, draws)
        return
    found = infer(dfa, weights, dfa.start, dfa.final, draws)
    total = log_sum(list(expected.values()))
    assert found.log_partition == pytest.approx(total, abs=1e-6 + 1e-9 * abs(total))
    best = max(expected, key=lambda tokens: expected[tokens])
    likeliest = weights.best.copy()
    likeliest[list(given)] = 0.0
    chosen = sum(likeliest[at, number] for at, number in enumerate(found.best))
    assert chosen == pytest.approx(expected[best], abs=1e-9 + 1e-9 * abs(expected[best]))
    marginals = np.zeros_like(found.marginals)
    for tokens, weight in expected.items():
        for at, token in enumerate(tokens):
            marginals[at, dfa.token_class[token]] += math.exp(weight - total)
    assert np.abs(marginals - found.marginals).max() < 1e-8
    assert ((found.uniform > 0) & (found.uniform < 1)).all()


@pytest.mark.parametrize("seed", [1, 2, 4, 7, 9, 12])
def test_samples_are_distributed_as_the_texts_are(seed: int) -> None:
    """Chi-squared, at odds of a thousand to one; the classes of all sequences, their draws
    fresh."""
    source, dfa, log_probs, given = case(seed)
    log_probs = np.clip(log_probs, -4, None)
    weights = weights_of(dfa, log_probs, given)
    written = written_out(source, frozen(log_probs, given))
    if not written:
        pytest.skip("no text fits")
    total = log_sum(list(written.values()))
    expected: Counter[tuple[int, ...]] = Counter()
    for tokens, weight in written.items():
        expected[tuple(dfa.token_class[list(tokens)].tolist())] += math.exp(weight - total)
    draws = np.random.default_rng(seed)
    count = 3000
    seen = Counter(
        tuple(
            infer(dfa, weights, dfa.start, dfa.final, draws.random(len(log_probs))).sample.tolist()
        )
        for _ in range(count)
    )
    assert set(seen) <= set(expected)
    often = {key: share for key, share in expected.items() if share * count > 5}
    square = sum((seen[key] - count * share) ** 2 / (count * share) for key, share in often.items())
    degrees = max(1, len(often) - 1)
    assert square < degrees + 3.1 * math.sqrt(2 * degrees) + 7, (square, degrees)


def test_impossible_weights_still_give_a_valid_text() -> None:
    """Where the model gives what is needed no mass at all, the text is unlikely, not invalid."""
    dfa = dfa_of("(aa|b)+c")
    mass = np.zeros((40, dfa.class_count))
    mass[:, dfa.token_class[5]] = -np.inf
    best = mass.copy()
    weights = ClassWeights(mass, best, np.full(40, -1))
    found = infer(dfa, weights, dfa.start, dfa.final, np.random.default_rng(0).random(40))
    for classes in (found.best, found.sample):
        tokens = [int(np.flatnonzero(dfa.token_class == number)[0]) for number in classes]
        assert dfa.final[dfa.state_after(dfa.start, tokens)]


def test_what_cannot_stand_somewhere_does_not_hide_what_can() -> None:
    """A token of enormous weight that the constraint rules out leaves the choice between others as
    it is."""
    dfa = dfa_of("ac|ba")
    mass = np.full((3, dfa.class_count), -5.0)
    mass[0, dfa.token_class[0]], mass[0, dfa.token_class[1]] = -1e9, -1e9 + 3
    mass[0, dfa.token_class[3]], mass[0, dfa.token_class[END]] = -2e9, 1e9
    weights = ClassWeights(mass, mass, np.full(3, -1))
    found = infer(dfa, weights, dfa.start, dfa.final, np.full(3, 0.5))
    assert found.best[0] == found.sample[0] == dfa.token_class[1]
    assert found.marginals[0, dfa.token_class[1]] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)
