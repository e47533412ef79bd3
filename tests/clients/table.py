"""The tables of clients in docs/reference/clients.md, made by running them against a server.

`python -m tests.clients.table [WORD]`: all that `tests.clients.install` has installed, or those with
a word in their name. Results are kept in results.json, so that one client's row can be made anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from tests.clients.install import FOLDER, python_of
from tests.server.server_process import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reference" / "clients.md"
KEPT = HERE / "results.json"
BEGIN, END = "<!-- table of clients -->", "<!-- end of the table -->"
ABILITIES = ("chat", "stream", "tools", "structured", "infill", "errors")
FURTHER = (
    "adapter", "nested", "nested tool", "loop", "images", "reasoning", "usage", "options", "unicode",
)  # fmt: skip
CANNOT = "cannot: "
Results = dict[str, dict[str, str]]


def tables(results: Results) -> str:
    """Return both tables and the notes that say why a client cannot."""
    notes: list[str] = []
    parts = [table(results, some, notes) for some in (ABILITIES, FURTHER)]
    told = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    return "\n\n".join([*parts, told])


def table(results: Results, abilities: tuple[str, ...], notes: list[str]) -> str:
    """Return a table: a row each client, `yes` where it works, the number of a note where the client
    cannot, else the error."""
    lines = ["| client | " + " | ".join(abilities) + " |", "| --- " * (len(abilities) + 1) + "|"]
    for name, found in results.items():
        cells = [cell(found[one], notes) for one in abilities]
        lines.append(f"| {name} {found['version']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(reason: str, notes: list[str]) -> str:
    if not reason.startswith(CANNOT):
        return reason.replace("|", "/").replace("\n", " ")[:80] or "yes"
    note = reason.removeprefix(CANNOT)
    if note not in notes:
        notes.append(note)
    return f"- ({notes.index(note) + 1})"


def with_table(page: str, text: str) -> str:
    """Return a page with other tables between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{rest[rest.index(END) :]}"


def commands(url: str, words: list[str]) -> list[tuple[list[str], Path]]:
    """Return the commands that try clients, each with its folder."""
    older = ("litellm", "llama-index", "instructor")
    newer = (
        "openai (Python)",
        "anthropic (Python)",
        "ollama (Python)",
        "langchain",
        "pydantic",
        "llm",
    )
    found: list[tuple[list[str], Path]] = []
    for name, clients in (("newest", newer), ("older-openai", older)):
        wanted = [word for word in words if any(word in one or one in word for one in clients)]
        wanted = wanted if words else list(clients)
        command = [str(python_of(name)), "-m", "tests.clients.python_clients", url, *wanted]
        if wanted:
            found.append((command, ROOT))
    node = ["node", str(HERE / "node_clients.mjs"), url, *words[:1]]
    vim = [
        str(python_of("newest")),
        "-m",
        "tests.clients.vim_client",
        url,
        str(FOLDER / "llama.vim"),
    ]
    found.append((node, FOLDER / "node"))
    if not words or any(word in "llama.vim" for word in words):
        found.append((vim, ROOT))
    return found


def tried(url: str, words: list[str]) -> Results:
    """Return what the clients did."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    plain["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    results: Results = {}
    for command, folder in commands(url, words):
        try:
            done = subprocess.run(
                command, cwd=folder, env=plain, stdout=subprocess.PIPE, text=True, check=True
            )
            results |= json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"not tried: {error}", file=sys.stderr)
    return results


def main() -> int:
    """Run clients and write the tables; return 1 where one cannot do what it should."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "tests.clients.server", str(port)])
    try:
        while True:
            try:
                httpx2.get(f"{url}/health")
                break
            except httpx2.TransportError:
                assert server.poll() is None
                time.sleep(0.2)
        found = tried(url, sys.argv[1:])
    finally:
        server.terminate()
        server.wait(30)
    kept: Results = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    results = kept | found
    KEPT.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = with_table(PAGE.read_text(encoding="utf-8"), tables(results))
    PAGE.write_text(page, encoding="utf-8")
    failed = [
        why for cells in results.values() for one, why in cells.items() if one != "version" and why
    ]
    return 1 if any(not why.startswith(CANNOT) for why in failed) or not found else 0


if __name__ == "__main__":
    sys.exit(main())
