"""Run a program that a model wrote, in a process of its own, with limits of time and memory.

The limits keep a mistake from taking the machine; they are no sandbox: what is run may read files
and use the network.
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


def passes(program: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> bool:
    """Whether a Python program ends by itself, without an error, within the limits; its output is
    thrown away.

    Raises:
        RequestError: this system has no such limits.
    """
    # Exit statuses that no program can know: it reached its end, and limits could not be set.
    mark, unlimited = 2 + secrets.randbelow(100), 110 + secrets.randbelow(100)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-c",
                _LIMITED,
                *map(str, (int(seconds) + 1, memory, FILE_SIZE, mark, unlimited)),
            ],
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
            raise RequestError("this system cannot limit what a program takes: it was not run")
        return process.returncode == mark


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it began."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Sets its limits, then runs the program it reads. To leave in the middle is no success: only the
# end has the mark.
_LIMITED = """
import os, sys
try:
    import resource
    seconds, memory, size = map(int, sys.argv[1:4])
    wanted = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: memory, resource.RLIMIT_FSIZE: size, resource.RLIMIT_NPROC: 0}
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
except (ImportError, AttributeError, ValueError, OSError):
    os._exit(int(sys.argv[5]))
program, mark, sys.argv = sys.stdin.read(), int(sys.argv[4]), [""]
try:
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})
except BaseException:
    os._exit(1)
os._exit(mark)
"""
