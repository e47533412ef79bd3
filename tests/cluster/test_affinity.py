"""Requests go where their beginning is cached, and no replica gets more than its share."""

from __future__ import annotations

import random
from collections import Counter

from redraft.cluster.affinity import PrefixAffinity

REPLICAS = ("a", "b", "c", "d")


def test_a_conversation_stays_where_it_was() -> None:
    affinity, none = PrefixAffinity(), dict.fromkeys(REPLICAS, 0)
    for number in range(50):
        known = (b"model", b"begin %d" % number)
        first = affinity.order(known, REPLICAS, none)[0]
        affinity.note(known, first)
        for turn in range(5):
            known = (*known, b"%d turn %d" % (number, turn))
            assert affinity.order(known, REPLICAS, none)[0] == first
            affinity.note(known, first)


def test_a_busy_replica_hands_on_and_the_next_one_knows_then() -> None:
    affinity, known = PrefixAffinity(), (b"model", b"system")
    first, second = affinity.order(known, REPLICAS, {})[:2]
    affinity.note(known, first)
    loads = {first: 4, second: 1}
    taken = affinity.order((*known, b"other"), REPLICAS, loads)[0]
    assert taken != first
    affinity.note((*known, b"other"), taken)
    assert affinity.order((*known, b"other"), REPLICAS, {})[0] == taken


def test_no_replica_gets_much_more_than_its_share() -> None:
    rng, affinity = random.Random(3), PrefixAffinity(max_known=500)
    loads: Counter[str] = Counter()
    running: list[str] = []
    for _ in range(3000):
        known = (b"model", b"%d" % int(40 * rng.random() ** 3))
        chosen = affinity.order(known, REPLICAS, loads)[0]
        assert loads[chosen] <= 1.25 * (sum(loads.values()) + 1) / len(REPLICAS)
        affinity.note(known, chosen)
        loads[chosen] += 1
        running.append(chosen)
        if len(running) > 20:
            loads[running.pop(rng.randrange(20))] -= 1


def test_a_replica_that_left_is_not_chosen_and_the_others_keep_theirs() -> None:
    affinity, left = PrefixAffinity(), REPLICAS[:3]
    for number in range(100):
        known = (b"model", b"%d" % number)
        before = affinity.order(known, REPLICAS, {})[0]
        after = affinity.order(known, left, {})[0]
        assert after == before or before == "d"
        assert sorted(affinity.order(known, left, {"a": 9})) == sorted(left)


def test_adapters_of_one_prompt_spread_over_the_replicas() -> None:
    affinity = PrefixAffinity()
    first = {
        affinity.order((b"adapter %d" % n, b"%d text" % n), REPLICAS, {})[0] for n in range(40)
    }
    assert first == set(REPLICAS)
