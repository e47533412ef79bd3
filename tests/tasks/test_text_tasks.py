from __future__ import annotations

import random
import re

import pytest

from redraft.tasks.todo import MOST_ITEMS, Page, ToDo
from redraft.tasks.world import STYLES, Wiki, links, page, parses, stated, world


def read(html: str) -> Page:
    """A page back from its HTML."""
    match = re.fullmatch(r'<body class="(\w+)"><h1>(\w+)</h1><ul>(.*)</ul></body>', html)
    assert match
    items = re.findall(r"<li>\[( |x)\] ([^<]+)</li>", match[3])
    return Page(match[2], match[1], tuple((text, mark == "x") for mark, text in items))


def test_an_edit_changes_one_thing_and_says_which() -> None:
    rng, kinds = random.Random(0), set()
    for _ in range(600):
        example = ToDo().draw(rng)
        html, _, wish = example.prompt.removeprefix("edit ").partition("\n")
        before, after = read(html), read(example.answer)
        assert before.html() == html
        assert after.html() == example.answer
        changed = [name for name in ("title", "colour", "items") if getattr(before, name) != getattr(after, name)]
        assert len(changed) == 1
        if changed == ["title"]:
            assert after.title in wish
        elif changed == ["colour"]:
            assert after.colour in wish
        else:
            gone, new = set(before.items) - set(after.items), set(after.items) - set(before.items)
            assert len(gone) <= 1
            assert len(new) <= 1
            assert all(text in wish for text, _ in gone | new)
            kinds.add((len(gone), len(new), {text for text, _ in gone} == {text for text, _ in new}))
        kinds.update(changed)
        assert len(after.items) <= MOST_ITEMS
        assert ToDo().check(example, example.answer + "\n")
        assert not ToDo().check(example, html)
    # Added, removed, renamed, ticked, and the two others.
    assert kinds == {"title", "colour", "items", (0, 1, False), (1, 0, False), (1, 1, False), (1, 1, True)}


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
        facts = stated(text)
        assert facts == (entity.facts if style != "short" else dict(list(entity.facts.items())[:1])), text
        assert all(link in world() for link in links(text))


def test_a_wrong_fact_a_dead_link_and_broken_html_are_caught() -> None:
    rng, task = random.Random(1), Wiki()
    for _ in range(200):
        example = task.draw(rng)
        assert task.check(example, example.answer)
        fact, value = next(iter(stated(example.answer).items()))
        other = "1" + value if value.isdigit() else next(iter(world()))
        other = other if other != value else list(world())[1]
        assert not task.check(example, example.answer.replace(value, other)), fact
        assert not task.check(example, example.answer.replace("</p>", " <a>Nowhere</a></p>"))
        assert not task.check(example, example.answer.replace("</p>", "<script></p>"))
        assert not task.check(example, example.answer[:-1])
        assert not task.check(example, "")
