"""The table of clients in docs/reference/clients.md, made by running them against a server.

`python -m tests.clients.table --python VENV/bin/python --node FOLDER`: an environment that has the
clients in Python, and a folder whose node_modules has those in JavaScript. They are no dependencies
of the tests. The clients in Python: openai, anthropic, ollama, litellm, langchain-openai,
llama-index-llms-openai-like, instructor, pydantic-ai-slim[openai], llm; in JavaScript: openai, ai,
@ai-sdk/openai, ollama, @anthropic-ai/sdk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from tests.server.server_process import free_port

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "clients.md"
BEGIN, END = "<!-- table of clients -->", "<!-- end of the table -->"
ABILITIES = ("chat", "stream", "tools", "structured", "infill", "errors")
# What a client has no call for, and why.
NOT_THERE = "-"
Results = dict[str, dict[str, str]]


def table(results: Results) -> str:
    """Return the table: a row each client, `yes` where it works, else the reason."""
    lines = ["| client | " + " | ".join(ABILITIES) + " |", "| --- " * (len(ABILITIES) + 1) + "|"]
    for name, found in results.items():
        cells = [cell(found.get(one)) for one in ABILITIES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(reason: str | None) -> str:
    if reason is None:
        return NOT_THERE
    return "yes" if not reason else reason.replace("|", "/").replace("\n", " ")[:80]


def with_table(page: str, text: str) -> str:
    """Return a page with another table between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{rest[rest.index(END) :]}"


def main() -> int:
    """Run all clients and write the table; return 1 where one cannot do what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    parser.add_argument("--node", type=Path, required=True)
    args = parser.parse_args()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "tests.clients.server", str(port)])
    results: Results = {}
    try:
        while True:
            try:
                httpx2.get(f"{url}/health")
                break
            except httpx2.TransportError:
                assert server.poll() is None
                time.sleep(0.2)
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        plain["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        for command, folder in (
            ([args.python, str(HERE / "python_clients.py"), url], HERE),
            (["node", str(HERE / "node_clients.mjs"), url], args.node),
        ):
            done = subprocess.run(
                command, cwd=folder, env=plain, stdout=subprocess.PIPE, text=True, check=True
            )
            results |= json.loads(done.stdout.splitlines()[-1])
    finally:
        server.terminate()
        server.wait(30)
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(results)), encoding="utf-8")
    return 1 if any(reason for found in results.values() for reason in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
