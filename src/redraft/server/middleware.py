"""Access middleware: API keys, cross-origin requests, request sizes, slow clients."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.server.dialects import ANY_CONTENT_TYPE, dialect_of
from redraft.server.errors import HEADERS, INVALID_REQUEST, error_body, json_error
from redraft.server.keys import KeyLimitError, KeyRing, current_key
from redraft.server.origins import Origins
from redraft.server.runtime.body_budget import BodyBudget, BodyCount
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.time_limit import TimeLimit, current_limit
from redraft.server.settings import Settings
from redraft.web import static_folder

OPEN = ("/health", "/ready")  # for monitoring, without a key
SAFE = ("GET", "HEAD")
# What a Host header is: a name or an address, and perhaps a port. Whatever else it has, some reader
# of it leaves out.
HOST = re.compile(r"(?P<name>\[[\w:.%]+\]|[\w.-]*)(?::[0-9]{0,5})?", re.ASCII)
log = logging.getLogger("redraft.server")


def given_key(headers: Headers) -> str:
    """Return the API key of a request: behind `Bearer`, or in a header of Anthropic's, llama.cpp's
    or Azure's clients; "" where there is none."""
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    bare = "" if key else scheme
    return headers.get("x-api-key") or headers.get("api-key") or bare


def as_json(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers whose content type is JSON."""
    others = [(name, value) for name, value in headers if name.lower() != b"content-type"]
    return [*others, (b"content-type", b"application/json")]


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
        self.bodies = BodyBudget(max(settings.max_bodies, self.max_body))
        self._origins = Origins(settings.cors_origins)
        self._keys = metrics.keys = KeyRing(settings.all_keys)
        # The page needs no key: it asks its user for one, and sends it with its requests.
        self._page = frozenset(("", *(path.name for path in static_folder().iterdir())))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        status: int | None = None
        headers = Headers(scope=scope)

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, message["status"])
                self._origins.add_headers(headers, MutableHeaders(scope=message))
            try:
                await asyncio.wait_for(send(message), self.settings.stall_timeout)
            except TimeoutError:
                raise ClientStalledError(
                    f"a client read nothing for {self.settings.stall_timeout:g} seconds"
                ) from None

        body_count = self.bodies.begin()
        try:
            late = await self._in_time(scope, headers, self._limited(receive, body_count), counted)
            if late and status is None:
                await self._too_late(scope)(scope, receive, counted)
        except ClientStalledError as error:
            log.warning("%s: the connection is closed", error)
        except Exception:
            if status is None:
                self._count(scope, 500)  # an outer layer sends it
            raise
        finally:
            body_count.close()

    async def _in_time(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> bool:
        """Answer a request within the server's time limit; return True where the time is over and
        something has not ended by itself."""
        seconds = self.settings.timeout
        if seconds is None:
            await self._answer(scope, headers, receive, send)
            return False
        before = current_limit.set(TimeLimit.of(seconds))
        ends = asyncio.timeout(seconds)
        try:
            async with ends:
                await self._answer(scope, headers, receive, send)
        except TimeoutError:
            if not ends.expired():
                raise
            log.warning("a request had to be ended: its time was over")
            return True
        finally:
            current_limit.reset(before)
        return False

    def _too_late(self, scope: Scope) -> Response:
        message = f"the answer took longer than the server's limit of {self.settings.timeout:g} s"
        body = error_body(message, "timeout_error", "deadline")
        return json_error(scope["path"], 408, body, HEADERS[408])

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on as one of its key."""
        refused = self._refused(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        if dialect_of(scope["path"]) in ANY_CONTENT_TYPE:
            scope = {**scope, "headers": as_json(scope["headers"])}
        usage = None if self._open(scope) else self._keys.find(given_key(headers))
        if usage is None:
            await self.app(scope, receive, send)
            return
        try:
            usage.admit(works=scope["method"] not in SAFE)
        except KeyLimitError as error:
            self.metrics.key_refused(usage.key.name)
            body = error_body(str(error), "rate_limit_error", "key_limit")
            again = {"Retry-After": str(error.retry_after)}
            await json_error(scope["path"], 429, body, again)(scope, receive, send)
            return
        self.metrics.key_request(usage.key.name)
        before = current_key.set(usage.key.name)
        try:
            await self.app(scope, receive, send)
        finally:
            current_key.reset(before)
            usage.leave()

    def _count(self, scope: Scope, status: int) -> None:
        self.metrics.answered(getattr(scope.get("route"), "path", "other"), status)

    def _limited(self, receive: Receive, body_count: BodyCount) -> Receive:
        """Return `receive` with a limit on a body's bytes, whatever its content-length says, and on
        those of all bodies."""

        async def counted() -> Message:
            message = await receive()
            body_count.add(len(message.get("body", b"")))
            if body_count.received > self.max_body:
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

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that goes no further; None for one that is admitted."""
        path, method = scope["path"], scope["method"]
        if not self._has_own_name(headers):
            message = "this name is not the server's: see --allowed-host"
            return json_error(path, 403, error_body(message, "permission_error"))
        if (answer := self._origins.preflight(method, headers)) is not None:
            return answer
        if self._is_cross_origin(headers, method):
            body = error_body("cross-origin requests are refused", "permission_error")
            return json_error(path, 403, body)
        if self._keys and not self._open(scope) and self._keys.find(given_key(headers)) is None:
            body = error_body(
                "the API key is missing or wrong", "authentication_error", "invalid_api_key"
            )
            return json_error(path, 401, body, {"www-authenticate": "Bearer"})
        length = headers.get("content-length")
        if length is not None and "transfer-encoding" in headers:
            # A proxy in front may have read the other length: nothing behind it can be trusted.
            body = error_body("the request says two lengths of its body", INVALID_REQUEST)
            return json_error(path, 400, body, {"connection": "close"})
        if length is not None and (not length.isdecimal() or int(length) > self.max_body):
            return json_error(path, 413, error_body(self._too_large, INVALID_REQUEST))
        return None

    def _has_own_name(self, headers: Headers) -> bool:
        """Return False for a Host header that no client of this server sends: DNS rebinding."""
        given = HOST.fullmatch(headers.get("host", ""))
        if given is None:
            return False
        name = given["name"].strip("[]").lower()
        return self.settings.hosts is None or name in self.settings.hosts

    def _is_cross_origin(self, headers: Headers, method: str) -> bool:
        """Return True for a request of another site's page that changes or costs something."""
        if method in SAFE or self._origins.allows(headers):
            return False
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            asking = host if origin is None else urlsplit(origin).netloc
        except ValueError:  # malformed
            return True
        site = headers.get("sec-fetch-site", "none")
        return asking != host or site not in ("none", "same-origin")
