"""The README as somebody follows it: each command and sample, in an environment of its own that has
the built wheel, and in a folder without the repository.

What the environment has beside the wheel are the packages that redraft depends on: those of the
environment that runs the tests, so that nothing is downloaded. `make first-contact` runs it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.docs.blocks import ALL, ROOT, Block

pytestmark = pytest.mark.long

README = ALL["README.md"]
SHELL = [block for block in README if block.language == "shell"]
# What stands in the README for something of the reader's, and what a reader could put there.
STAND_INS = {"CHECKPOINT": "small-text", "TEXT": "calc 17+25-03"}
FILES = {
    "hole.py": "def step(shops):\n<hole>\n    for one in shops:\n        acc += one.age\n    return acc\n",
    "lines.py": "def f(xs):\n    total = 0\n    for x in xs:\n        total += x\n    return total\n",
    "schema.json": json.dumps({"type": "string", "maxLength": 8}),
    "question.txt": "calc 17+25-03\n",
}
SECONDS = 600


class Newcomer:
    """A folder, an environment with the wheel, and what is run in both."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder / "here", folder / "venv" / "bin"
        self.folder.mkdir()
        for name, text in FILES.items():
            (self.folder / name).write_text(text)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
        subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=SECONDS)
        (wheel,) = folder.glob("redraft-*.whl")
        venv.create(folder / "venv", with_pip=False)
        self._install(wheel)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment = kept | {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "dumb",
        }

    def _install(self, wheel: Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        options = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
        subprocess.run([*command, *options], check=True, capture_output=True, timeout=SECONDS)
        (packages,) = (self.bin.parent / "lib").glob("python*/site-packages")
        # Behind the environment's own folder: the wheel's redraft is the one that is imported.
        (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, input=given, capture_output=True,
            text=True, timeout=SECONDS,
        )  # fmt: skip

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    return Newcomer(tmp_path_factory.mktemp("newcomer"))


def lines() -> Iterator[str]:
    """Yield the README's commands of redraft."""
    for block in SHELL:
        for line in block.code.splitlines():
            if line.startswith("redraft "):
                yield " ".join(shlex.split(line, comments=True, posix=False))


LINES = list(lines())


def as_written_by_a_reader(line: str) -> str:
    """Put something into the places that the README leaves to its reader."""
    for place, given in STAND_INS.items():
        line = re.sub(rf"\b{place}\b", shlex.quote(given), line)
    files = {"infill": "hole.py", "rewrite": "lines.py", "--json-schema": "schema.json"}
    for word, name in files.items():
        line = re.sub(rf"({word}) FILE\b", rf"\1 {name}", line)
    line = re.sub(r"\bFOLDER\b", "quantized", line)
    # The whole set takes a core ten minutes and more, and its first part shows as much.
    line = re.sub(r"^redraft eval sudoku\b", "redraft eval sudoku --count 4", line)
    # A small model knows its own prompts alone, and the small one sums.
    if "17+25" in line and "--json-schema" not in line:
        line = line.replace("small-text", "small")
    return line.replace("--model small-text --prompt -", "--model small --prompt -")


def test_the_readme_has_commands_and_a_sample() -> None:
    assert len(LINES) > 12
    assert [block.language for block in README].count("python") >= 1


def test_what_is_imported_is_the_wheel(newcomer: Newcomer) -> None:
    done = newcomer.run(["python", "-c", "import redraft; print(redraft.__file__)"])
    assert done.stdout.startswith(str(newcomer.bin.parent))
    assert newcomer.run(["redraft", "--version"]).stdout.startswith("redraft ")


SERVERS = ("redraft play", "redraft serve")


@pytest.mark.parametrize("line", [one for one in LINES if not one.startswith(SERVERS)])
def test_a_command_does_its_work(newcomer: Newcomer, line: str) -> None:
    command = as_written_by_a_reader(line)
    given = "calc 17+25-03\n/quit\n" if line.startswith("redraft chat") else ""
    done = newcomer.run(["bash", "-c", command], given)
    # A diff is exit status 1, as diff has it.
    assert done.returncode in ((0, 1) if "rewrite" in line else (0,)), done.stderr[-2000:]
    assert done.stdout.strip() or "quantize" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", [one for one in LINES if one.startswith(SERVERS)])
def test_a_server_answers_until_it_is_stopped(newcomer: Newcomer, line: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*shlex.split(as_written_by_a_reader(line)), "--port", str(port)]
    if "play" in command:
        command.append("--no-browser")
    process = newcomer.start(command)
    try:
        answer = until(lambda: _get(port, "/health"), process)
        assert b"200 OK" in answer
        assert b"<title>redraft" in _get(port, "/")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def until(ask: Callable[[], bytes], process: subprocess.Popen[str]) -> bytes:
    for _ in range(SECONDS * 2):
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            return ask()
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


def _get(port: int, path: str) -> bytes:
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        connection.sendall(request.encode())
        while part := connection.recv(1 << 16):
            found += part
    return found


@pytest.mark.parametrize(
    "block", [one for one in README if one.language == "python"], ids=lambda one: one.name
)
def test_a_sample_runs_and_says_something(newcomer: Newcomer, block: Block) -> None:
    code = block.code.replace("path/to/checkpoint", "small-text")
    done = newcomer.run(["python", "-"], code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "settled:" in done.stdout
