"""Affinity: which replica has the beginning of a prompt in its prefix cache, as far as is known.

A prompt goes to the replica that was last given its longest known beginning. A new one goes where
its model's rank of replicas says, which needs no memory and changes little when a replica comes or
goes. Neither may have more than its share of what runs (consistent hashing with bounded loads):
then the next in rank takes it, and has the beginning cached from then on.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

MAX_KNOWN = 1 << 16
# How much more than an equal share a replica may have.
SHARE = 1.25


class PrefixAffinity:
    """Remembers which replica was given which beginnings.

    Args:
        max_known: beginnings that are remembered; the oldest are forgotten.
    """

    def __init__(self, max_known: int = MAX_KNOWN) -> None:
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._max_known = max_known

    def order(
        self, prefixes: Sequence[bytes], replicas: Collection[str], loads: Mapping[str, int]
    ) -> list[str]:
        """Return all replicas, that which should take a request first.

        Args:
            prefixes: digests of the beginnings of its prompt, the shortest first.
            loads: requests that each replica has.
        """
        total = sum(loads.get(one, 0) for one in replicas)
        limit = math.ceil(SHARE * (total + 1) / max(1, len(replicas)))
        ranked = sorted(replicas, key=lambda one: _rank(prefixes, one), reverse=True)
        if (found := self._longest(prefixes, replicas)) is not None:
            ranked.remove(found)
            ranked.insert(0, found)
        free = [one for one in ranked if loads.get(one, 0) < limit]
        rest = sorted((one for one in ranked if one not in free), key=lambda one: loads[one])
        return [*free, *rest]

    def _longest(self, prefixes: Sequence[bytes], replicas: Collection[str]) -> str | None:
        for digest in reversed(prefixes[1:]):  # the first is the model alone
            if (found := self._known.get(digest)) is not None and found in replicas:
                return found
        return None

    def note(self, prefixes: Sequence[bytes], replica: str) -> None:
        """Remember that a replica was given a prompt."""
        for digest in prefixes[1:]:
            self._known[digest] = replica
            self._known.move_to_end(digest)
        while len(self._known) > self._max_known:
            self._known.popitem(last=False)


def _rank(prefixes: Sequence[bytes], replica: str) -> bytes:
    """Return the height of a replica for prompts that begin alike (rendezvous hashing)."""
    begin = prefixes[min(1, len(prefixes) - 1)] if prefixes else b""
    return hashlib.blake2b(begin + replica.encode(), digest_size=8).digest()
