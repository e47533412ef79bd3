"""Dialects: the APIs that the server speaks, told apart by path, and the shapes of their errors."""

from __future__ import annotations

from typing import Literal

from redraft.server.json_object import JsonObject

Dialect = Literal["openai", "anthropic", "llama.cpp", "ollama"]
ErrorBody = JsonObject

ANTHROPIC_PATH = "/v1/messages"
OLLAMA_PREFIX = "/api/"
LLAMA_PATHS = ("/infill", "/completion", "/completions", "/props", "/slots", "/detokenize")
# Clients of these send JSON whatever content type they name, as curl does with its own.
ANY_CONTENT_TYPE: tuple[Dialect, ...] = ("llama.cpp", "ollama")
# Anthropic's word for a status, where it has one; a client error has the first, others the last.
ANTHROPIC_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
LLAMA_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


def dialect_of(path: str) -> Dialect:
    """Return the dialect of a path; OpenAI's for all that no other has."""
    if path == ANTHROPIC_PATH or path.startswith(f"{ANTHROPIC_PATH}/"):
        return "anthropic"
    if path.startswith(OLLAMA_PREFIX):
        return "ollama"
    return "llama.cpp" if path in LLAMA_PATHS else "openai"


def error_in(dialect: Dialect, status: int, body: ErrorBody) -> ErrorBody:
    """Return an error in the shape of a dialect.

    Args:
        body: the error in OpenAI's shape, see `error_body`.
    """
    message = body["error"]["message"]
    match dialect:
        case "anthropic":
            usual = "invalid_request_error" if status < 500 else "api_error"
            kind = ANTHROPIC_ERRORS.get(status, usual)
            return {"type": "error", "error": {"type": kind, "message": message}}
        case "ollama":
            return {"error": message}
        case "llama.cpp":
            usual = "invalid_request_error" if status < 500 else "server_error"
            kind = LLAMA_ERRORS.get(status, usual)
            return {"error": {"code": status, "message": message, "type": kind}}
    return body
