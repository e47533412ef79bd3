from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import redraft

COMMAND = [sys.executable, "-c", "from redraft.cli.app import main; main()"]


def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=120)


def test_generate_json_is_the_api(checkpoint: Path) -> None:
    done = call("generate", "-m", str(checkpoint), "-p", "hello", "--seed", "3", "--max-new-tokens", "20", "--json",
                "-s", "max_denoising_steps=4", "-s", "top_p=0.9")  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    finished = redraft.load(checkpoint).generate(
        messages=[{"role": "user", "content": "hello"}], seed=3, max_new_tokens=20, max_denoising_steps=4, top_p=0.9
    )
    assert printed["tokens"] == list(finished.tokens)
    assert printed["text"] == finished.text
    assert printed["statistics"]["steps_per_canvas"] == list(finished.statistics.steps_per_canvas)


def test_generate_raw_and_typewriter_from_a_pipe(checkpoint: Path) -> None:
    done = call("generate", "-m", str(checkpoint), "--raw", "--typewriter", "--seed", "1", "--max-new-tokens", "9",
                stdin="piped text")  # fmt: skip
    assert done.returncode == 0, done.stderr
    finished = redraft.load(checkpoint).generate("piped text", method="typewriter", seed=1, max_new_tokens=9)
    assert done.stdout == finished.text + "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", ""], "nothing to write"),
        (["-p", "x", "-s", "topp=1"], "topp"),
        (["-p", "x", "-s", "top_p=high"], "high"),
        (["-p", "x", "-s", "top_p"], "NAME=VALUE"),
        (["-p", "x", "-s", "entropy_bound=-1"], "entropy_bound"),
        (["-p", "x", "--max-new-tokens", "0"], "max_new_tokens"),
        (["-p", "x", "--dtype", "int3"], "int3"),
        (["-p", "x" * 600], "shorten the prompt"),
    ],
)
def test_mistakes_are_one_line_on_stderr_and_status_2(checkpoint: Path, arguments: list[str], said: str) -> None:
    done = call("generate", "-m", str(checkpoint), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("redraft: ")


def test_inspect_describes_without_loading(checkpoint: Path) -> None:
    done = call("inspect", str(checkpoint), "--json", "--context", "100", "--tensors")
    described = json.loads(done.stdout)
    network = redraft.load(checkpoint).network
    assert described["total_parameters"] == sum(p.numel() for p in network.parameters()) + 2 * 4  # and the scalars
    assert described["kv_cache_bytes"] == network.new_cache(100).nbytes()
    parts = ("weights", "kv_cache", "activations", "vocabulary")
    assert described["total_bytes"] == sum(described[f"{part}_bytes"] for part in parts)
    assert described["tensors"]["model.decoder.norm.weight"]["shape"] == [32]
    assert described["fits"]["RTX 5090"] is True
    table = call("inspect", str(checkpoint))
    assert "2 sliding (window 8), 2 full" in table.stdout


def test_help_and_version() -> None:
    assert "generate" in call("--help").stdout
    assert redraft.__version__ in call("--version").stdout


def in_terminal(*arguments: str, typed: bytes = b"") -> str:
    """What a command draws on a terminal of 100 columns."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen([*COMMAND, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    os.write(controller, typed)
    drawn = b""
    while True:
        try:
            drawn += os.read(controller, 65536)
        except OSError:
            break
        if not drawn:
            break
    assert process.wait(timeout=60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode(errors="replace"))


def test_a_person_sees_tokens_settle_and_the_figures(checkpoint: Path) -> None:
    drawn = in_terminal("generate", "-m", str(checkpoint), "-p", "hello", "--seed", "3")
    for word in ("settled", "revised", "in doubt", "canvas 2", "tokens a pass", "seed 3"):
        assert word in drawn


def test_a_chat_remembers_and_forgets(checkpoint: Path) -> None:
    drawn = in_terminal(
        "chat", "-m", str(checkpoint), "--seed", "3", "--max-new-tokens", "8", typed=b"hello\n/reset\nagain\n/quit\n"
    )
    assert drawn.count("tokens a pass") == 2
