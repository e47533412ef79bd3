"""A to-do page and an instruction in anybody's words: items of words without end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from redraft.errors import ConfigError
from redraft.tasks.open_words import item, mistyped, name
from redraft.tasks.task import Example
from redraft.tasks.todo import COLOURS, TITLES, ToDoPage

MAX_ITEMS = 4
ORDINALS = ("first", "second", "third", "fourth")
# What is said, by kind; {0} is an item, a word of it, or its place, {1} what comes new.
TRAINING = {
    "add": (
        "add {1}", "add {1}", "add {1}", "please add {1}", "put {1} on the list",
        "i also have to {1}", "also {1}", "new item: {1}", "append {1}", "don't forget to {1}",
        "add {1} to the list", "i need to {1}", "i have to {1} too", "remember to {1}",
        "we need to {1}", "another one: {1}", "todo: {1}", "insert {1}", "put down {1}",
        "new: {1}", "add an item: {1}", "add a new one, {1}", "there is also {1}",
    ),
    "remove": (
        "remove {0}", "delete {0}", "take {0} off the list", "drop {0}", "please remove {0}",
        "i don't need to {0} any more", "get rid of {0}", "cross out {0}", "{0} can go",
        "remove {0} from the list", "we don't need {0}", "no need to {0}", "take away {0}",
        "leave out {0}", "scratch {0}", "discard {0}", "never mind {0}", "clear {0}",
        "{0} is not needed any more", "throw out {0}", "take {0} away",
    ),
    "tick": (
        "tick {0}", "tick off {0}", "i did {0}", "mark {0} as done", "please tick off {0}",
        "done: {0}", "{0} is done", "i finished {0}", "check {0}", "{0} done", "{0}: done",
        "mark {0} done", "mark {0} as finished", "mark {0} as complete", "complete {0}",
        "i just did {0}", "i have done {0}", "we did {0}", "{0} was done", "got {0} done",
        "finished {0}", "put a tick at {0}",
    ),
    "untick": (
        "untick {0}", "{0} is not done", "mark {0} as open", "uncheck {0}",
        "mark {0} as not done", "{0} isn't done", "i did not do {0}", "undo {0}",
        "{0} is open again", "set {0} to open", "clear the tick of {0}", "{0} is not finished",
    ),
    "rename": (
        "rename {0} to {1}", "instead of {0} write {1}", "change {0} to {1}", "replace {0} by {1}",
        "{0} should be {1}", "change {0} into {1}", "replace {0} with {1}", "{0} -> {1}",
        "rename {0} as {1}", "write {1} instead of {0}", "{1} instead of {0}", "edit {0} to {1}",
        "put {1} in place of {0}", "correct {0} to {1}", "{0} should say {1}", "make {0} {1}",
        "update {0} to {1}",
    ),
    "title": (
        "call the page {1}", "change the title to {1}", "title: {1}", "rename the page to {1}",
        "the title should be {1}", "title it {1}", "new title: {1}", "change the heading to {1}",
        "retitle it {1}", "call it {1}", "give it the title {1}", "make the title {1}",
        "rename this page {1}",
    ),
    "colour": (
        "make it {1}", "change the colour to {1}", "colour it {1}", "make the page {1}",
        "colour: {1}", "turn it {1}", "change it to {1}", "i would like it {1}",
        "set the colour to {1}", "paint it {1}", "switch to {1}", "make the background {1}",
        "{1} please",
    ),
}  # fmt: skip
HELD_OUT = {
    "add": ("could you write down {1}", "one more thing: {1}", "include {1}", "note: {1}"),
    "remove": ("strike {0}", "erase {0} please", "forget about {0}", "i no longer want {0}"),
    "tick": ("check off {0}", "{0} is finished", "set {0} to done", "i have completed {0}"),
    "untick": ("{0} is still to do", "reopen {0}"),
    "rename": ("turn {0} into {1}", "{0} becomes {1}", "swap {0} for {1}"),
    "title": ("name this page {1}", "the heading is {1}", "set the title to {1}"),
    "colour": ("i want it in {1}", "use {1} as the colour", "paint the page {1}"),
}
PLACES = (
    "the {} item", "the {} one", "item number {}", "number {}", "the {} entry", "item {}",
)  # fmt: skip
POINTED = ("the {} one", "the one with {}", "the {} item", "the {} entry", "the {} thing")
POLITE = ("", "", "", "please ", "can you ")
# A template that begins with one of these can have a polite word before it.
IMPERATIVES = frozenset(
    "add put append remove delete take drop get cross tick mark untick uncheck rename change"
    " replace call make colour include strike erase check set reopen turn swap name use"
    " paint".split()
)


@dataclass
class OpenToDo:
    """Pages of one to four items, each with one instruction: add, remove, tick, untick, rename, or
    change the title or the colour.

    An item is named whole, by one word that no other item has, or by its place. The prompt and the
    answer are as in `ToDo`. Difficulty is the number of items.

    Attributes:
        phrasing: "training", or "held-out" for templates that training never has.
    """

    phrasing: str = "training"
    name: str = field(default="open-edits", init=False)

    def __post_init__(self) -> None:
        if self.phrasing not in ("training", "held-out"):
            raise ConfigError(f"{self.phrasing=} must be training or held-out")

    def draw(self, rng: random.Random) -> Example:
        texts = [item(rng) for _ in range(rng.randint(1, MAX_ITEMS))]
        while len({text.lower() for text in texts}) < len(texts):
            texts = [item(rng) for _ in texts]
        items = tuple((text, rng.random() < 0.35) for text in texts)
        page = ToDoPage(_title(rng), rng.choice(COLOURS), items)
        said, after = self._edit(page, rng)
        return Example(f"edit {page.html()}\n{_styled(said, after, rng)}", after.html(), len(items))

    def check(self, example: Example, text: str) -> bool:
        """Compare the pages exactly: a change of anything else is wrong."""
        return text.strip() == example.answer

    def _edit(self, page: ToDoPage, rng: random.Random) -> tuple[str, ToDoPage]:
        templates = TRAINING if self.phrasing == "training" else HELD_OUT
        at = rng.randrange(len(page.items))
        text, done = page.items[at]
        kinds = ["remove", "rename", "title", "colour", "untick" if done else "tick"]
        kinds += ["tick"] * (not done) + ["add"] * 2 * (len(page.items) < MAX_ITEMS)
        kind = rng.choice(kinds)
        said = rng.choice(templates[kind])
        if kind == "title":
            title = _title(rng)
            return said.format("", title), replace(page, title=title)
        if kind == "colour":
            colour = rng.choice([other for other in COLOURS if other != page.colour])
            return said.format("", colour), replace(page, colour=colour)
        if kind == "add":
            fresh = item(rng)
            return said.format("", fresh), replace(page, items=(*page.items, (fresh, False)))
        fresh = item(rng)
        kept = {"remove": (), "rename": ((fresh, done),)}.get(kind, ((text, kind == "tick"),))
        items = (*page.items[:at], *kept, *page.items[at + 1 :])
        return said.format(_named(page, at, rng), fresh), replace(page, items=items)


def _title(rng: random.Random) -> str:
    return rng.choice(TITLES) if rng.random() < 0.4 else name(rng)


def _named(page: ToDoPage, at: int, rng: random.Random) -> str:
    """Return what an item is called: its text, its place, or a word that only it has."""
    text = page.items[at][0]
    kind = rng.random()
    if kind < 0.2:
        place = rng.choice(PLACES)
        last = at == len(page.items) - 1 and place.startswith("the") and rng.random() < 0.3
        return place.format("last" if last else ORDINALS[at] if "the" in place else str(at + 1))
    others: set[str] = set()
    for number, (other, _) in enumerate(page.items):
        if number != at:
            others.update(other.lower().split())
    own = [word for word in text.split() if len(word) > 2 and word.lower() not in others]
    own = [word for word in own if word.lower() not in ("the", "for", "from", "item", "one")]
    if kind < 0.45 and own:
        return rng.choice(POINTED).format(rng.choice(own))
    return text


def _styled(said: str, after: ToDoPage, rng: random.Random) -> str:
    """Return an instruction as people type it: capitals, a full stop, `please`, a slip.

    What the page takes over to the letter stays as it is.
    """
    head, _, rest = said.partition(" ")
    new = after.html()
    polite = rng.choice(POLITE) if head in IMPERATIVES else ""
    if head not in new and rng.random() < 0.06:
        head = mistyped(head, rng)
    said = f"{head} {rest}" if rest else head
    said = polite + said
    if rng.random() < 0.25 and said.split(" ")[0] not in new:
        said = said[:1].upper() + said[1:]
    return said + rng.choice(("", "", "", ".", "!"))
