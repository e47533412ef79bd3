"""Install the clients in build/clients: two environments of Python, packages of Node, llama.vim.

Python's clients are in two: some need an older openai than the newest. Nothing is done where it is
done already. What cannot be installed is told, and its rows of the table stay as they are.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "build" / "clients"
PYTHONS = ("newest", "older-openai")
PLUGIN = "https://github.com/ggml-org/llama.vim"
COMMIT = "a1c8e6e"


def python_of(name: str) -> Path:
    return FOLDER / name / "bin" / "python"


def install_python(name: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", FOLDER / name], check=True)
    pip = [python_of(name), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-r", HERE / f"{name}.txt"], check=True)


def install_node() -> None:
    (FOLDER / "node").mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER / "node")
    command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=FOLDER / "node", check=True)


def install_plugin() -> None:
    subprocess.run(["git", "clone", "--quiet", PLUGIN, FOLDER / "llama.vim"], check=True)
    subprocess.run(["git", "-C", FOLDER / "llama.vim", "checkout", "--quiet", COMMIT], check=True)


def main() -> None:
    """Install what is not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = {name: lambda name=name: install_python(name) for name in PYTHONS}  # type: ignore[misc]
    for name, install in (wanted | {"node": install_node, "llama.vim": install_plugin}).items():
        if (FOLDER / name).exists():
            continue
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            print(f"{name} is not installed: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
