"""Durable files: what a rename puts in its place is there after a loss of power too.

A rename is atomic, but the system may write the name to the disk before the content. So the content
is written out first, and the folder that holds the name after it.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

# Errors of file systems that cannot do this; they promise nothing.
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def replace_durably(draft: Path, target: Path) -> None:
    """Rename a file, or a folder with all in it, so that the target is always complete."""
    _sync_all(draft)
    os.replace(draft, target)
    _sync(target.parent)


def _sync_all(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _sync_all(inner)
    _sync(path)


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # the system keeps names by itself
    # Windows writes out only what is open for writing.
    number = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(number)
