"""Themes of Python snippets: name, docstring and body, with marks (see `snippet`) and `$slots`."""

from __future__ import annotations

from typing import NamedTuple

SUM, LIST, MAP, SINGLE = "sum", "list", "map", "single"


class Theme(NamedTuple):
    """A kind of function.

    Attributes:
        result: the kind of name that `$acc` has.
        guard: the value of an early return for an empty list; without one there is none.
    """

    name: str
    doc: str
    parameters: str
    body: str
    result: str = SUM
    guard: str = ""


LOOP = "    for «$it» in «$nouns»:\n"
END = "\n    return «$acc»"
EMPTY_LIST = "    «$acc» = «![]»\n" + LOOP
EMPTY_MAP = "    «$acc» = «!{}»\n" + LOOP
ZERO = "    «$acc» = «!0»\n" + LOOP

THEMES = (
    Theme(
        "total_$num",
        "Add up the «$num» of all «$nouns».",
        "«$nouns»",
        ZERO + "        «$acc» «!+=» «$it».«$num»" + END,
        guard="0",
    ),
    Theme(
        "product_of_$num",
        "Multiply the «$num» of all «$nouns».",
        "«$nouns»",
        "    «$acc» = «!1»\n" + LOOP + "        «$acc» «!*=» «$it».«$num»" + END,
    ),
    Theme(
        "total_$num",
        "Add up «$num» times «$num2» of all $nouns.",
        "«$nouns»",
        ZERO + "        «$acc» «!+=» $it.«$num» «*» $it.«$num2»" + END,
    ),
    Theme(
        "count_over",
        "Count the $nouns with «$num» over «$n».",
        "«$nouns»",
        ZERO + "        if «$it».«$num» «>» «$n»:\n            «$acc» «!+= 1»" + END,
    ),
    Theme(
        "count_under",
        "Count the $nouns with «$num» under «$n».",
        "«$nouns»",
        ZERO + "        if «$it».«$num» «<» «$n»:\n            «$acc» «!+= 1»" + END,
    ),
    Theme(
        "${num}_over",
        "The $nouns with «$num» over the limit, «$n» if not told.",
        "«$nouns», «limit»=«$n»",
        EMPTY_LIST + "        if «$it.$num» «>» «limit»:\n            $acc.«!append»(«$it»)" + END,
        LIST,
        "[]",
    ),
    Theme(
        "${num}_under",
        "The $nouns with «$num» under the limit, «$n» if not told.",
        "«$nouns», «limit»=«$n»",
        EMPTY_LIST + "        if «$it.$num» «<» «limit»:\n            $acc.«!append»(«$it»)" + END,
        LIST,
        "[]",
    ),
    Theme(
        "${case}_$text",
        "Collect the «$text» of all $nouns in «$case» case.",
        "«$nouns»",
        EMPTY_LIST + "        $acc.«!append»(«$it.$text».«$case»())" + END,
        LIST,
        "[]",
    ),
    Theme(
        "${flag}_$text",
        "Collect the «$text» of all $nouns that are «$flag».",
        "«$nouns»",
        EMPTY_LIST + "        if «$it.$flag»:\n            «$acc».«!append»(«$it».«$text»)" + END,
        LIST,
    ),
    Theme(
        "not_${flag}_$text",
        "Collect the «$text» of all $nouns that are not «$flag».",
        "«$nouns»",
        EMPTY_LIST
        + "        if «not $it.$flag»:\n            «$acc».«!append»(«$it».«$text»)"
        + END,
        LIST,
    ),
    Theme(
        "list_$text",
        "List the «$text» of all $nouns that are «$flag».",
        "«$nouns»",
        "    return [«$it.$text» for «$it» in «$nouns» if «$it.$flag»]",
        LIST,
        "[]",
    ),
    Theme(
        "find_by_$text",
        "Find the first $noun with this «$text», or None.",
        "«$nouns», «$text»",
        LOOP + "        if «$it».«$text» == «$text»:\n            return «$it»\n    return «None»",
    ),
    Theme(
        "largest_$num",
        "Find the $noun with the largest «$num».",
        "«$nouns»",
        "    «$acc» = «!$nouns[0]»\n"
        + LOOP
        + "        if «$it.$num» «>» «$acc.$num»:\n            «!$acc = $it»"
        + END,
        SINGLE,
        "None",
    ),
    Theme(
        "smallest_$num",
        "Find the $noun with the smallest «$num».",
        "«$nouns»",
        "    «$acc» = «!$nouns[0]»\n"
        + LOOP
        + "        if «$it.$num» «<» «$acc.$num»:\n            «!$acc = $it»"
        + END,
        SINGLE,
        "None",
    ),
    Theme(
        "${nouns}_by_$text",
        "Map every «$text» to its «$noun».",
        "«$nouns»",
        EMPTY_MAP + "        «$acc»[«$it».«$text»] = $it" + END,
        MAP,
    ),
    Theme(
        "count_by_$text",
        "Count the $nouns of every «$text».",
        "«$nouns»",
        EMPTY_MAP + "        $acc[«$it».«$text»] = $acc.get($it.$text, 0) + 1" + END,
        MAP,
    ),
    Theme(
        "group_by_$text",
        "Group the $nouns by «$text».",
        "«$nouns»",
        EMPTY_MAP + "        $acc.«!setdefault»(«$it».«$text», []).«append»($it)" + END,
        MAP,
    ),
    Theme(
        "join_$text",
        "Join the «$text» of all «$nouns».",
        "«$nouns»",
        '    «$acc» = [«$it.$text» for «$it» in «$nouns»]\n    return ", ".«join»(«$acc»)',
        LIST,
    ),
    Theme(
        "show_$noun",
        "Show the «$text» and the «$num» of a «$noun».",
        "«$noun»",
        '    «$acc» = «$noun».«$text».«$case»()\n    return f"{«$acc»}: {«$noun».«$num»}"',
    ),
    Theme(
        "check_$noun",
        "Whether the $noun is «$flag» and its «$num» is over «$n».",
        "«$noun»",
        "    if not «$noun».«$flag»:\n        return «False»\n    return «$noun».«$num» «>» «$n»",
    ),
    Theme(
        "clean_$text",
        "Strip the «$text» of all «$nouns».",
        "«$nouns»",
        LOOP + "        «$it».«$text» = «$it.$text.strip()»\n    return «$nouns»",
    ),
    Theme(
        "mean_$num",
        "The mean «$num» of all «$nouns».",
        "«$nouns»",
        "    «$acc» = sum(«$it.$num» for «$it» in «$nouns»)\n    return «$acc» / len(«$nouns»)",
        guard="0",
    ),
    Theme(
        "add_$num",
        "Add to the «$num» of a «$noun», «$n» if not told.",
        "«$noun», «amount»=«$n»",
        "    if «$noun.$flag»:\n        «$noun».«$num» += «amount»\n    return «$noun».«$num»",
    ),
    Theme(
        "read_$nouns",
        "Read the «$nouns», one a line.",
        "«text»",
        "    «$nouns» = «![]»\n    for «$it» in «text».splitlines():\n        if «$it».strip():\n"
        "            «$nouns».«!append»(«$it.strip()»)\n    return «$nouns»",
    ),
    Theme(
        "take_$nouns",
        "Take up to «$n» «$nouns» off the list.",
        "«$nouns», «limit»=«$n»",
        "    «$acc» = «![]»\n    while «$nouns» and len(«$acc») < «limit»:\n"
        "        $acc.«!append»(«$nouns».pop())" + END,
        LIST,
    ),
    Theme(
        "${every}_$flag",
        "Whether «$every» of the $nouns are «$flag».",
        "«$nouns»",
        "    return «$every»(«$it.$flag» for «$it» in «$nouns»)",
    ),
    Theme(
        "number_$nouns",
        "Number the «$text» of all $nouns.",
        "«$nouns»",
        "    «$acc» = «![]»\n    for «number», «$it» in enumerate(«$nouns», 1):\n"
        '        $acc.«!append»(f"{«number»}: {«$it».«$text»}")' + END,
        LIST,
    ),
    Theme(
        "unique_$text",
        "Every «$text» of the $nouns once.",
        "«$nouns»",
        EMPTY_LIST
        + "        if «$it.$text» not in «$acc»:\n            «$acc».«!append»(«$it.$text»)"
        + END,
        LIST,
    ),
    Theme(
        "first_by_$num",
        "The first «$n» $nouns by «$num».",
        "«$nouns»",
        "    «$acc» = sorted(«$nouns», key=lambda «$it»: «$it.$num»)\n    return «$acc»[:«$n»]",
        LIST,
    ),
)
