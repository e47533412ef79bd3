from __future__ import annotations

import re
from html.parser import HTMLParser

from fastapi import FastAPI

from redraft.server import create_app
from redraft.server.api_page import api_page


class Reader(HTMLParser):
    """Gathers what a page loads, and which of its elements stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def description() -> dict:
    return create_app({}).openapi()


def test_every_route_and_field_stands_on_the_page() -> None:
    found = description()
    page = api_page(found)
    shown = re.sub(r"<[^>]+>", " ", page)
    for path, methods in found["paths"].items():
        assert path in shown
        for route in methods.values():
            for kind in route.get("requestBody", {}).get("content", {}).values():
                name = kind["schema"].get("$ref", "").rpartition("/")[2]
                for field in found["components"]["schemas"].get(name, {}).get("properties", {}):
                    assert f"<code>{field}</code>" in page


def test_the_page_loads_nothing_and_is_whole() -> None:
    reader = Reader()
    reader.feed(api_page(description()))
    assert reader.loads == []
    assert reader.open == []


def test_what_a_description_says_is_text() -> None:
    app = FastAPI(title="<b>t</b>")

    @app.get("/x<y")
    def route(q: int = 1) -> None:
        """<img src=x onerror=alert(1)>"""

    page = api_page(app.openapi())
    assert "<img" not in page
    assert "<b>t" not in page
    assert "&lt;img src=x" in page
