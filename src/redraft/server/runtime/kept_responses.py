"""Kept responses: what `previous_response_id` and references to items name, in the state file."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from redraft.errors import RequestError
from redraft.server.json_object import JsonObject
from redraft.server.runtime.database import Database

Item = JsonObject
# Beyond these, responses of the key that has the most are forgotten: the oldest where they are too
# many, and where they are too long the oldest that are no shorter than the key's usual one. So
# neither another key nor long responses put out somebody's conversation.
MAX_RESPONSES = 10_000
MAX_CHARACTERS = 64 << 20  # of all of them
MAX_CHAIN, MAX_CHAIN_CHARACTERS = 1000, 4 << 20  # of one conversation
CHAIN = """WITH RECURSIVE chain (id, previous, depth) AS (
    SELECT id, previous, 0 FROM responses WHERE id = ? UNION ALL
    SELECT r.id, r.previous, depth + 1 FROM responses AS r JOIN chain ON r.id = chain.previous
    WHERE depth < ?
) SELECT r.input, r.response, r.size, r.previous FROM chain JOIN responses AS r USING (id)
ORDER BY depth DESC"""
LARGEST_OWNER = """SELECT owner FROM responses WHERE rowid != ? GROUP BY owner
ORDER BY {} DESC, owner LIMIT 1"""
OLDEST = """SELECT id, size FROM responses WHERE owner = :owner AND rowid != :newest
ORDER BY size < :least, created, rowid LIMIT 1"""
USUAL = "SELECT avg(size) FROM responses WHERE owner = ?"


@dataclass
class Tally:
    """The number and the size of all responses.

    Attributes:
        version: of the file, as SQLite tells it; another program's change makes it another.
    """

    version: int
    count: int
    size: int

    @property
    def is_too_much(self) -> bool:
        """True where the oldest have to be forgotten."""
        return self.count > MAX_RESPONSES or self.size > MAX_CHARACTERS

    def add(self, size: int) -> None:
        """Count one more."""
        self.count, self.size = self.count + 1, self.size + size

    def take(self, size: int) -> None:
        """Count one less."""
        self.count, self.size = self.count - 1, self.size - size


class Responses:
    """Responses by id. Every method is one transaction; errors of the file as for `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A running total: to add up all sizes reads the whole file. None before the first.
        self._tally: Tally | None = None
        self._lock = threading.Lock()

    @contextmanager
    def _changed(self) -> Iterator[tuple[sqlite3.Connection, Tally]]:
        """Give the file for changes, and the tally that they are counted in."""
        with self._lock:
            tally, self._tally = self._tally, None  # where the changes fail, it is counted anew
            with self._database.write_transaction() as file:
                (version,) = file.execute("PRAGMA data_version").fetchone()
                if tally is None or tally.version != version:
                    query = "SELECT count(*), coalesce(sum(size), 0) FROM responses"
                    tally = Tally(version, *file.execute(query).fetchone())
                yield file, tally
            self._tally = tally

    def keep(self, response: JsonObject, given: Sequence[Item], owner: str = "") -> None:
        """Keep a response.

        Args:
            response: as it is answered. given: the items of its own input. owner: the name of the
                key that it was asked with; "" for none.
        """
        name, kept = response["id"], json.dumps(response)
        items = json.dumps(given)
        size = len(kept) + len(items)
        with self._changed() as (file, tally):
            previous = response["previous_response_id"]
            row = name, previous, items, kept, size, time.time(), owner
            added = file.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            newest = added.lastrowid or 0
            # Only ids that were given here: a client's own could be another client's, too.
            for item in response["output"]:
                if isinstance(item.get("id"), str):
                    values = _key(item["id"]), name, json.dumps(item)
                    file.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", values)
            tally.add(size)
            _forget_oldest(file, tally, newest)

    def response(self, name: str) -> JsonObject:
        """Return a response.

        Raises:
            KeyError: there is none of this id.
        """
        found: JsonObject = json.loads(self._row(name)["response"])
        return found

    def input_items(self, name: str) -> list[Item]:
        """Return the items of a response's own input; KeyError as above."""
        found: list[Item] = json.loads(self._row(name)["input"])
        return found

    def forget(self, name: str) -> None:
        """Delete a response; KeyError as above."""
        with self._changed() as (file, tally):
            query = "DELETE FROM responses WHERE id = ? RETURNING size"
            found = file.execute(query, (_key(name),)).fetchall()
            if not found:
                raise KeyError(name)
            tally.take(found[0]["size"])

    def conversation(self, name: str) -> list[Item]:
        """Return all items up to a response, its own included; KeyError as above.

        Raises:
            RequestError: its begin is no longer kept, or it is too long to be read.
        """
        with self._database.read_transaction() as file:
            rows = file.execute(CHAIN, (_key(name), MAX_CHAIN - 1)).fetchall()
        if not rows:
            raise KeyError(name)
        if (
            rows[0]["previous"] is not None
            or sum(row["size"] for row in rows) > MAX_CHAIN_CHARACTERS
        ):
            raise RequestError(
                f"the conversation before {name!r} is no longer kept, or too long: send it as input"
            )
        items: list[Item] = []
        for row in rows:
            items += json.loads(row["input"]) + json.loads(row["response"])["output"]
        return items

    def resolved(self, items: Sequence[Item]) -> list[Item]:
        """Return items with those that are referred to in place of the references.

        Raises:
            RequestError: an item is not kept, or all of them together are too long.
        """
        found: dict[str, str] = {}
        length = 0
        resolved = []
        for item in items:
            if _is_reference(item):
                name = str(item["id"])
                if name not in found:
                    found[name] = self._item(name)
                length += len(found[name])
                if length > MAX_CHAIN_CHARACTERS:
                    raise RequestError(
                        f"the items that are referred to have more than {MAX_CHAIN_CHARACTERS} "
                        "characters: refer to fewer"
                    )
                item = json.loads(found[name])
            resolved.append(item)
        return resolved

    def _item(self, name: str) -> str:
        with self._database.read_transaction() as file:
            row = file.execute("SELECT item FROM items WHERE id = ?", (_key(name),)).fetchone()
        if row is None:
            raise RequestError(f"no item of the id {name!r} is kept here: send it whole")
        return str(row["item"])

    def _row(self, name: str) -> sqlite3.Row:
        with self._database.read_transaction() as file:
            row = file.execute("SELECT * FROM responses WHERE id = ?", (_key(name),)).fetchone()
        if row is None:
            raise KeyError(name)
        found: sqlite3.Row = row
        return found


def _forget_oldest(file: sqlite3.Connection, tally: Tally, newest: int) -> None:
    """Forget responses of those who have the most until the others fit; see MAX_RESPONSES.

    Args:
        newest: the row of the one that was just kept. It is not forgotten.
    """
    while tally.is_too_much:
        many = tally.count > MAX_RESPONSES
        query = LARGEST_OWNER.format("count(*)" if many else "sum(size)")
        if (found := file.execute(query, (newest,)).fetchone()) is None:
            return
        least = 0.0 if many else file.execute(USUAL, (found["owner"],)).fetchone()[0]
        # Those of others are looked at again before another one is forgotten.
        values = {"owner": found["owner"], "newest": newest, "least": least}
        row = file.execute(OLDEST, values).fetchone()
        file.execute("DELETE FROM responses WHERE id = ?", (row["id"],))
        tally.take(row["size"])


def _key(name: str) -> str:
    """Return an id as the file can hold it: halves of surrogate pairs are no text."""
    return name.encode("utf-8", "replace").decode()


def _is_reference(item: Item) -> bool:
    return "id" in item and (item.get("type") == "item_reference" or set(item) == {"id"})
