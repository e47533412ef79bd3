"""The README names every room, and a page that is about it."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = sorted(
    path.name
    for path in (ROOT / "src" / "redraft").iterdir()
    if path.is_dir() and path.name != "__pycache__"
)


def test_the_readme_names_many_pages() -> None:
    pages = set(re.findall(r"\]\(([^)#]+)", README))
    assert len(pages) > 20
    assert not [page for page in pages if not (ROOT / page).exists()]


def test_every_room_has_a_line_in_the_readme_and_a_page() -> None:
    """The page is one of the docs, and says where the code is."""
    assert len(ROOMS) > 15
    for room in ROOMS:
        (row,) = re.findall(rf"^\| `src/redraft/{room}` \|.*$", README, re.MULTILINE)
        pages = re.findall(r"\]\((docs/[\w/-]+\.md)", row)
        assert pages, room
        texts = [(ROOT / page).read_text(encoding="utf-8") for page in pages]
        assert any(f"redraft/{room}" in text for text in texts), f"{room}: {pages}"


def test_every_room_is_on_the_page_of_the_house() -> None:
    page = (ROOT / "docs" / "architecture" / "index.md").read_text(encoding="utf-8")
    assert not [room for room in ROOMS if f"`{room}`" not in page]
