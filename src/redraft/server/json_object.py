"""JsonObject: an object of JSON, as requests and answers have them."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
