"""Small edits by instruction: a to-do page, an instruction, and the page that results from it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import product

from redraft.tasks.task import Example

VERBS = (
    "buy",
    "call",
    "clean",
    "fix",
    "find",
    "feed",
    "paint",
    "pack",
    "read",
    "sell",
    "send",
    "water",
)
THINGS = (
    "milk",
    "bread",
    "the bike",
    "mum",
    "the cat",
    "the car",
    "a gift",
    "the garden",
    "the desk",
    "tickets",
    "the roof",
    "a letter",
    "the boat",
    "the books",
)
TEXTS = tuple(f"{verb} {thing}" for verb, thing in product(VERBS, THINGS))
TITLES = ("Today", "Home", "Garden", "Trip", "Work", "Party", "Weekend", "School")
COLOURS = ("red", "blue", "green", "grey", "white", "black")
MAX_ITEMS = 4


@dataclass(frozen=True)
class ToDoPage:
    """A to-do page; an item is its text, and True where it is done."""

    title: str
    colour: str
    items: tuple[tuple[str, bool], ...]

    def html(self) -> str:
        """Return the page in the small HTML subset of the demos."""
        items = "".join(f"<li>{'[x]' if done else '[ ]'} {text}</li>" for text, done in self.items)
        return f'<body class="{self.colour}"><h1>{self.title}</h1><ul>{items}</ul></body>'


@dataclass
class ToDo:
    """Pages of one to four items, each with one instruction in a speaker's words: add, remove,
    rename, tick, or change the title or the colour.

    The prompt is `edit `, the page, and the instruction on a line of its own; the answer is the
    page after it, with all else unchanged. Difficulty is the number of items.
    """

    name: str = field(default="edits", init=False)

    def draw(self, rng: random.Random) -> Example:
        texts = rng.sample(TEXTS, rng.randint(1, MAX_ITEMS) + 1)
        fresh, texts = texts[0], texts[1:]
        page = ToDoPage(
            rng.choice(TITLES),
            rng.choice(COLOURS),
            tuple((text, rng.random() < 0.3) for text in texts),
        )
        instruction, after = _edit(page, fresh, rng)
        return Example(f"edit {page.html()}\n{instruction}", after.html(), len(texts))

    def check(self, example: Example, text: str) -> bool:
        """Compare the pages exactly: a change of anything else is wrong."""
        return text.strip() == example.answer


def _edit(page: ToDoPage, fresh: str, rng: random.Random) -> tuple[str, ToDoPage]:
    """Return an instruction, and the page after it."""
    at = rng.randrange(len(page.items))
    text, done = page.items[at]
    before, behind = page.items[:at], page.items[at + 1 :]
    kind = rng.choice(("add", "remove", "rename", "tick", "title", "colour"))
    if kind == "add" and len(page.items) < MAX_ITEMS:
        instruction = rng.choice(
            (f"please add {fresh}", f"I also have to {fresh}", f"put {fresh} on the list")
        )
        return instruction, replace(page, items=(*page.items, (fresh, False)))
    if kind == "remove":
        instruction = rng.choice(
            (f"remove {text}", f"I don't need to {text} any more", f"take {text} off the list")
        )
        return instruction, replace(page, items=(*before, *behind))
    if kind == "tick" and not done:
        instruction = rng.choice((f"tick {text}", f"I did {text}", f"mark {text} as done"))
        return instruction, replace(page, items=(*before, (text, True), *behind))
    if kind == "title":
        title = rng.choice([other for other in TITLES if other != page.title])
        return rng.choice((f"call the page {title}", f"change the title to {title}")), replace(
            page, title=title
        )
    if kind == "colour":
        colour = rng.choice([other for other in COLOURS if other != page.colour])
        return rng.choice((f"make it {colour}", f"change the colour to {colour}")), replace(
            page, colour=colour
        )
    instruction = rng.choice((f"rename {text} to {fresh}", f"instead of {text} write {fresh}"))
    return instruction, replace(page, items=(*before, (fresh, done), *behind))
