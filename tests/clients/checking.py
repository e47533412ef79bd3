"""Checks: what every client is asked to do, in two tables, and the pieces that the checks share.

Runs in environments that have the clients and not redraft: it imports nothing of it.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

from tests.clients.words import WORDS, journey, visit

URL = sys.argv[1] if len(sys.argv) > 1 else ""
KEY, MODEL, ADAPTER = WORDS["key"], WORDS["model"], WORDS["adapter"]
OTHER = "other"  # a model that is not there
CITIES = len(WORDS["cities"])
Checks = dict[str, Callable[[], Any]]


class Cannot(Exception):
    """The client has no call for it, or loses it by itself; the message says which."""


def cannot(reason: str) -> Callable[[], Any]:
    """Return a check of something that a client cannot do."""

    def check() -> None:
        raise Cannot(reason)

    return check


def function(name: str, parameters: Any, **more: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's form."""
    described = {"name": name, "description": f"The {name}.", "parameters": parameters}
    return {"type": "function", "function": described | more}


WEATHER = function("weather", WORDS["city"])
PEOPLE = function("people", WORDS["city"])
SAVE = function("save", WORDS["person_schema"])
STRICT_SAVE = function("save", WORDS["person_schema"], strict=True)


def run_tool(name: str, arguments: Any) -> str:
    """Return the result of a tool of the journey."""
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    weather, people = visit(arguments["city"])
    return {"weather": weather, "people": people}[name]


def same(found: Any, expected: Any = WORDS["hello"]) -> None:
    assert found == expected, f"got {found!r}"[:200]


def is_record(value: Any) -> None:
    value = json.loads(value) if isinstance(value, str) else value
    assert value["name"] in ("ann", "bob"), value
    assert isinstance(value["age"], int), value


def is_person(value: Any) -> None:
    same(json.loads(value) if isinstance(value, str) else value, WORDS["person"])


def arrived(turns: int, said: Any) -> None:
    """Check the end of a journey: a turn with two calls for each city, and all results."""
    same(turns, CITIES)
    same(said, journey())


def raises(call: Callable[[], Any], *kinds: type[BaseException]) -> None:
    told = ""
    try:
        call()
    except kinds as error:
        told = str(error)
    assert OTHER in told, f"the error does not name the model: {told!r}"


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def png(shade: int) -> str:
    """Return a grey image of 48 by 48 pixels, as a PNG file in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 8, 0, 0, 0, 0))
    rows = (b"\0" + bytes([shade]) * 48) * 48
    whole = head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + whole).decode()


def record_class() -> Any:
    from typing import Literal

    from pydantic import BaseModel

    class Record(BaseModel):
        name: Literal["ann", "bob"]
        age: int

    return Record


def person_class() -> Any:
    """Return the schema of a person as classes, from which clients make one with $defs."""
    from typing import Literal

    from pydantic import create_model

    address = create_model("Address", street=(str, ...), zip=(str | int, ...))
    email = create_model("Email", kind=(Literal["email"], ...), address=(str, ...))
    phone = create_model("Phone", kind=(Literal["phone"], ...), number=(int, ...))
    fields: dict[str, Any] = {
        "name": (str, ...),
        "homes": (list[address], ...),  # type: ignore[valid-type]
        "contact": (email | phone, ...),
        "nick": (str | None, ...),
    }
    return create_model("Person", **fields)
