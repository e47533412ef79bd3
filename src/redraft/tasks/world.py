"""A small world of 120 consistent entities (towns, rivers, mountains, people), and wiki pages.

The world is generated from a fixed seed and never changes. A page states facts of its graph and
links to other pages.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache

from redraft.tasks.task import Example

SEED = 1742
COUNTS = {"region": 6, "mountain": 12, "river": 18, "town": 40, "person": 44}
SYLLABLES = (
    "bra cor dun el fen gar hol is kel lor mar nor or pel quin ros sel tor ul ver wyn yar zan tha "
    "mir"
).split()
ENDINGS = {
    "region": ("ia", "land"),
    "mountain": (" Peak", " Horn"),
    "river": ("a", "en"),
    "town": ("ton", "burg", "by"),
    "person": ("",),
}
TRADES = ("painter", "baker", "poet", "smith", "judge", "sailor", "miller", "teacher")
STYLES = ("short", "full", "story")


@dataclass(frozen=True)
class Entity:
    """The subject of a page.

    Attributes:
        facts: name -> value; a value is a number, a word or the name of another entity.
    """

    name: str
    kind: str
    facts: dict[str, str]


# The sentences of a fact of a kind; {0} is its value, linked where it names an entity.
SENTENCES: dict[tuple[str, str], tuple[str, ...]] = {
    ("region", "capital"): ("Its capital is {0}.", "{0} is its capital."),
    ("region", "founded"): ("It was founded in {0}.", "It is a region since {0}."),
    ("mountain", "region"): ("It stands in {0}.", "It lies in {0}."),
    ("mountain", "height"): ("It is {0} m high.", "Its height is {0} m."),
    ("river", "source"): ("It rises on {0}.", "Its source is on {0}."),
    ("river", "length"): ("It is {0} km long.", "Its length is {0} km."),
    ("town", "region"): ("It lies in {0}.", "It is a part of {0}."),
    ("town", "river"): ("It stands on the {0}.", "The {0} flows through it."),
    ("town", "founded"): ("It was founded in {0}.", "Its first stone was laid in {0}."),
    ("person", "town"): ("The home was {0}.", "{0} was home."),
    ("person", "born"): ("The year of birth is {0}.", "Born in {0}."),
    ("person", "trade"): ("The trade was {0}.", "Known as a {0}."),
}


@cache
def world() -> dict[str, Entity]:
    """Return all entities by name; they are the same in every process."""
    rng = random.Random(SEED)
    names: dict[str, list[str]] = {kind: [] for kind in COUNTS}
    taken: set[str] = set()
    for kind, count in COUNTS.items():
        while len(names[kind]) < count:
            parts = rng.sample(SYLLABLES, 2)
            name = "".join(parts).capitalize() + rng.choice(ENDINGS[kind])
            if kind == "person":
                name += " " + "".join(rng.sample(SYLLABLES, 2)).capitalize()
            if name not in taken:
                taken.add(name)
                names[kind].append(name)
    entities: dict[str, Entity] = {}
    for kind in COUNTS:
        for number, name in enumerate(names[kind]):
            entities[name] = Entity(name, kind, _facts(kind, number, names, rng))
    return entities


def _facts(
    kind: str, number: int, names: dict[str, list[str]], rng: random.Random
) -> dict[str, str]:
    if kind == "region":
        # The first towns are the capitals.
        return {"capital": names["town"][number], "founded": str(rng.randrange(900, 1700))}
    if kind == "mountain":
        return {"region": rng.choice(names["region"]), "height": str(rng.randrange(900, 4900, 10))}
    if kind == "river":
        return {"source": rng.choice(names["mountain"]), "length": str(rng.randrange(40, 900, 5))}
    if kind == "town":
        region = (
            names["region"][number]
            if number < len(names["region"])
            else rng.choice(names["region"])
        )
        return {
            "region": region,
            "river": rng.choice(names["river"]),
            "founded": str(rng.randrange(900, 1700)),
        }
    return {
        "town": rng.choice(names["town"]),
        "born": str(rng.randrange(1700, 1960)),
        "trade": rng.choice(TRADES),
    }


@dataclass
class Wiki:
    """Pages of the world; difficulty is the number of facts on the page.

    The prompt is `wiki NAME (STYLE)` or `wiki NAME (TOPICS)`; topics are facts, in the order that
    the page must have. The facts of a held-out page are in the training set, in other styles and
    orders.
    """

    name: str = field(default="wiki", init=False)

    def draw(self, rng: random.Random) -> Example:
        entity = rng.choice(list(world().values()))
        facts = list(entity.facts)
        wanted = (
            rng.choice(STYLES)
            if rng.random() < 0.5
            else ", ".join(rng.sample(facts, rng.randint(1, len(facts))))
        )
        return Example(
            f"wiki {entity.name} ({wanted})", page(entity, wanted), len(chosen(entity, wanted))
        )

    def check(self, example: Example, text: str) -> bool:
        """Return True for a page about the subject that states the right facts in the right order,
        with their links."""
        name, wanted = subject_and_style(example.prompt)
        return (
            parses(text)
            and text.startswith(f"<h1>{name}</h1>")
            and claims(text) == claims(page(world()[name], wanted))
        )


def subject_and_style(prompt: str) -> tuple[str, str]:
    """Return the subject of a prompt, and its style or topics."""
    name, _, wanted = prompt.removeprefix("wiki ").removesuffix(")").rpartition(" (")
    return name, wanted


def chosen(entity: Entity, wanted: str) -> list[str]:
    """Return the facts of a page: the first (`short`), all (`full`), all backwards (`story`), or
    the topics."""
    facts = list(entity.facts)
    styles = {"short": facts[:1], "full": facts, "story": facts[::-1]}
    return styles.get(wanted) or wanted.split(", ")


def page(entity: Entity, wanted: str) -> str:
    """Return the page about an entity in a style, or with topics; `story` has other sentences."""
    sentences = [f"{entity.name} is a {entity.kind}."]
    for fact in chosen(entity, wanted):
        value = entity.facts[fact]
        words = SENTENCES[entity.kind, fact][wanted == "story"]
        sentences.append(words.format(f"<a>{value}</a>" if value in world() else value))
    return f"<h1>{entity.name}</h1><p>{' '.join(sentences)}</p>"


def parses(text: str) -> bool:
    """Return True for a page of the subset: h1, then p, with closed links and no other tags."""
    match = re.fullmatch(r"<h1>[^<>]+</h1><p>(.*)</p>", text)
    return match is not None and not re.search(r"[<>]", re.sub(r"<a>[^<>]+</a>", "", match[1]))


def links(text: str) -> list[str]:
    """Return the titles that a page links to."""
    return re.findall(r"<a>([^<>]*)</a>", text)


def claims(text: str) -> list[tuple[str, str]]:
    """Return the claims of a page, one for each sentence.

    A claim is ("kind", the kind), (fact, its value with its link), or ("?", the sentence) for a
    sentence that is not known.
    """
    match = re.fullmatch(r"<h1>([^<>]+)</h1><p>(.*)</p>", text)
    entity = world().get(match[1]) if match else None
    if match is None or entity is None:
        return []
    return [_claim(sentence, entity) for sentence in match[2].split(". ")]


def _claim(sentence: str, entity: Entity) -> tuple[str, str]:
    sentence = sentence.removesuffix(".")
    if kind := re.fullmatch(rf"{re.escape(entity.name)} is a (\w+)", sentence):
        return "kind", kind[1]
    for fact in entity.facts:
        for form in SENTENCES[entity.kind, fact]:
            before, after = map(re.escape, form.removesuffix(".").split("{0}"))
            if value := re.fullmatch(rf"{before}((?:<a>)?[^<>]+(?:</a>)?){after}", sentence):
                return fact, value[1]
    return "?", sentence
