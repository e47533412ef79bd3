"""Run the benchmarks and write docs/benchmarks.md and its picture.

Each result is stored as a JSON line, so that an interrupted report goes on where it stopped; --anew
forgets what was stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from page import Line, page, picture

HERE = Path(__file__).parent
DOCS, SOURCE = HERE.parent / "docs", HERE.parent / "src" / "redraft"
STORE = HERE.parent / "build" / "benchmarks.jsonl"
# Folders of the source on which the measured times depend.
MEASURED = (
    "api.py",
    "checkpoint",
    "diffusion",
    "editing",
    "engine",
    "grammar",
    "images",
    "network",
    "ops",
    "quant",
    "server",
)
STEPS = [
    f"step --dtype {dtype} --threads {threads}"
    for dtype in ("bfloat16", "float32")
    for threads in (1, 2)
]
TEXTS = [
    f"generate --dtype {dtype}{threads} --rounds 1"
    for threads in ("", " --threads 2")
    for dtype in ("bfloat16", "float32")
]
SMALL_TEXTS = [
    f"generate --model small --dtype {dtype} --threads {threads}"
    for dtype in ("float32", "bfloat16")
    for threads in (1, 2)
]
RUNS = [
    *STEPS,
    "step --model midbig --rounds 2",
    "vocabulary",
    "memory",
    "images --layers 1 --rounds 1",
    "batch",
    "serve",
    "mixed_load --rounds 3",
    "context --rounds 1",
    *TEXTS,
    *SMALL_TEXTS,
    "generate --model small --dtype float32 --rows 8",
    *(f"constraint --schema {name}" for name in ("typical", "40", "100", "200")),
    "quantized",
    "startup",
]


def results(command: str) -> list[Line]:
    """Return the JSON lines of one run: the stored ones of this code, or those of a new run."""
    stored = [json.loads(line) for line in STORE.read_text().splitlines()] if STORE.exists() else []
    lines = [line for line in stored if (line["command"], line["code"]) == (command, code())]
    if lines:
        return lines
    name, *options = command.split()
    print(f"benchmarks/{command}", flush=True)
    program = [sys.executable, str(HERE / f"{name}.py"), *options, "--json"]
    done = subprocess.run(program, check=True, stdout=subprocess.PIPE)
    for line in done.stdout.decode().splitlines():
        lines.append(json.loads(line) | {"command": command, "code": code()})
    STORE.parent.mkdir(exist_ok=True)
    with STORE.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return lines


@cache
def code() -> str:
    """Return a digest of the measured code, so that figures of other code are not taken for its."""
    files = [path for path in HERE.glob("*.py") if path.name not in ("report.py", "page.py")]
    for name in MEASURED:
        path = SOURCE / name
        files += [path] if path.is_file() else path.rglob("*.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def main() -> None:
    """Measure what is missing, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anew", action="store_true", help="measure everything again")
    if parser.parse_args().anew:
        STORE.unlink(missing_ok=True)
    found: dict[str, list[Line]] = {}
    for command in RUNS:
        found.setdefault(command.split()[0], []).extend(results(command))
    (DOCS / "benchmarks.md").write_text(page(found))
    picture(found, DOCS / "images" / "benchmarks.png")


if __name__ == "__main__":
    main()
