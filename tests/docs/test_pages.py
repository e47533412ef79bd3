"""The pages of the docs: links lead somewhere, lines are short, words are the glossary's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, PAGES, ROOT
from tests.test_glossary import PHRASES

LONGEST_LINE = 120
# Pages that are linked and not there yet. Each is a debt.
PENDING: set[str] = set()
LINK = re.compile(r"!?\[[^]]*\]\(([^) ]+)\)")


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and mkdocs make it."""
    plain = re.sub(r"[^\w\- ]", "", heading.lower()).strip()
    return re.sub(r"[ ]+", "-", plain)


def anchors(path: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if target.parent == DOCS and target.stem in ("contributing", "security", "changelog"):
            continue  # made by docs/hooks.py
        if target.name in PENDING:
            continue
        assert target.exists(), f"{path}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{path}: {link}"


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_lines_are_short(path: Path) -> None:
    """Tables and blocks aside, whose lines cannot be broken."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "!["))]
    assert not [line for line in lines if len(line) > LONGEST_LINE and " " in line.strip(" -")]


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_pages_keep_to_the_glossary(path: Path) -> None:
    if path.name in ("glossary.md", "log.md"):
        return
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert not [ban for ban in PHRASES if re.search(rf"\b{ban.words}\b", text, re.IGNORECASE)]


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", settings.split("\nnav:")[1], re.MULTILINE))
    made = {"contributing.md", "security.md", "changelog.md"}
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed == there | made
