"""Prefix: the server under a path of a reverse proxy, whether or not the proxy strips it."""

from __future__ import annotations

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from redraft.errors import ConfigError
from redraft.web import static_folder

FORM = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


# First parts of the server's own paths, beside the files of the page.
OWN = ("v1", "play", "tokenize", "health", "ready", "metrics", "docs", "redoc", "openapi.json")


def checked_prefix(prefix: str) -> str:
    """Return a path prefix without a slash at its end; "" for none.

    Raises:
        ConfigError: it is no path, or begins as the server's own paths do.
    """
    plain = prefix.rstrip("/")
    if plain and not FORM.fullmatch(plain):
        raise ConfigError(
            f"the path prefix {prefix!r} is not valid: give one such as /redraft, of letters, "
            "digits, and . _ ~ -"
        )
    page = (path.name for path in static_folder().iterdir())
    if plain and plain.split("/")[1] in (*OWN, *page):
        raise ConfigError(
            f"the path prefix {prefix!r} begins as paths of the server itself do: give another one"
        )
    return plain


class PrefixMiddleware:
    """Takes a prefix off the path of requests that have it, and tells it to the application.

    Args:
        prefix: see `checked_prefix`.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == self.prefix:
                await RedirectResponse(f"{self.prefix}/")(scope, receive, send)
                return
            scope = {**scope, "root_path": self.prefix}
            if scope["path"].startswith(f"{self.prefix}/"):
                scope["path"] = scope["path"].removeprefix(self.prefix)
                scope["raw_path"] = scope["raw_path"].removeprefix(self.prefix.encode())
        await self.app(scope, receive, send)
