"""Python snippets: small functions on lists of things, with a telling or a neutral name."""

from __future__ import annotations

import random
from string import Template

from redraft.tasks.snippets.snippet import Snippet, snippet
from redraft.tasks.snippets.themes import LIST, MAP, SINGLE, SUM, THEMES
from redraft.tasks.snippets.words import (
    FLAGS,
    LISTS,
    LOOPS,
    MAPS,
    NEUTRAL,
    NOUNS,
    NUMBERS,
    SINGLES,
    SUMS,
    TEXTS,
)

RESULTS = {SUM: SUMS, LIST: LISTS, MAP: MAPS, SINGLE: SINGLES}
# Slots whose word the rest need not determine: any other is as good, and the checker takes it.
FREE = ("acc", "it")


def draw_function(rng: random.Random) -> Snippet:
    """Return a function of three to eight lines, with or without a docstring, an early return and a
    name that says what it does."""
    theme = rng.choice(THEMES)
    noun, (first, second) = rng.choice(NOUNS), rng.sample(NUMBERS, 2)
    slots = {
        "noun": noun,
        "nouns": noun + "s",
        "num": first,
        "num2": second,
        "text": rng.choice(TEXTS),
    }
    slots |= {
        "flag": rng.choice(FLAGS),
        "n": str(rng.randint(2, 40)),
        "acc": rng.choice(RESULTS[theme.result]),
    }
    slots |= {
        "it": rng.choice((noun, noun, rng.choice(LOOPS))),
        "case": rng.choice(("lower", "upper", "title")),
    }
    slots |= {"every": rng.choice(("any", "all"))}
    if slots["case"] == slots["text"]:
        slots["case"] = "lower"
    neutral = rng.random() < 0.4
    used = theme.name + theme.doc + theme.parameters + theme.body
    words = {
        value
        for slot, value in slots.items()
        if slot not in FREE and f"${slot}" in used.replace("{", "")
    }
    words |= {"limit", "amount"} | ({"not"} if theme.name.startswith("not_") else set())
    name = rng.choice(NEUTRAL) if neutral else theme.name
    lines = [f"def {name if neutral else f'«{name}»'}({theme.parameters}):"]
    if rng.random() < 0.5:
        lines.append(f'    """{theme.doc}"""')
    if theme.guard and rng.random() < 0.4:
        lines += ["    if «not $nouns»:", f"        return «{theme.guard}»"]
    marked = Template("\n".join((*lines, theme.body))).substitute(slots)
    return snippet(marked, [*words, *([name] if neutral else [])])
