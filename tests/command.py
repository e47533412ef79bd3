"""Runs the `redraft` command, each time in a process of its own.

The processes are forked from one that has loaded torch and the package's modules already, so a run
costs no start of its own. `COMMAND` starts one from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = [sys.executable, "-m", "redraft"]
LOADED = ("torch", "safetensors.torch", "tokenizers", "jinja2", "redraft.api", "redraft.cli.app")
SECONDS = 120


def call(
    *arguments: str, stdin: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        arguments: the words behind `redraft`.
        stdin: the text on standard input.
        folder: the working directory; None for the tests' own.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place) / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin, encoding="utf-8")
        process = context.Process(
            target=_run,
            args=(arguments, folder or Path.cwd(), dict(os.environ), files),
        )
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, SECONDS)
        texts = [file.read_text(encoding="utf-8") for file in files[1:]]
    return subprocess.CompletedProcess(arguments, process.exitcode, *texts)


def _run(
    arguments: tuple[str, ...], folder: Path, environ: dict[str, str], files: list[Path]
) -> None:
    """Become the command: its arguments, streams, folder and environment."""
    for descriptor, file in enumerate(files):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(file, flags), descriptor)
    sys.stdin, sys.stdout, sys.stderr = (
        open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for descriptor, mode in enumerate("rww")
    )
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["redraft", *arguments]
    from redraft.cli.app import main

    main()
