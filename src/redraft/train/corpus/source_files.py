"""Which files of a package are source that people wrote: not tests, vendored, generated or data."""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

MIN_FILE, MAX_FILE = 400, 200_000  # bytes of a file
MAX_PACKAGE = 3_000_000  # bytes of a package: none is to outweigh the others
MAX_LINE = 320
MAX_MEAN_LINE = 60
MIN_LETTERS = 0.40  # share of a file's characters
MAX_FOREIGN = 0.02  # share of characters outside ASCII
PLACES = re.compile(
    r"(^|/)(tests?|testing|_?test_[^/]*|conftest\.py|[^/]*_tests?\.py|_?vendor(ed)?|_vendored?[^/]*"
    r"|third_?party|extern(al|s)?|_extern|thirdparty|locales?|migrations|site-packages|lib2to3"
    r"|idlelib|turtledemo|ensurepip|_distutils|compat/_[^/]*|_?version\.py|__main__\.py"
    r"|_pytesttester\.py"
    r"|[^/]*_pb2(_grpc)?\.py|.*\.(dist-info|data))(/|$)"
)
GENERATED = re.compile(
    r"auto-?generated|generated (by|from|with|code)|do not (edit|modify)|machine generated"
    r"|this file (is|was) generated", re.I,
)  # fmt: skip
FOREIGN_LICENCE = re.compile(
    r"\b(GNU|GPL|LGPL|General Public License|Mozilla Public|MPL|Creative Commons|proprietary)\b"
)
SPECIAL = re.compile(r"<(pad|eos|bos|unk|mask|hole|unused\d+)>|<\|?tool|<\|?turn|<\|?channel")
HEADER = 2_000  # characters in which a licence or a generator is named


def is_source(path: str, data: bytes) -> bool:
    """Check that a file is Python source to learn from, by its path, its header and its text."""
    if not path.endswith(".py") or PLACES.search(path) or not MIN_FILE <= len(data) <= MAX_FILE:
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    head = text[:HEADER]
    if "\r" in text or GENERATED.search(head) or FOREIGN_LICENCE.search(head):
        return False
    return not SPECIAL.search(text) and _is_written(text) and _parses(text)


def _is_written(text: str) -> bool:
    """Check that a text looks like code that a person wrote, not like data."""
    lines = text.split("\n")
    letters = sum(char.isalpha() for char in text)
    foreign = sum(char > "\x7f" for char in text)
    full = [len(line) for line in lines if line.strip()]
    if not full or max(full) > MAX_LINE or sum(full) / len(full) > MAX_MEAN_LINE:
        return False
    solid = len(text) - text.count(" ") - text.count("\n")
    return letters >= MIN_LETTERS * solid and foreign <= MAX_FOREIGN * len(text)


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def of_wheel(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the source files of a wheel, as path and bytes, at most MAX_PACKAGE of them."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".py"))
        yield from _limited((name, archive.read(name)) for name in names)


def of_standard_library() -> Iterator[tuple[str, bytes]]:
    """Yield the source files of the running Python's standard library, all of them."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        data = file.read_bytes()
        if is_source(path, data):
            yield path, data


def _limited(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield source files in an order that their hashes give, until there are enough."""
    kept = [(path, data) for path, data in files if is_source(path, data)]
    kept.sort(key=lambda file: hashlib.sha256(file[1]).digest())
    total = 0
    for path, data in kept:
        total += len(data)
        if total > MAX_PACKAGE:
            return
        yield path, data
