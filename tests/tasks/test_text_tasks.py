from __future__ import annotations

import random
import re

import pytest

from redraft.tasks.todo import MAX_ITEMS, ToDo, ToDoPage
from redraft.tasks.world import STYLES, Wiki, claims, links, page, parses, world


def read(html: str) -> ToDoPage:
    """A page back from its HTML."""
    match = re.fullmatch(r'<body class="(\w+)"><h1>(\w+)</h1><ul>(.*)</ul></body>', html)
    assert match
    items = re.findall(r"<li>\[( |x)\] ([^<]+)</li>", match[3])
    return ToDoPage(match[2], match[1], tuple((text, mark == "x") for mark, text in items))


def test_an_edit_changes_one_thing_and_says_which() -> None:
    rng, kinds = random.Random(0), set()
    for _ in range(600):
        example = ToDo().draw(rng)
        html, _, instruction = example.prompt.removeprefix("edit ").partition("\n")
        before, after = read(html), read(example.answer)
        assert before.html() == html
        assert after.html() == example.answer
        changed = [
            name
            for name in ("title", "colour", "items")
            if getattr(before, name) != getattr(after, name)
        ]
        assert len(changed) == 1
        if changed == ["title"]:
            assert after.title in instruction
        elif changed == ["colour"]:
            assert after.colour in instruction
        else:
            gone, new = set(before.items) - set(after.items), set(after.items) - set(before.items)
            assert len(gone) <= 1
            assert len(new) <= 1
            assert all(text in instruction for text, _ in gone | new)
            kinds.add(
                (len(gone), len(new), {text for text, _ in gone} == {text for text, _ in new})
            )
        kinds.update(changed)
        assert len(after.items) <= MAX_ITEMS
        assert ToDo().check(example, example.answer + "\n")
        assert not ToDo().check(example, html)
    # Added, removed, renamed, ticked, and the two others.
    assert kinds == {
        "title",
        "colour",
        "items",
        (0, 1, False),
        (1, 0, False),
        (1, 1, False),
        (1, 1, True),
    }


def test_the_world_agrees_with_itself() -> None:
    entities = world()
    assert len(entities) == 120
    for entity in entities.values():
        for fact, value in entity.facts.items():
            if fact in ("region", "river", "source", "town", "capital"):
                assert value in entities
        if entity.kind == "region":
            assert entities[entity.facts["capital"]].facts["region"] == entity.name


@pytest.mark.parametrize("style", STYLES)
def test_every_page_parses_and_states_what_is_so(style: str) -> None:
    for entity in world().values():
        text = page(entity, style)
        assert parses(text)
        said = [
            (name, value.removeprefix("<a>").removesuffix("</a>")) for name, value in claims(text)
        ]
        facts = list(entity.facts.items())
        wanted = {"short": facts[:1], "full": facts, "story": facts[::-1]}[style]
        assert said == [("kind", entity.kind), *wanted], text
        assert all(link in world() for link in links(text))


def test_whatever_a_page_has_wrong_is_caught() -> None:
    rng, task = random.Random(1), Wiki()
    for _ in range(200):
        example = task.draw(rng)
        right = example.answer
        assert task.check(example, right)
        kind, *facts = claims(right)
        fact, value = facts[0]
        bare = value.removeprefix("<a>").removesuffix("</a>")
        other = "1" + bare if bare.isdigit() else next(name for name in world() if name != bare)
        wrong = [
            right.replace(value, value.replace(bare, other)),
            right.replace("</p>", " It is made of cheese.</p>"),
            right.replace("</p>", f" {right.partition('. ')[2]}"),  # everything twice
            right.replace("</p>", " See <a>Cordunia</a>.</p>"),
            right.replace("</p>", " <a>Nowhere</a></p>"),
            right.replace("</p>", "<script></p>"),
            right.replace(f"is a {kind[1]}", "is a teapot"),
            right.replace(f"{right.partition('<p>')[2].partition('. ')[0]}. ", ""),
            right.replace("<a>", "").replace("</a>", "") if "<a>" in right else "",
            right[:-1],
            "",
        ]
        assert not [text for text in wrong if task.check(example, text)], fact
