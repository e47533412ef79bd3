"""Lines of a batch file: from a line of JSON to a request of the server.

Two forms are read: redraft's own, whose fields are those of the server's requests (`messages` is a
chat, `prompt` a completion, `template` an infill, `text` with `spans` an edit), and OpenAI's
(`custom_id`, `method`, `url`, `body`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redraft.batch.images import with_files
from redraft.errors import DataError

JsonObject = dict[str, Any]

# By the fields that only they have: the name of an own line's kind, and its route.
KINDS = {
    "messages": ("chat", "/v1/chat/completions"),
    "prompt": ("completion", "/v1/completions"),
    "template": ("infill", "/v1/infill"),
    "spans": ("edit", "/v1/edits"),
}
RESPONSES = "/v1/responses"
URLS = (*(url for _, url in KINDS.values()), RESPONSES)
OPENAI_FIELDS = ("custom_id", "method", "url", "body")
# Constraints as `redraft generate` names them; the format of a chat that each stands for.
CONSTRAINTS = ("json_schema", "regex", "choice", "grammar")


@dataclass(frozen=True)
class Defaults:
    """Values of what a line leaves open.

    Attributes:
        model: name of the model; None where there are several, so that a line must name one.
        seed: of the job: a line without a seed gets one that follows from it and from the number of
            the line. folder: the one that paths of images start from.
    """

    model: str | None
    seed: int
    folder: Path

    def seed_of(self, line: int) -> int:
        """Return the seed of a line, below 2**31."""
        digest = hashlib.sha256(f"{self.seed} {line}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class Item:
    """A line of the input.

    Attributes:
        line: its number, from 1. openai: it has OpenAI's form. name: its `id` or `custom_id`; None
            for none. kind: of an own line. url, body: of the request; an empty url where the line
            is bad. problem: why it is bad; "" where it is not.
    """

    line: int
    openai: bool = False
    name: Any = None
    kind: str = ""
    url: str = ""
    body: JsonObject | None = None
    problem: str = ""


def read_item(line: int, data: bytes, defaults: Defaults) -> Item:
    """Read a line; one that cannot be read has a `problem`."""
    openai, name = False, None
    try:
        record = _record(line, data)
        openai = any(field in record for field in OPENAI_FIELDS)
        name = record.get("custom_id" if openai else "id")
        item = _openai(line, record) if openai else _own(line, record, defaults.folder)
        assert item.body is not None
        if item.body.get("stream"):
            raise DataError("stream: a batch has no streams: leave it out")
        return Item(line, openai, name, item.kind, item.url, _completed(item, defaults))
    except DataError as error:
        return Item(line, openai, name, problem=str(error))


def _record(line: int, data: bytes) -> JsonObject:
    try:
        record = json.loads(data.decode("utf-8-sig" if line == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"the line is no UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"the line is no JSON: {error}") from None
    if not isinstance(record, dict):
        raise DataError(f"the line is a JSON {type(record).__name__}: give an object")
    return record


def _own(line: int, record: JsonObject, folder: Path) -> Item:
    found = [field for field in KINDS if field in record]
    if len(found) != 1:
        said = " and ".join(found) or "none of them"
        raise DataError(
            f"a line has messages (a chat), prompt (a completion), template (an infill), or text "
            f"and spans (an edit): this one has {said}"
        )
    name = record.get("id")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
        raise DataError(f"id={name!r} must be a string or an integer")
    kind, url = KINDS[found[0]]
    body = {field: value for field, value in record.items() if field != "id"}
    if "constraint" in body:
        body |= _constraint(kind, body.pop("constraint"), body)
    if kind == "chat":
        body["messages"] = with_files(body["messages"], folder)
    return Item(line, False, name, kind, url, body)


def _constraint(kind: str, given: Any, body: Mapping[str, Any]) -> JsonObject:
    """Return the field that a server has for a constraint such as `{"regex": "[0-9]+"}`."""
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in CONSTRAINTS:
        raise DataError(f"constraint must be an object with one of {', '.join(CONSTRAINTS)}")
    field = "formats" if kind == "infill" else "response_format"
    if kind == "edit":
        raise DataError("constraint: an edit has none: give a template with <hole> marks")
    if field in body:
        raise DataError(f"constraint and {field} are two constraints: give one")
    ((name, value),) = given.items()
    value = {"schema": value} if name == "json_schema" else value
    made = {"type": name, name: value}
    return {field: [made] if kind == "infill" else made}


def _openai(line: int, record: JsonObject) -> Item:
    unknown = [field for field in record if field not in OPENAI_FIELDS]
    if unknown:
        raise DataError(f"{unknown[0]}: OpenAI's lines have {', '.join(OPENAI_FIELDS)}")
    name, body = record.get("custom_id"), record.get("body")
    if not isinstance(name, str) or not name:
        raise DataError(f"custom_id={name!r} must be a string")
    if record.get("method", "POST") != "POST":
        raise DataError(f"method={record['method']!r} must be POST")
    url = record.get("url")
    if url not in URLS:
        raise DataError(f"url={url!r} must be one of {', '.join(URLS)}")
    if not isinstance(body, dict):
        raise DataError("body must be an object: the request")
    return Item(line, True, name, "", url, dict(body))


def _completed(item: Item, defaults: Defaults) -> JsonObject:
    """Return the request of a line with the model and the seed that it leaves open."""
    body = dict(item.body or {})
    if body.get("seed") is None:
        body["seed"] = defaults.seed_of(item.line)
    if item.url == RESPONSES:
        body.setdefault("store", False)  # nobody can ask for it later
    if body.get("model") is None and not item.openai:
        if defaults.model is None:
            raise DataError("model: there are several models: name one in each line")
        body["model"] = defaults.model
    return body
