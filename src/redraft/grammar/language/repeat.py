"""Repeat a DFA many times without building an NFA of as many copies."""

from __future__ import annotations

import numpy as np

from redraft.grammar.budget import spend
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA, check_states
from redraft.grammar.language.expression import Language, Repeat
from redraft.grammar.language.minimise import DEAD

# Fewer copies are as fast by way of an NFA.
FEW = 4


def repeated(item: DFA, minimum: int, maximum: int | None) -> DFA:
    """Return the texts of `minimum` to `maximum` items, one behind the other; None is no limit.

    Raises:
        ConstraintError: there are too many states.
    """
    copies = max(minimum, 1) if maximum is None else maximum
    if copies <= FEW or not _is_simple(item):
        return minimal_dfa(Repeat(Language(item), minimum, maximum))
    inner = len(item.table) - 1
    check_states(1 + copies * inner)
    # State 0 is before the first item; the states of copy k follow, all but the item's start.
    own = item.table[1:]
    begin = item.table[0]
    final = item.final[1:]
    table = np.full((1 + copies * inner, item.table.shape[1]), DEAD, dtype=np.int32)
    table[0] = begin  # the states of the first copy have the item's own numbers
    ends = np.zeros(len(table), dtype=bool)
    ends[0] = minimum == 0
    for copy in range(copies):
        spend(len(own))
        part = slice(1 + copy * inner, 1 + (copy + 1) * inner)
        rows = np.where(own == DEAD, DEAD, own + copy * inner)
        following = copy + 1 if copy + 1 < copies else copy if maximum is None else None
        if following is not None:
            after = np.where(begin == DEAD, DEAD, begin + following * inner)
            rows[final] = np.where(rows[final] == DEAD, after, rows[final])
        table[part] = rows
        ends[part] = final & (copy + 1 >= minimum)
    return DFA(item.alphabet, table, ends)


def _is_simple(item: DFA) -> bool:
    """Return True where one symbol tells whether an item goes on or the next one begins, and no
    transition leads back to an item's start."""
    if item.final[0] or (item.table == 0).any() or item.empty:
        return False
    goes_on = (item.table[item.final] != DEAD).any(axis=0)
    return not (goes_on & (item.table[0] != DEAD)).any()
