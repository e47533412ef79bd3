"""Clients in Python, in an environment that has them and not redraft.

`python -m tests.clients.python_clients URL [WORDS]`, in the root of the repository. Prints one JSON
object: client -> ability -> "" where it works, `cannot: ...` where the client has no call for it,
else the error. WORDS: only clients with one
of them in their name.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.clients.agents import llm_command, pydantic_ai_client
from tests.clients.checking import Cannot, Checks
from tests.clients.frameworks import instructor_client, langchain_client, llama_index_client
from tests.clients.message_clients import anthropic_messages, ollama_client
from tests.clients.openai_shapes import litellm_client, openai_chat
from tests.clients.responses_client import openai_responses

CLIENTS: dict[str, tuple[str, Callable[[], Checks]]] = {
    "openai (Python), chat": ("openai", openai_chat),
    "openai (Python), responses": ("openai", openai_responses),
    "anthropic (Python)": ("anthropic", anthropic_messages),
    "ollama (Python)": ("ollama", ollama_client),
    "litellm": ("litellm", litellm_client),
    "langchain-openai": ("langchain-openai", langchain_client),
    "llama-index": ("llama-index-llms-openai-like", llama_index_client),
    "instructor": ("instructor", instructor_client),
    "pydantic-ai, chat": ("pydantic-ai-slim", partial(pydantic_ai_client, responses=False)),
    "pydantic-ai, responses": ("pydantic-ai-slim", partial(pydantic_ai_client, responses=True)),
    "llm": ("llm", llm_command),
}


def tried(checks: Checks) -> dict[str, str]:
    """Return what each check came to."""
    found: dict[str, str] = {}
    for ability, check in checks.items():
        try:
            began = time.monotonic()
            check()
            print(f"  {ability} {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            found[ability] = ""
        except Cannot as reason:
            found[ability] = f"cannot: {reason}"
        except Exception as error:
            found[ability] = f"{type(error).__name__}: {error}"[:600]
    return found


def main() -> None:
    """Try every client that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    results: dict[str, dict[str, str]] = {}
    for name, (package, make) in CLIENTS.items():
        try:
            release = version(package)
            if not any(word in name for word in sys.argv[2:] or [""]):
                continue
            checks = make()
        except (ImportError, PackageNotFoundError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        results[name] = {"version": release} | tried(checks)
        failed = {
            one: why for one, why in results[name].items() if why and not why.startswith("cannot")
        }
        print(name, failed, file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
