"""The words of snippets: few enough for a small vocabulary, enough for millions of snippets."""

from __future__ import annotations

NOUNS = tuple(
    "item order user book page file task team player card room ticket song photo car boat bird "
    "tree plant shop test note event message letter point tag token record report sensor driver "
    "student guest parcel invoice tool robot video project".split()
)
NUMBERS = tuple(
    "price size weight age score cost height hours rank speed width depth stock level".split()
)
TEXTS = tuple("name title label city owner email colour kind code status author street".split())
FLAGS = tuple("active done open valid ready paid visible fresh hidden late locked empty".split())
SUMS = tuple("total result amount acc value answer".split())
LISTS = tuple("found kept chosen result output rows".split())
MAPS = tuple("table lookup result groups known".split())
SINGLES = tuple("best top winner pick".split())
LOOPS = tuple("x each entry one".split())
NEUTRAL = tuple(
    "run work apply handle process main helper step solve compute build prepare".split()
)

# Values that the rest of a snippet does not determine: the checker takes any other of the list.
PEOPLE = tuple(
    "Ada Ben Cleo Dora Emil Finn Gita Hugo Ines Jon Kim Lena Max Nora Otto Pia Quinn Rosa Sam "
    "Tess".split()
)
CITIES = tuple(
    "Rome Oslo Bern Lima Cairo Delhi Paris Milan Kyoto Tunis Quito Porto Leeds Accra Turin Malmo "
    "Graz Lyon".split()
)

# Columns of records whose value is the same in every record, and their values.
SAME = {
    "team": ("red", "blue", "green", "gold"),
    "year": ("2023", "2024", "2025", "2026"),
    "unit": ("km", "kg", "cm", "ml"),
    "kind": ("basic", "extra", "trial"),
    "open": ("true", "false"),
}

# The type of each field in a schema.
TYPES = {
    **dict.fromkeys(TEXTS, "string"),
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(FLAGS, "boolean"),
}
