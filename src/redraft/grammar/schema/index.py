"""SchemaIndex: the addresses, anchors and references of a whole schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from redraft.grammar.schema.keywords import (
    DEFINITIONS,
    OF_SCHEMA,
    OF_SCHEMA_LIST,
    OF_SCHEMA_OBJECT,
)
from redraft.grammar.schema.subschema import (
    ROOT,
    Subschema,
    address_of,
    escaped_name,
    joined_address,
)
from redraft.text.json_value import Json

MAX_DIGITS = 9  # of an index; Python reads no more than a few thousand


class SchemaIndex:
    """The places that references can point to, and what they point to.

    Args:
        root: the whole schema.
    """

    def __init__(self, root: Json) -> None:
        self.root = Subschema.of(root, ROOT)
        # The subschemas that have an address, and those that have an anchor, by address#anchor.
        self._places: dict[str, Subschema] = {"": self.root}
        self._anchors: dict[str, Subschema] = {}
        self._targets: dict[str, Subschema] = {ROOT: self.root}
        left = [self.root]
        while left:
            here = left.pop()
            self._note(here)
            left += children(here, definitions=True)

    def _note(self, here: Subschema) -> None:
        """Note the addresses of a subschema."""
        schema = here.schema
        if address_of(schema, "", here.draft) or here is self.root:
            self._places.setdefault(here.base, here)
        for name in ("$anchor", "$dynamicAnchor", "$id", "id"):
            anchor = schema.get(name)
            if isinstance(anchor, str) and (name.endswith("nchor") or anchor.startswith("#")):
                self._anchors.setdefault(f"{here.base}#{anchor.removeprefix('#')}", here)

    def resolve(self, subschema: Subschema) -> Subschema:
        """Return the target of a subschema's reference, or itself where it has none.

        Raises:
            ConstraintError: the reference points to nothing, or outside the schema.
        """
        reference = subschema.value("$ref", str, None)
        if reference is None:
            return subschema
        address, _, fragment = joined_address(subschema.base, reference).partition("#")
        if f"{address}#{fragment}" in self._anchors:
            return self._target(self._anchors[f"{address}#{fragment}"])
        if address not in self._places:
            raise subschema.error(
                f"{reference!r} points outside the schema: only parts of it can be followed", "$ref"
            )
        if fragment and not fragment.startswith("/"):
            raise subschema.error(f"{reference!r} points to nothing", "$ref")
        here = self._places[address]
        value: Json = dict(here.schema)
        path, base = here.path, here.base
        for part in fragment.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            number = _index(name)
            if isinstance(value, list) and number is not None and number < len(value):
                value = value[number]
            elif isinstance(value, dict) and name in value:
                base = address_of(value, base, here.draft)
                value = value[name]
            else:
                raise subschema.error(f"{reference!r} points to nothing", "$ref")
            path += f"/{escaped_name(name)}"
        return self._target(Subschema.of(value, path, base, here.draft))

    def _target(self, found: Subschema) -> Subschema:
        """Return the target of a reference, as the definition that its parts belong to."""
        if found.path not in self._targets:
            self._targets[found.path] = replace(found, owner=found.path)
        return self._targets[found.path]

    def target(self, path: str) -> Subschema:
        """Return the subschema at a path to which a reference was resolved, or the root."""
        return self._targets[path]

    def references_in(self, path: str) -> list[str]:
        """Return the paths of the targets of all references inside the subschema at a path."""
        found: dict[str, None] = {}
        left = [self._targets[path]]
        while left:
            here = left.pop()
            if isinstance(here.schema.get("$ref"), str):
                found[self.resolve(here).path] = None
            left += reversed(list(children(here)))
        return list(found)


def _index(name: str) -> int | None:
    """Return the index that a part of a pointer is; None for a name, or more digits than any list
    has places for."""
    return int(name) if name.isdecimal() and len(name) <= MAX_DIGITS else None


def children(here: Subschema, definitions: bool = False) -> Iterator[Subschema]:
    """Yield the subschemas inside a subschema, in its order.

    Args:
        definitions: also those of `$defs`, which are no part of it.
    """
    for name, value in here.schema.items():
        if isinstance(value, dict) and name in OF_SCHEMA_OBJECT + DEFINITIONS * definitions:
            for key, part in value.items():
                if isinstance(part, dict | bool):
                    yield here.inside(name, key)
        elif isinstance(value, list) and name in OF_SCHEMA_LIST:
            for number, part in enumerate(value):
                if isinstance(part, dict | bool):
                    yield here.inside(name, number)
        elif isinstance(value, dict | bool) and name in OF_SCHEMA:
            yield here.inside(name)
