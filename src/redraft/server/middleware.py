"""Access middleware: API keys, cross-origin requests, request sizes, slow clients."""

from __future__ import annotations

import asyncio
import logging
import secrets
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.server.errors import INVALID_REQUEST, error_body
from redraft.server.runtime.metrics import Metrics
from redraft.server.settings import Settings
from redraft.web import static_folder

OPEN = ("/health", "/ready")  # for monitoring, without a key
SAFE = ("GET", "HEAD")
log = logging.getLogger("redraft.server")


class ClientStalledError(OSError):
    """The client read nothing for too long; it is treated as a lost connection."""


class AccessMiddleware:
    """Checks every request before the application, and counts every answer."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, settings: Settings, *, images: bool = False
    ) -> None:
        """Wrap an application; `images` says that one of its models reads images."""
        self.app, self.metrics, self.settings = app, metrics, settings
        self.max_body = settings.body_limit(images=images)
        # The page needs no key: it asks its user for one, and sends it with its requests.
        self._page = frozenset(("", *(path.name for path in static_folder().iterdir())))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        status: int | None = None

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, message["status"])
            try:
                await asyncio.wait_for(send(message), self.settings.stall_timeout)
            except TimeoutError:
                raise ClientStalledError(
                    f"a client read nothing for {self.settings.stall_timeout:g} seconds"
                ) from None

        try:
            await (self._refused(scope) or self.app)(scope, self._limited(receive), counted)
        except ClientStalledError as error:
            log.warning("%s: the connection is closed", error)
        except Exception:
            if status is None:
                self._count(scope, 500)  # an outer layer sends it
            raise

    def _count(self, scope: Scope, status: int) -> None:
        self.metrics.answered(getattr(scope.get("route"), "path", "other"), status)

    def _limited(self, receive: Receive) -> Receive:
        """Return `receive` with a limit on a body's bytes, whatever its content-length says."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                raise HTTPException(413, self._too_large)
            return message

        return counted

    @property
    def _too_large(self) -> str:
        return f"a request may have at most {self.max_body} bytes"

    def _open(self, scope: Scope) -> bool:
        """Return True for a path that needs no API key."""
        return scope["path"] in OPEN or (
            scope["method"] in SAFE and scope["path"].lstrip("/").split("/")[0] in self._page
        )

    def _refused(self, scope: Scope) -> JSONResponse | None:
        """Return the answer to a request that is refused; None for one that is admitted."""
        headers = Headers(scope=scope)
        if self._is_cross_origin(headers, scope["method"]):
            return JSONResponse(
                error_body("cross-origin requests are refused", "permission_error"),
                403,
            )
        if self.settings.api_key is not None and not self._open(scope):
            key = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(key.encode("latin-1"), self.settings.api_key.encode()):
                body = error_body(
                    "the API key is missing or wrong", "authentication_error", "invalid_api_key"
                )
                return JSONResponse(body, 401)
        length = headers.get("content-length")
        if "transfer-encoding" in headers or (
            length is None and scope["method"] in ("POST", "PUT")
        ):
            return JSONResponse(
                error_body(
                    "the request needs a content-length; bodies in chunks are not accepted",
                    INVALID_REQUEST,
                ),
                411,
            )
        if length is not None and (not length.isdecimal() or int(length) > self.max_body):
            return JSONResponse(error_body(self._too_large, INVALID_REQUEST), 413)
        return None

    def _is_cross_origin(self, headers: Headers, method: str) -> bool:
        """Return True for cross-origin requests and for DNS rebinding."""
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname
            asking = host if origin is None else urlsplit(origin).netloc
        except ValueError:  # malformed
            return True
        if self.settings.hosts is not None and name not in self.settings.hosts:
            return True
        if method not in SAFE and asking != host:
            return True
        return method not in SAFE and headers.get("sec-fetch-site", "none") not in (
            "none",
            "same-origin",
        )
