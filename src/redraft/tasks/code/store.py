"""A corpus on disk: one file of text, and an index of the source files in it.

The corpus is not in the repository: `python -m redraft.train.corpus` makes it from the registries.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

from redraft.errors import ConfigError

TEXT, INDEX = "{}.txt", "{}.jsonl"


@dataclass(frozen=True)
class Source:
    """One source file. sha256: of its bytes. start, size: where its bytes lie in the text."""

    package: str
    path: str
    sha256: str
    start: int
    size: int


def corpus_folder(name: str) -> Path:
    """Return the folder of a corpus: below `REDRAFT_CACHE`, or `~/.cache/redraft`."""
    root = os.environ.get("REDRAFT_CACHE") or str(Path("~/.cache/redraft").expanduser())
    return Path(root) / "corpus" / name


def write_split(folder: Path, split: str, files: Iterable[tuple[str, str, bytes]]) -> list[Source]:
    """Write files (package, path, bytes) as one split; return its index."""
    folder.mkdir(parents=True, exist_ok=True)
    index: list[Source] = []
    start = 0
    with (folder / TEXT.format(split)).open("wb") as text:
        for package, path, data in files:
            digest = hashlib.sha256(data).hexdigest()
            index.append(Source(package, path, digest, start, len(data)))
            text.write(data)
            start += len(data)
    lines = [json.dumps(asdict(source)) for source in index]
    (folder / INDEX.format(split)).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return index


class Corpus:
    """One split of a corpus, read from disk as it is needed.

    Attributes:
        sources: the files, in the order of the text.

    Raises:
        ConfigError: there is no such corpus on this machine.
    """

    def __init__(self, folder: Path, split: str) -> None:
        path = folder / INDEX.format(split)
        if not path.exists():
            raise ConfigError(
                f"{path} does not exist: make the corpus first, by python -m redraft.train.corpus"
            )
        rows = path.read_text(encoding="utf-8").splitlines()
        self.sources = tuple(Source(**json.loads(row)) for row in rows)
        with (folder / TEXT.format(split)).open("rb") as text:
            self._text = mmap.mmap(text.fileno(), 0, access=mmap.ACCESS_READ)
        self._ends = list(accumulate(source.size for source in self.sources))

    def __len__(self) -> int:
        """Bytes of all files together."""
        return self._ends[-1]

    def read(self, source: Source) -> str:
        """Return the text of a file."""
        return self._text[source.start : source.start + source.size].decode("utf-8")

    def at(self, byte: int) -> Source:
        """Return the file that holds a byte of the text."""
        return self.sources[bisect_right(self._ends, byte)]

    def digest(self) -> str:
        """Return a hash of all files' hashes, which names the corpus."""
        return digest(self.sources)


def digest(sources: Sequence[Source]) -> str:
    """Return a hash of the files' hashes, in their order."""
    return hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest()


@cache
def open_corpus(name: str, split: str) -> Corpus:
    """Return a corpus by name, opened once."""
    return Corpus(corpus_folder(name), split)
