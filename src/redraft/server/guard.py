"""Guard: who may call, and with how much; every answer is counted."""

from __future__ import annotations

import secrets

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.server.meter import Meter

OPEN = ("/health", "/ready")  # asked by those who watch over the server


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, dict[str, str | None]]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Guard:
    """In front of the application.

    Args:
        api_key: asked of every caller, where there is one. max_body: bytes of a request.
    """

    def __init__(self, app: ASGIApp, meter: Meter, api_key: str | None, max_body: int) -> None:
        self.app, self.meter, self.api_key, self.max_body = app, meter, api_key, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.meter.answered(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        refused = self._refused(scope)
        await (refused or self.app)(scope, receive, counted)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        """The answer to a request that is not let in."""
        headers = Headers(scope=scope)
        if self.api_key is not None and scope["path"] not in OPEN:
            key = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(key.encode("latin-1"), self.api_key.encode()):
                body = error_body("the API key is missing or wrong", "authentication_error", "invalid_api_key")
                return JSONResponse(body, 401)
        length = headers.get("content-length")
        if length is None and scope["method"] == "POST":
            return JSONResponse(error_body("say how long the request is (content-length)", "invalid_request_error"), 411)
        if length is not None and (not length.isdecimal() or int(length) > self.max_body):
            return JSONResponse(error_body(f"a request may have {self.max_body} bytes", "invalid_request_error"), 413)
        return None
