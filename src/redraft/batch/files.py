"""Files of a job: the input, the answers, the errors beside them, and where the job stands.

Answers and errors are appended in the order of the input, one line for each of its lines, in one of
the two files. So the two together say which line is next, whatever ended the job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from redraft.checkpoint.durable import replace_durably
from redraft.errors import ConfigError, DataError

NUMBER = re.compile(rb'\{"line": (\d+), ')
VERSION = 1


@dataclass(frozen=True)
class Input:
    """A file of lines.

    Attributes:
        lines: those that are not blank. length: in bytes. sha256: of the whole file, when it was
            read.
    """

    path: Path
    lines: int
    length: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Input:
        """Read a file once.

        Raises:
            DataError: it cannot be read.
        """
        digest, count, size = hashlib.sha256(), 0, 0
        try:
            with path.open("rb") as file:
                for line in file:
                    digest.update(line)
                    count += bool(line.strip())
                    size += len(line)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        return cls(path, count, size, digest.hexdigest())

    def begins_as(self, size: int, sha256: str) -> bool:
        """Return True where the first `size` bytes are those of an earlier time."""
        if size > self.length:
            return False
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while size > 0 and (part := file.read(min(size, 1 << 20))):
                digest.update(part)
                size -= len(part)
        return digest.hexdigest() == sha256

    def numbered(self, *, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank behind line `after`, with their numbers from 1."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number > after and line.strip():
                    yield number, line


def beside(output: Path, ending: str) -> Path:
    """Return the path of a file beside an output: OUT.errors.jsonl beside OUT.jsonl."""
    return output.with_name(output.name.removesuffix(".jsonl") + ending)


class JobFiles:
    """The output of a job, locked for this process, and ready for the line behind the last.

    Args:
        settings: what the answers depend on; a job is taken up again with the same.

    Attributes:
        done: lines that are answered or reported. failed: those of them that are reported.
        last: number of the last of them in the input; 0 for none.

    Raises:
        ConfigError: the output is none of this job's, or another process writes it.
    """

    def __init__(self, source: Input, output: Path, settings: Mapping[str, Any]) -> None:
        self.source, self.output = source, output
        self.errors, self.state = beside(output, ".errors.jsonl"), beside(output, ".job.json")
        if output.resolve() == source.path.resolve():
            raise ConfigError(f"{output} is the input: name another file for the answers")
        self._answers = _locked(output)
        self._check(settings)
        self.done, self.failed, self.last = self._resume()
        self._reports = self.errors.open("ab")

    def __enter__(self) -> JobFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (self._answers, self._reports):
            with suppress(OSError):
                file.flush()
                os.fsync(file.fileno())
            file.close()
        if self.failed == 0:
            self.errors.unlink(missing_ok=True)

    def left(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are to be answered, with their numbers."""
        yield from self.source.numbered(after=self.last)

    def write(self, line: int, record: Mapping[str, Any], *, failed: bool) -> None:
        """Write the answer to the next line, or the error."""
        text = json.dumps({"line": line} | dict(record), ensure_ascii=False)
        file = self._reports if failed else self._answers
        # A half of a surrogate pair is no UTF-8; its escape is JSON.
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")
        file.flush()
        self.done, self.failed, self.last = self.done + 1, self.failed + failed, line

    def _check(self, settings: Mapping[str, Any]) -> None:
        """Check that the output is this job's, or begin it."""
        job = {"version": VERSION, "settings": dict(settings)}
        written = [
            path for path in (self.output, self.errors) if path.exists() and path.stat().st_size
        ]
        if not self.state.exists() or not written:
            if written:
                raise ConfigError(
                    f"{written[0]} is there, and no job was begun with it: name another output"
                )
            self._begin(job)
            return
        try:
            before = json.loads(self.state.read_text(encoding="utf-8"))
            size, sha256, kept = before["bytes"], before["sha256"], before["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.state} cannot be read: {error}") from None
        remedy = f"name another output, or delete {self.output}, {self.errors} and {self.state}"
        if changed := [name for name in settings if kept.get(name) != settings[name]]:
            name = changed[0]
            raise ConfigError(
                f"{self.output} was begun with {name}={kept.get(name)!r}, and this is "
                f"{settings[name]!r}: {remedy}"
            )
        if not self.source.begins_as(size, sha256):
            raise ConfigError(
                f"{self.source.path} is not what {self.output} was begun with: {remedy}"
            )
        self._begin(job)  # lines may have been added

    def _begin(self, job: Mapping[str, Any]) -> None:
        draft = self.state.with_name(self.state.name + ".draft")
        given = {"bytes": self.source.length, "sha256": self.source.sha256}
        draft.write_text(json.dumps({**job, **given}, indent=2) + "\n", encoding="utf-8")
        replace_durably(draft, self.state)

    def _resume(self) -> tuple[int, int, int]:
        """Return lines done, lines failed, and the last line; cut what is behind a gap.

        A process that is killed leaves half a line at most. A loss of power can leave a later line
        in one file and not an earlier one in the other.
        """
        answers, reports = _written(self.output), _written(self.errors)
        kept = {self.output: 0, self.errors: 0}
        done = failed = last = 0
        for number, _ in self.source.numbered(after=0):
            if number in answers:
                kept[self.output] = answers[number]
            elif number in reports:
                kept[self.errors], failed = reports[number], failed + 1
            else:
                break
            done, last = done + 1, number
        for path, size in kept.items():
            if path.exists() and path.stat().st_size > size:
                os.truncate(path, size)
        return done, failed, last


def _written(path: Path) -> dict[int, int]:
    """Return the lines of the input that a file is about, and where each record ends."""
    found: dict[int, int] = {}
    if not path.exists():
        return found
    end = last = 0
    with path.open("rb") as file:
        for line in file:
            match = NUMBER.match(line)
            if match is None or not line.endswith(b"}\n") or int(match[1]) <= last:
                break
            end, last = end + len(line), int(match[1])
            found[last] = end
    return found


def _locked(output: Path) -> IO[bytes]:
    """Open the output for this process alone; it is free when the process ends.

    Raises:
        ConfigError: it cannot be written, or another process has it.
    """
    try:
        file = output.open("ab")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}") from None
    try:
        import fcntl
    except ImportError:  # Windows: nothing holds two jobs apart
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(f"another process writes {output}: wait for it, or end it") from None
    return file
