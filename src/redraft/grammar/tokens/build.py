"""Build a TokenDFA: from a DFA over characters and the bytes of a vocabulary.

characters -> bytes -> token transitions -> special and end tokens -> trim -> edges and labels
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintError, ConstraintLimitError, ConstraintUnsatisfiedError
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.graph import distances
from redraft.grammar.tokens.token_dfa import Ints, TokenDFA
from redraft.grammar.tokens.token_transitions import TokenTransitions, VocabularyBytes
from redraft.grammar.tokens.utf8 import ByteDFA

MAX_TRANSITIONS = 2_000_000
MAX_EDGES = 100_000  # inference on a canvas of 256 positions needs 200 MB with this many
NO_TOKENS = "no tokens of this vocabulary spell a text that the constraint admits"
TOO_LARGE = "too large; lower its bounds (lengths, repetitions, depth)"


def build_token_dfa(
    dfa: DFA,
    vocabulary: VocabularyBytes,
    eos_ids: Collection[int],
    filler_ids: Collection[int],
    vocab_size: int,
) -> TokenDFA:
    """Build the DFA of the token sequences that spell a text of `dfa`, end it, and fill the
    rest of a canvas.

    Args:
        eos_ids: tokens that end a text.
        filler_ids: tokens that may stand behind the end, beside `eos_ids`.
        vocab_size: the number of tokens of the model.

    Raises:
        ConstraintUnsatisfiedError: no tokens spell any text of `dfa`.
        ConstraintError: the result is too large.
    """
    if dfa.empty:
        raise ConstraintUnsatisfiedError("the constraint admits no text at all")
    byte_dfa = ByteDFA.of(dfa)
    ordinary = TokenTransitions(byte_dfa, vocabulary)
    ended = len(byte_dfa.table)
    token_class = np.full(vocab_size, -1, dtype=np.int64)
    known = min(vocab_size, len(ordinary.token_class))
    token_class[:known] = ordinary.token_class[:known]
    functions = list(ordinary.functions)
    # Each special token and each end token is a class of its own.
    for token, arcs in _special_transitions(byte_dfa, eos_ids, filler_ids, ended).items():
        if token < vocab_size:
            token_class[token] = len(functions)
            functions.append((np.array([s for s, _ in arcs]), np.array([t for _, t in arcs])))
    used, token_class[token_class >= 0] = np.unique(
        token_class[token_class >= 0], return_inverse=True
    )
    if not len(used):
        raise ConstraintUnsatisfiedError(NO_TOKENS)
    functions = [functions[number] for number in used.tolist()]
    sizes = [len(states) for states, _ in functions]
    return _trimmed(
        np.append(byte_dfa.final, True),
        token_class,
        np.repeat(np.arange(len(functions)), sizes),
        np.concatenate([states for states, _ in functions]),
        np.concatenate([reached for _, reached in functions]),
    )


def _special_transitions(
    byte_dfa: ByteDFA, eos_ids: Collection[int], filler_ids: Collection[int], ended: int
) -> dict[int, list[tuple[int, int]]]:
    """Return the (state, next state) pairs of tokens without bytes: the special tokens inside
    texts, the end tokens, and the fillers behind the end."""
    found: dict[int, dict[int, int]] = {}
    inside = {token for _, token, _ in byte_dfa.special}
    if both := sorted(inside & set(eos_ids)):
        raise ConstraintError(
            f"token {both[0]} stands inside the constraint's texts: take it out of eos_token_id"
        )
    for state, token, target in byte_dfa.special:
        found.setdefault(token, {})[state] = target
    for token in eos_ids:
        for state in np.flatnonzero(byte_dfa.final).tolist():
            found.setdefault(token, {}).setdefault(state, ended)
    for token in (*eos_ids, *filler_ids):
        found.setdefault(token, {})[ended] = ended
    return {token: sorted(arcs.items()) for token, arcs in found.items()}


def _trimmed(
    final: NDArray[np.bool_], token_class: Ints, number: Ints, source: Ints, target: Ints
) -> TokenDFA:
    """Build the DFA from transitions, without states and classes that lie on no accepting path.

    Args:
        number, source, target: int64 [T], the class and the states of each transition.
    """
    count = len(final)
    live = distances(source, target, np.array([0]), count) >= 0
    live &= distances(target, source, np.flatnonzero(final), count) >= 0
    if not live[0]:
        raise ConstraintUnsatisfiedError(NO_TOKENS)
    live[-1] = True
    kept = live[source] & live[target]
    number, source, target = number[kept], source[kept], target[kept]
    if len(number) > MAX_TRANSITIONS:
        raise ConstraintLimitError(f"the constraint has {len(number)} transitions: {TOO_LARGE}")
    renumbered = np.cumsum(live) - 1
    number, source, target, token_class = _merge_classes(
        number, renumbered[source], renumbered[target], token_class
    )
    order = np.lexsort((source, number))
    number, source, target = number[order], source[order], target[order]
    edges, edge_of = np.unique(source * count + target, return_inverse=True)
    if len(edges) > MAX_EDGES:
        raise ConstraintLimitError(
            f"the constraint has {len(edges)} edges between states: {TOO_LARGE}"
        )
    edge_label, label_start, label_classes = _labels(edge_of, number, len(edges))
    return TokenDFA(
        start=0,
        final=final[live],
        token_class=token_class,
        class_count=int(number[-1]) + 1,
        edge_source=edges // count,
        edge_target=edges % count,
        edge_label=edge_label,
        label_start=label_start,
        label_classes=label_classes,
        transition_source=source,
        transition_target=target,
        transition_class=number,
    )


def _merge_classes(
    number: Ints, source: Ints, target: Ints, token_class: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Merge the classes whose functions became equal, and drop those that became empty.

    Returns:
        The class, the source and the target of each transition, and the class of each token.
    """
    merged: dict[tuple[bytes, bytes], int] = {}
    renumbered = np.full(int(max(number.max(), token_class.max())) + 1, -1, dtype=np.int64)
    order = np.lexsort((source, number))
    bounds = np.flatnonzero(np.diff(number[order], prepend=-1, append=number.max() + 1))
    kept = np.zeros(len(number), dtype=bool)
    for first, past in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = order[first:past]
        key = source[part].tobytes(), target[part].tobytes()
        if key not in merged:
            merged[key] = len(merged)
            kept[part] = True
        renumbered[number[part[0]]] = merged[key]
    return (
        renumbered[number[kept]],
        source[kept],
        target[kept],
        np.where(token_class < 0, -1, renumbered[token_class]),
    )


def _labels(edge_of: Ints, number: Ints, edge_count: int) -> tuple[Ints, Ints, Ints]:
    """Return the label of each edge, where each label begins, and the classes of all labels.

    Args:
        edge_of: int64 [T], the edge of each transition.
        number: int64 [T], its class.
    """
    order = np.lexsort((number, edge_of))
    bounds = np.searchsorted(edge_of[order], np.arange(edge_count + 1)).tolist()
    ordered = number[order]
    found: dict[bytes, int] = {}
    edge_label = np.empty(edge_count, dtype=np.int64)
    labels: list[Ints] = []
    for edge in range(edge_count):
        label = ordered[bounds[edge] : bounds[edge + 1]]
        key = label.tobytes()
        if key not in found:
            found[key] = len(labels)
            labels.append(label)
        edge_label[edge] = found[key]
    starts = np.cumsum([0, *(len(label) for label in labels)])[:-1]
    return edge_label, starts, np.concatenate(labels)
