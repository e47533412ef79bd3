"""Error of a client: what a server answered in place of a result."""

from __future__ import annotations

import json
from typing import Any

from redraft.errors import RedraftError


class ServerError(RedraftError):
    """A server refused a request, failed, broke off, or cannot be reached; the message says why.

    Attributes:
        status: of HTTP; None where there was no answer, or where the error came in a stream.
        code: the server's word for the error, such as `server_busy`; None where it has none.
    """

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        self.status, self.code = status, code
        super().__init__(message)

    @classmethod
    def of(cls, body: Any, status: int | None = None) -> ServerError:
        """Return the error that a body in OpenAI's shape holds; of another body, its begin."""
        detail = body.get("error") if isinstance(body, dict) else None
        if isinstance(detail, dict) and isinstance(detail.get("message"), str):
            return cls(detail["message"], status, detail.get("code"))
        return cls(f"the server's answer cannot be read: {str(body)[:200]!r}", status)

    @classmethod
    def of_text(cls, text: str, status: int) -> ServerError:
        """Return the error that the text of an answer holds."""
        try:
            return cls.of(json.loads(text), status)
        except ValueError:
            return cls(f"the server answered with status {status}: {text[:200]!r}", status)

    @classmethod
    def broken_off(cls) -> ServerError:
        """Return the error of a stream that ended too early."""
        return cls("the stream broke off before its end")
