"""Checkpoints that are damaged, or that lie: does every reader end in a typed error, in bounded
memory and time, with a message that may be shown?

`python -m tests.attack.files` mutates 2,000 files of each reader, each reader in a process of its
own whose memory is limited: headers, offsets, shapes, dtypes, counts, names, settings, values,
ends that are lost, keys that are there twice, links, indices that point elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

import redraft
from redraft.adapters import load_adapter
from redraft.api import text_files
from redraft.checkpoint import open_checkpoint
from redraft.errors import RedraftError
from tests.attack import mutations
from tests.attack.subjects import SUBJECTS

# Growth of the process that a reader is allowed, KiB: tiny models take a few MiB.
MOST_KIB = 256 << 10
# Memory that may be mapped beyond that of the intact files, bytes.
MOST_MAPPED = 1 << 30
# Seconds of a core, and of the clock, that a case may take.
MOST_CPU, MOST_WAIT = 10.0, 120.0
# Characters of a message, and those that would command a terminal or cannot be printed.
MOST_TEXT = 1 << 16
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class Report:
    """What a reader did with mutated files.

    Attributes:
        loaded, refused: files that were read, and those that ended in a typed error.
        grown: KiB by which the process grew. seconds: of a core, for all cases. slowest: for one.
        wrong: other errors, as text.
    """

    loaded: int = 0
    refused: int = 0
    grown: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


class TooSlowError(BaseException):
    """A case took too long. It is no Exception, so that no reader takes it for one of its own."""


def _stop(number: int, _: object) -> None:
    raise TooSlowError("of a core" if number == signal.SIGPROF else "of the clock")


@contextmanager
def watched() -> Iterator[None]:
    """Stop what is done here when it takes too long."""
    signal.signal(signal.SIGPROF, _stop)
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU)
    signal.setitimer(signal.ITIMER_REAL, MOST_WAIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def damage(folder: Path, places: dict[str, mutations.Places], rng: random.Random) -> Path:
    """Change one file of a folder, and return its path."""
    path = _chosen(folder, rng)
    if rng.random() < 0.02:
        mutations.put_instead(path, rng)
        return path
    whole = path.read_bytes()
    if path.suffix == ".gguf":
        changed = mutations.gguf_file(whole, places[path.name], rng)
    elif path.suffix == ".safetensors":
        changed = mutations.safetensors_file(whole, rng)
    elif path.name.endswith(".index.json"):
        changed = mutations.index_file(whole, rng)
    elif path.suffix == ".json":
        changed = mutations.json_file(whole, rng)
    else:
        changed = mutations.template(whole, rng)
    path.write_bytes(changed)
    return path


def _chosen(folder: Path, rng: random.Random) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    weights = [path for path in files if path.suffix in (".gguf", ".safetensors")]
    settings = [path for path in files if path.name in ("config.json", "adapter_config.json")]
    index = [path for path in files if path.name.endswith(".index.json")]
    texts = [path for path in files if path not in weights]
    if (folder / "only_texts").exists():
        return rng.choice([path for path in texts if path.name != "only_texts"])
    return rng.choice(
        (*[rng.choice(weights)] * 5, *(settings + index) * 2, rng.choice(texts or weights))
    )


def read(folder: Path) -> None:
    """Read a folder as its files ask for."""
    if (folder / "only_texts").exists():
        checkpoint = open_checkpoint(folder)
        tokenizer, template = text_files(checkpoint)
        if tokenizer is not None:
            tokenizer.decode(tokenizer.encode("hello there"))
        if template is not None:
            template.render([{"role": "user", "content": "hello"}])
        return
    if (folder / "adapter_config.json").exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_adapter(folder).check(redraft.load(folder / "base").network)
        return
    files = sorted(folder.glob("*.gguf"))
    model = redraft.load(files[0] if files else folder)
    if model.config.canvas_length <= 32:  # what was let in must run, or say why not
        model.generate([2, 5], max_new_tokens=2, max_denoising_steps=1)


def check_message(error: RedraftError) -> str | None:
    """Return what is wrong with the message of an error."""
    text = str(error)
    if not text or len(text) > MOST_TEXT:
        return f"a message of {len(text)} characters: {text[:200]!r}"
    found = COMMANDS.search(text)
    return f"a message with {found[0]!r}: {text[:300]!r}" if found else None


class Attack:
    """Mutated files of one reader.

    Args:
        note: a file that gets the number of each case before it is read: a process that dies leaves
            it behind.
    """

    def __init__(self, name: str, place: Path, seed: int = 0, note: Path | None = None) -> None:
        self.name, self.seed, self._place, self._note = name, seed, place, note
        self.report = Report()
        self._copy = place / "copy"
        self._originals: list[tuple[Path, dict[str, mutations.Places]]] = []
        for number, make in enumerate(SUBJECTS[name]):
            folder = place / f"original {number}" / "file"
            folder.parent.mkdir()
            make(folder)
            shutil.rmtree(folder.with_name("twin"), ignore_errors=True)
            found = {path.name: mutations.gguf_places(path) for path in folder.glob("*.gguf")}
            self._originals.append((folder, found))
            read(folder)  # intact
        self.report.loaded = len(self._originals)
        self._held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(self, number: int) -> None:
        """Read the file of a case, which its number and the seed make."""
        rng = random.Random(f"{self.name} {self.seed} {number}")
        folder, places = self._originals[number % len(self._originals)]
        shutil.copytree(folder, self._copy)
        if self._note is not None:
            self._note.write_text(str(number))
        try:
            changed = damage(self._copy, places, rng)
            begin = time.process_time()
            problem = self._read()
            took = time.process_time() - begin
            self.report.seconds += took
            self.report.slowest = max(self.report.slowest, took)
            if problem:
                self.report.wrong.append(f"case {number}, {changed.name}: {problem}")
                print(f"{self.name}: {self.report.wrong[-1]}", file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(self._copy)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.report.grown = peak - self._held

    def _read(self) -> str | None:
        try:
            with watched():
                read(self._copy)
            self.report.loaded += 1
        except RedraftError as error:
            self.report.refused += 1
            return check_message(error)
        except TooSlowError as error:
            where = "".join(traceback.format_tb(error.__traceback__, limit=-3))
            return f"more than {MOST_CPU:g} or {MOST_WAIT:g} s {error}\n{where}"
        except Exception:
            return traceback.format_exc(limit=-4)
        return None


def attack(name: str, count: int, seed: int = 0, note: Path | None = None) -> Report:
    """Read `count` mutated files of a reader."""
    with tempfile.TemporaryDirectory() as place:
        cases = Attack(name, Path(place), seed, note)
        if note is not None:
            _limit_memory()
        for number in range(count):
            cases.run(number)
    return cases.report


def _limit_memory() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_MAPPED, resource.RLIM_INFINITY))


def _inside(name: str, options: argparse.Namespace) -> int:
    """Attack one reader in this process, and print what it did."""
    warnings.simplefilter("ignore")
    report = attack(name, options.cases, options.seed, Path(options.note))
    wrong = bool(report.wrong) or report.grown > MOST_KIB or not report.refused
    told = asdict(report) | {"wrong": report.wrong[:8], "errors": len(report.wrong)}
    print(json.dumps({"reader": name, "ok": not wrong, **told}), flush=True)
    return int(wrong)


def _end_with(name: str, options: argparse.Namespace) -> NoReturn:
    """Attack one reader, and end this process there, whatever happens."""
    try:
        os._exit(_inside(name, options))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="files of each reader")
    parser.add_argument("--reader", action="append", choices=SUBJECTS, help="some readers alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name in options.reader or SUBJECTS:
        with tempfile.NamedTemporaryFile() as note:
            options.note = note.name
            if (child := os.fork()) == 0:
                _end_with(name, options)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code not in (0, 1):
                at = Path(note.name).read_text()
                print(
                    json.dumps({"reader": name, "ok": False, "died": code, "case": at}), flush=True
                )
        bad |= code
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
