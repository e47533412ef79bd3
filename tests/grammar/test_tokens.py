"""From characters to bytes to tokens, against walks byte by byte."""

from __future__ import annotations

import random

import numpy as np
import pytest

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.tokens.build import build_token_dfa
from redraft.grammar.tokens.token_transitions import TokenTransitions, VocabularyBytes
from redraft.grammar.tokens.utf8 import ByteDFA, utf8_ranges
from tests.grammar.cases import pattern


def test_ranges_of_characters_become_exactly_their_bytes() -> None:
    rng = random.Random(1)
    edges = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
    for _ in range(150):
        first, last = sorted(
            rng.choice([rng.choice(edges), rng.randrange(0x1000), rng.randrange(0x110000)])
            for _ in range(2)
        )
        if first <= 0xDFFF and last >= 0xD800:
            continue
        ways = list(utf8_ranges(Charset(((first, last),))))
        assert all(len(way) == len({len(way)}) * len(way) for way in ways)
        for code in {
            first,
            last,
            first - 1,
            last + 1,
            *(rng.randint(first, last) for _ in range(20)),
            *edges,
        }:
            if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                continue
            spelled = chr(code).encode()
            fits = [way for way in ways if len(way) == len(spelled)]
            found = any(
                all(low <= byte <= high for byte, (low, high) in zip(spelled, way, strict=True))
                for way in fits
            )
            assert found == (first <= code <= last)


def words(rng: random.Random) -> list[bytes | None]:
    letters = [b"a", b"b", b"c", "é".encode(), b"\xc3", b"\xa9", b"1", b".", b"\n", "😀".encode()]
    return [
        None,
        *(b"".join(rng.choices(letters, k=rng.randint(1, 4))) for _ in range(300)),
        None,
        b"",
    ]


@pytest.mark.parametrize("seed", range(10))
def test_a_token_leads_where_its_bytes_lead(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = words(rng)
    letters = ByteDFA.of(minimal_dfa(regex_fullmatch(pattern(rng))))
    transitions = TokenTransitions(letters, VocabularyBytes(vocabulary))
    for token, spelled in enumerate(vocabulary):
        number = transitions.token_class[token]
        functions = (
            dict(zip(*(part.tolist() for part in transitions.functions[number]), strict=True))
            if number >= 0
            else {}
        )
        for start in range(len(letters.table)):
            state = start
            for byte in spelled or b"":
                state = int(letters.table[state, byte]) if state >= 0 else -1
            expected = {start: state} if spelled and state >= 0 else {}
            assert {start: functions[start]} if start in functions else expected == {}
            assert functions.get(start, -1) == expected.get(start, -1)
    # Classes are no finer than they need to be.
    keys = [(states.tobytes(), reached.tobytes()) for states, reached in transitions.functions]
    assert len(set(keys)) == len(keys)


def test_token_sequences_are_the_texts_of_the_language() -> None:
    rng = random.Random(7)
    for _ in range(12):
        vocabulary = words(rng)
        source = pattern(rng)
        language = minimal_dfa(regex_fullmatch(source))
        try:
            dfa = build_token_dfa(
                language, VocabularyBytes(vocabulary), [0], [301], len(vocabulary)
            )
        except ConstraintUnsatisfiedError:
            continue
        for _ in range(200):
            tokens = rng.choices(range(1, 301), k=rng.randint(0, 4))
            if rng.random() < 0.5:  # a walk that is allowed
                tokens, state = [], dfa.start
                for _ in range(rng.randint(0, 5)):
                    pairs = np.flatnonzero(dfa.transition_source == state)
                    if not len(pairs):
                        break
                    number = dfa.transition_class[rng.choice(pairs.tolist())]
                    tokens.append(
                        int(rng.choice(np.flatnonzero(dfa.token_class == number).tolist()))
                    )
                    state = dfa.state_after(state, tokens[-1:])
            state = dfa.state_after(dfa.start, tokens)
            text = [token for token in tokens if token not in (0, 301)]
            ended = [token in (0, 301) for token in tokens]
            try:
                spelled = b"".join(vocabulary[token] or b"" for token in text).decode()
            except UnicodeDecodeError:
                spelled = None
            tail = tokens[ended.index(True) :] if True in ended else []
            in_order = not tail or (tail[0] == 0 and all(token in (0, 301) for token in tail))
            valid = spelled is not None and language.accepts(spelled) and in_order
            assert (state is not None and bool(dfa.final[state])) == valid, (source, tokens)


def test_the_way_to_an_end_is_the_shortest() -> None:
    vocabulary: list[bytes | None] = [None, b"a", b"aa", b"aaa", b"b"]
    dfa = build_token_dfa(
        minimal_dfa(regex_fullmatch("a{7}b")), VocabularyBytes(vocabulary), [0], [], 5
    )
    assert dfa.tokens_to_final[dfa.start] == 4  # aaa aaa a b
    with pytest.raises(ConstraintUnsatisfiedError, match="no tokens of this vocabulary"):
        build_token_dfa(
            minimal_dfa(regex_fullmatch("abc")), VocabularyBytes(vocabulary), [0], [], 5
        )


def test_tokens_that_the_model_lacks_or_that_end_a_text_spell_nothing() -> None:
    """Texts that only these tokens could spell are not in the language."""
    vocabulary: list[bytes | None] = [None, b"a", b"b", b"x", b"c"]
    dfa = build_token_dfa(
        minimal_dfa(regex_fullmatch("ac|b{6}")), VocabularyBytes(vocabulary), [0], [], 4
    )
    assert dfa.tokens_to_final[dfa.start] == 6
    assert set(dfa.token_class[dfa.token_class >= 0].tolist()) == set(range(dfa.class_count))
    with pytest.raises(ConstraintUnsatisfiedError, match="no tokens of this vocabulary"):
        build_token_dfa(minimal_dfa(regex_fullmatch("c")), VocabularyBytes(vocabulary), [0], [], 4)
