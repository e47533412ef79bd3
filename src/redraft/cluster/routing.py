"""Routing: which replica a request goes to.

Requests of one model or adapter that begin alike have one key, and a key has one replica as long as
it has room: so its prefix cache holds what they share. All turns of a conversation begin alike.
Routes with a state have one place.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Characters of a raw prompt, or numbers of its tokens, that count.
PREFIX = 512
# The first parts of paths whose sessions, responses and pages are kept by one process.
KEPT = ("v1/sessions", "v1/responses", "v1/pages", "metrics")
# Fields that begin a prompt, in the order in which they are looked for.
BEGINS = ("messages", "prompt", "template", "text", "input", "input_prefix")


def is_kept(path: str) -> bool:
    """Return True for a path whose state is in one place."""
    inner = path.strip("/")
    return any(inner == kept or inner.startswith(f"{kept}/") for kept in KEPT)


def routing_key(path: str, body: bytes) -> str:
    """Return the key of a request; requests without a prompt share one for their path.

    Nothing of the prompt can be read from it.
    """
    try:
        given = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        given = {}
    if not isinstance(given, dict):
        given = {}
    model = given.get("model")
    begin = next((given[name] for name in BEGINS if given.get(name) is not None), "")
    text = f"{model if isinstance(model, str) else ''}\n{_begin(begin)}"
    if not begin:
        text += path
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _begin(given: Any) -> str:
    """Return the begin of a prompt: of a text, of token ids, or the messages to the first of a
    user."""
    if not isinstance(given, list):
        return str(given)[:PREFIX]
    found = []
    for one in given[:PREFIX]:
        found.append(json.dumps(one, sort_keys=True))
        if isinstance(one, str) or (isinstance(one, dict) and one.get("role") == "user"):
            break
    return "\n".join(found)
