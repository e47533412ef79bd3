"""Foreign fields: what clients of other servers send, and what becomes of it here.

A field that has a meaning here is translated. One that has none is left out, and the answer's
header names it. One that looks like a slip of the pen is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any

from pydantic import ConfigDict, model_validator

from redraft.config import GenerationConfig
from redraft.errors import RequestError
from redraft.server.json_object import JsonObject
from redraft.server.openai.schemas import Body, settings_among

SETTINGS = frozenset(field.name for field in fields(GenerationConfig))
MAX_UNKNOWN = 128
NEAR = 0.8  # from this likeness on, an unknown name is a slip of the pen


class SettingsBody(Body):
    """Generation settings alone, to be checked as those of OpenAI's requests are."""

    model_config = ConfigDict(extra="allow")


class ForeignBody(Body):
    """A request of another dialect; null means that a field is not given."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def without_null(cls, given: Any) -> Any:
        """Drop fields that are null."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}

    @property
    def ignored(self) -> list[str]:
        return sorted(name for name in self.model_extra or {} if name not in SETTINGS)

    def further_settings(self, known: Iterable[str] = ()) -> JsonObject:
        """Return the fields without a meaning in the dialect that are generation settings.

        Args:
            known: names that clients send and that have no meaning here.

        Raises:
            RequestError: a field looks like a misspelt one.
        """
        return split_settings(self.model_extra or {}, type(self).model_fields, known)


def split_settings(
    given: Mapping[str, Any], own: Iterable[str], known: Iterable[str] = ()
) -> JsonObject:
    """Return those of some fields that are generation settings; what has no meaning is left out.

    Args:
        own: names that the dialect has. known: names that clients send and that have no meaning.

    Raises:
        RequestError: a field looks like a misspelt one, or one request may not ask for so much.
    """
    if len(given) > MAX_UNKNOWN:
        raise RequestError(f"{len(given)} fields have no meaning here: no client sends so many")
    meant: Collection[str] = [*SETTINGS, *own]
    idle = frozenset(known)
    for name in given:
        if name in SETTINGS or name in idle:
            continue
        near = difflib.get_close_matches(name[:100], meant, n=1, cutoff=NEAR)
        if near:
            raise RequestError(f"unknown option {ascii(name)[1:-1]!r}: did you mean {near[0]!r}?")
    found = {name: value for name, value in given.items() if name in SETTINGS}
    return settings_among(SettingsBody.model_validate(found))
