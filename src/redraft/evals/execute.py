"""Run a program that a model wrote, in a process of its own, with limits on time and memory.

The limits keep a mistake from using up the machine. They are not a sandbox: the program can read
files and use the network.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress

from redraft.errors import RequestError

SECONDS = 10
MEMORY = 1 << 30  # bytes of address space
FILE_SIZE = 1 << 20  # bytes that may be written to a file


def program_passes(program: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> bool:
    """Run a Python program; return true if it reaches its end without an error, within the limits.

    Its output is thrown away.

    Args:
        memory: bytes of address space.

    Raises:
        RequestError: this system cannot set such limits.
    """
    # Exit statuses that a program cannot guess: the end was reached, and limits could not be set.
    mark, unlimited = 2 + secrets.randbelow(100), 110 + secrets.randbelow(100)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        limits = map(str, (int(seconds) + 1, memory, FILE_SIZE, mark, unlimited))
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _LIMITED, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
        try:
            process.communicate(program.encode("utf-8", "replace"), timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)
        if process.returncode == unlimited:
            raise RequestError(
                "this system cannot limit a program's time and memory: it was not run"
            )
        return process.returncode == mark


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Sets its limits, then runs the program that it reads. Only the end of the program gives the status
# `mark`: a program that exits earlier does not pass.
_LIMITED = """
import os, sys
try:
    import resource
    seconds, memory, size = map(int, sys.argv[1:4])
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: size,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))
except (ImportError, AttributeError, ValueError, OSError):
    os._exit(int(sys.argv[5]))
program, mark, sys.argv = sys.stdin.read(), int(sys.argv[4]), [""]
try:
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})
except BaseException:
    os._exit(1)
os._exit(mark)
"""
