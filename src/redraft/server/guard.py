"""Guard: who may call, and with how much; every answer is counted, and nobody holds one up for long."""

from __future__ import annotations

import asyncio
import logging
import secrets
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.server.meter import Meter
from redraft.server.refusals import WRONG, error_body
from redraft.server.settings import Settings

OPEN = ("/health", "/ready")  # asked by those who watch over the server
SAFE = ("GET", "HEAD")
log = logging.getLogger("redraft.server")


class ClientStalledError(OSError):
    """The client took too long to read: as if the connection were lost."""


class Guard:
    """In front of the application."""

    def __init__(self, app: ASGIApp, meter: Meter, settings: Settings) -> None:
        self.app, self.meter, self.settings = app, meter, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.meter.answered(getattr(scope.get("route"), "path", "other"), message["status"])
            try:
                await asyncio.wait_for(send(message), self.settings.patience)
            except TimeoutError:
                raise ClientStalledError(f"a client read nothing for {self.settings.patience:g} seconds") from None

        try:
            await (self._refused(scope) or self.app)(scope, receive, counted)
        except ClientStalledError as error:
            log.warning("%s: it is sent no more", error)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        """The answer to a request that is not let in."""
        headers = Headers(scope=scope)
        if self._from_elsewhere(headers, scope["method"]):
            return JSONResponse(error_body("this server takes no requests from another site's page", "permission_error"), 403)
        if self.settings.api_key is not None and scope["path"] not in OPEN:
            key = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(key.encode("latin-1"), self.settings.api_key.encode()):
                body = error_body("the API key is missing or wrong", "authentication_error", "invalid_api_key")
                return JSONResponse(body, 401)
        length, most = headers.get("content-length"), self.settings.max_body
        if length is None and scope["method"] in ("POST", "PUT"):
            return JSONResponse(error_body("say how long the request is (content-length)", WRONG), 411)
        if length is not None and (not length.isdecimal() or int(length) > most):
            return JSONResponse(error_body(f"a request may have {most} bytes", WRONG), 413)
        return None

    def _from_elsewhere(self, headers: Headers, method: str) -> bool:
        """Whether a page of another site asks, or one that gave its own name to this address."""
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname
        if self.settings.hosts is not None and name not in self.settings.hosts:
            return True
        origin = headers.get("origin")
        if method not in SAFE and origin is not None and urlsplit(origin).netloc != host:
            return True
        return method not in SAFE and headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
