"""Origins: the web applications of other addresses that may use the server (CORS)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from redraft.errors import ConfigError

ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
METHODS = "GET, POST, PUT, DELETE, OPTIONS"
SECONDS = "600"  # for which a browser remembers the answer to a preflight request
# Headers of answers that a page may read.
EXPOSED = "X-Redraft-Ignored, Retry-After, X-Should-Retry"
REQUEST_HEADERS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,2000}")


def checked_origins(origins: Iterable[str]) -> frozenset[str]:
    """Return origins as browsers send them.

    Raises:
        ConfigError: one is no origin. `*` is none: any page that a user opens could use the server.
    """
    found = frozenset(origin.rstrip("/").lower() for origin in origins)
    for origin in sorted(found):
        if not ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"the origin {origin!r} is not valid: give one such as http://localhost:3000, "
                "without a path, each by itself"
            )
    return found


class Origins:
    """The origins that may use the server beside its own page; none of them unless given."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._allowed = checked_origins(origins)

    def allows(self, headers: Headers) -> bool:
        """Return True where a request comes from one of them."""
        return headers.get("origin", "").lower() in self._allowed

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """Return the answer to a preflight request; None for another request."""
        if method != "OPTIONS" or "access-control-request-method" not in headers:
            return None
        if not self.allows(headers):
            return Response("this origin may not use the server: see --cors-origin", 403)
        wanted = headers.get("access-control-request-headers", "")
        found = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Max-Age": SECONDS,
        }
        if REQUEST_HEADERS.fullmatch(wanted):
            found["Access-Control-Allow-Headers"] = wanted
        if headers.get("access-control-request-private-network") == "true":
            found["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=found)

    def add_headers(self, asking: Headers, answer: MutableHeaders) -> None:
        """Add to an answer what lets a page of an allowed origin read it."""
        if not self._allowed:
            return
        answer.add_vary_header("Origin")
        if self.allows(asking):
            answer["Access-Control-Allow-Origin"] = asking["origin"]
            answer["Access-Control-Expose-Headers"] = EXPOSED
