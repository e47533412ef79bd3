"""JSON snippets: rows, totals, schemas, routes and indexes whose parts follow from one another."""

from __future__ import annotations

import random

from redraft.tasks.snippets.snippet import Snippet, snippet
from redraft.tasks.snippets.words import CITIES, FLAGS, NOUNS, NUMBERS, PEOPLE, SAME, TEXTS, TYPES


def draw_record(rng: random.Random) -> Snippet:
    """Return a JSON document of three to eight lines."""
    kind = rng.choice(
        (_rows, _rows, _people, _amounts, _values, _schema, _schema, _route, _index, _page)
    )
    return kind(rng)


def _object(lines: list[str]) -> str:
    return "{\n" + ",\n".join(lines) + "\n}"


def _list(lines: list[str]) -> str:
    return "[\n" + ",\n".join(lines) + "\n]"


def _inner(name: str, lines: list[str]) -> str:
    """Return a list of records as a field of an object."""
    return f'  "{name}": [\n' + ",\n".join("  " + line for line in lines) + "\n  ]"


def _rows(rng: random.Random) -> Snippet:
    """Records with the same keys: ids that count up, a free name or city, and a column whose value
    stays or grows by a step."""
    count, first = rng.randint(2, 4), rng.randint(1, 9)
    tie = "!" if count == 2 else ""
    free, names = rng.choice((("name", PEOPLE), ("city", CITIES)))
    chosen = rng.sample(names, count)
    same, step, stepped = rng.choice(list(SAME)), rng.choice((2, 5, 10)), rng.choice(NUMBERS)
    value = rng.choice(SAME[same])
    quoted = f"«{value}»" if same in ("year", "open") else f'"«{value}»"'
    form = rng.choice(("same", "step", "free", "both"))
    lines = []
    for row in range(count):
        fields = [f'"«id»": «{tie}{first + row}»', f'"«{free}»": "{chosen[row]}"']
        fields += [f'"«{same}»": {quoted}'] if form in ("same", "both") else []
        fields += (
            [f'"«{stepped}»": «{tie}{step * (first + row)}»'] if form in ("step", "both") else []
        )
        lines.append("  {" + ", ".join(fields) + "}")
    return snippet(_list(lines), ["id", free, same, value, stepped])


def _people(rng: random.Random) -> Snippet:
    """A list of people and their number."""
    count, first, nouns = rng.randint(2, 4), rng.randint(1, 9), rng.choice(NOUNS) + "s"
    tie = "!" if count == 2 else ""
    lines = [
        f'  {{"«id»": «{tie}{first + row}», "«name»": "{name}"}}'
        for row, name in enumerate(rng.sample(PEOPLE, count))
    ]
    items = _inner(nouns, lines)
    parts = [f'  "count": «{count}»', items]
    return snippet(_object(parts if rng.random() < 0.7 else parts[::-1]), ["id", "name", nouns])


def _amounts(rng: random.Random) -> Snippet:
    """Amounts of some people and their sum."""
    amounts, key = [rng.randint(1, 9) for _ in range(rng.randint(2, 3))], rng.choice(NUMBERS)
    names = rng.sample(PEOPLE, len(amounts))
    lines = [
        f'  {{"«name»": "{name}", "«{key}»": «!{value}»}}'
        for name, value in zip(names, amounts, strict=True)
    ]
    parts = [f'  "total": «!{sum(amounts)}»', _inner("items", lines)]
    return snippet(_object(parts if rng.random() < 0.7 else parts[::-1]), ["name", key, "items"])


def _values(rng: random.Random) -> Snippet:
    """A list of small numbers with its count, sum, minimum and maximum."""
    values = [rng.randint(1, 7) for _ in range(rng.randint(3, 4))]
    facts = {"count": len(values), "total": sum(values), "least": min(values), "most": max(values)}
    stated = [f'  "{key}": «!{value}»' for key, value in facts.items()]
    row = '·  "values": [' + ", ".join(map(str, values)) + "]"
    parts = [*stated, row] if rng.random() < 0.7 else [row, *stated]
    return snippet(_object([f'·  "name": "{rng.choice(PEOPLE)}"', *parts]), ["values", "name"])


def _schema(rng: random.Random) -> Snippet:
    """A schema: the type of each property, and the list of all as required."""
    fields = rng.sample(TEXTS + NUMBERS + FLAGS, rng.randint(2, 3))
    lines = [f'    "«{field}»": {{"«type»": "«{TYPES[field]}»"}}' for field in fields]
    properties = '  "properties": {\n' + ",\n".join(lines) + "\n  }"
    required = '  "required": [' + ", ".join(f'"«{field}»"' for field in fields) + "]"
    parts = [required, properties] if rng.random() < 0.5 else [properties, required]
    if len(fields) == 2:
        parts.insert(0, f'·  "title": "{rng.choice(NOUNS)}"')
    return snippet(_object(parts), fields)


def _route(rng: random.Random) -> Snippet:
    """A journey: every record begins where the one before it ends."""
    count, day = rng.randint(2, 3), rng.randint(1, 20)
    cities, dated = rng.sample(CITIES, count + 1), rng.random() < 0.5
    tie = "!" if count == 2 else ""
    lines = []
    for leg in range(count):
        start = f"«{cities[leg]}»" if leg else cities[leg]
        end = f"«{cities[leg + 1]}»" if leg < count - 1 else cities[leg + 1]
        number = f'"«day»": «{tie}{day + leg}», ' if dated else ""
        lines.append(f'  {{{number}"«from»": "{start}", "«to»": "{end}"}}')
    return snippet(_list(lines), ["day", "from", "to", *cities[1:-1]])


def _index(rng: random.Random) -> Snippet:
    """An order of names, and the place of each in it."""
    names, first = rng.sample(NOUNS, rng.randint(2, 3)), rng.randint(0, 1)
    order = '  "order": [' + ", ".join(f'"«{name}»"' for name in names) + "]"
    index = (
        '  "index": {'
        + ", ".join(f'"«{name}»": «!{first + at}»' for at, name in enumerate(names))
        + "}"
    )
    parts = [order, index] if rng.random() < 0.5 else [index, order]
    return snippet(_object([f'  "first": «!{first}»', *parts, f'  "size": «{len(names)}»']), names)


def _page(rng: random.Random) -> Snippet:
    """A page of a list: its number and its neighbours', and the count of its items."""
    page, items = rng.randint(2, 20), rng.sample(PEOPLE, rng.randint(2, 4))
    numbers = [
        f'  "{key}": «{value}»'
        for key, value in (("previous", page - 1), ("page", page), ("next", page + 1))
    ]
    listed = '·  "items": [' + ", ".join(f'"{item}"' for item in items) + "]"
    parts = [*numbers, f'  "count": «{len(items)}»', listed]
    return snippet(_object([f'·  "kind": "{rng.choice(NOUNS)}"', *parts]), ["items", "kind"])
