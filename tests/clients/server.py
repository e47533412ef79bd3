"""A server for clients: its model answers by what the prompt says, so that each client can be checked.

`python -m tests.clients.server PORT`
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from redraft.engine import Request
from redraft.errors import ConstraintUnsatisfiedError
from redraft.server import Settings, create_app
from tests.server.scripted import CANVAS, QUOTE, scripted_model

HELLO, WARM = "Hello there, friend.", "It is warm in Rome."
CALL = f"<|tool_call>call:weather{{city:{QUOTE}Rome{QUOTE}}}<tool_call|><|tool_response>"


def turn_for(prompt: str) -> str | None:
    """Return what the model writes behind a prompt; None leaves it free."""
    if "response:weather" in prompt:
        return f"{WARM}<turn|>"
    if "declaration:weather" in prompt:
        return CALL
    return f"{HELLO}<turn|>" if re.search(r"Say hello", prompt) else None


def main() -> None:
    """Serve until the process is ended."""
    model = scripted_model(Path(tempfile.mkdtemp()))
    tokenizer, ends = model.tokenizer, model.generation_config.eos_token_id
    assert tokenizer is not None
    checked = Request.checked.__func__  # type: ignore[attr-defined]

    def scripted(cls: type[Request], prompt: list[int], *args: Any, **options: Any) -> Request:
        turn = turn_for(tokenizer.decode(prompt, special=True))
        if turn is None:
            return checked(cls, prompt, *args, **options)
        tokens = tokenizer.encode(turn, bos=False)
        whole = [*tokens, *[ends[0]] * (CANVAS - len(tokens))]
        with suppress(ConstraintUnsatisfiedError):  # a client that wants something else gets it
            return checked(cls, prompt, *args, **options | {"frozen": dict(enumerate(whole))})
        return checked(cls, prompt, *args, **options)

    Request.checked = classmethod(scripted)  # type: ignore[assignment]
    app = create_app({"scripted": model}, Settings(api_key="secret"))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
