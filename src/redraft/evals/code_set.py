"""Held-out code: lines, spans and several lines of packages that training never saw.

The set is a list of places (package, file, hash, characters), not of texts: these come from the
corpus on this machine, and a file whose hash is another is refused.
"""

from __future__ import annotations

import ast
import json
import random
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from redraft.editing import Hole, Template
from redraft.errors import ConfigError
from redraft.evals.infill_problems import InfillProblem
from redraft.tasks.code.holes import span
from redraft.tasks.code.snippet import enclosing
from redraft.tasks.code.store import Corpus, Source, open_corpus

MIN_LINE, MAX_LINE = 8, 48  # characters of a line
MAX_SPAN = 32
MAX_CONTEXT = 800  # characters of a function before the hole, and behind it: what a model reads
MAX_HOLE_TOKENS = {"line": 24, "span": 24, "lines": 96}
TRIES = 400


@dataclass(frozen=True)
class HeldOutHole:
    """A hole in a held-out file. first, last: the function around it; start, end: the hole.

    All are characters of the file; sha256 is that of its bytes.
    """

    group: str
    package: str
    path: str
    sha256: str
    first: int
    start: int
    end: int
    last: int


def read_places(path: Path) -> list[HeldOutHole]:
    """Read a list of places, one JSON object a line."""
    return [HeldOutHole(**json.loads(row)) for row in path.read_text(encoding="utf-8").splitlines()]


def write_places(path: Path, places: Sequence[HeldOutHole]) -> None:
    """Write a list of places."""
    rows = [json.dumps(asdict(place), separators=(",", ":")) for place in places]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def problems(places: Sequence[HeldOutHole], corpus: Corpus | None = None) -> list[InfillProblem]:
    """Return the places as problems: the function around the hole, and nothing else of the file.

    Raises:
        ConfigError: the corpus lacks a file, or has another version of it.
    """
    corpus = corpus or open_corpus("python", "held-out")
    known = {(source.package, source.path): source for source in corpus.sources}
    found = []
    for number, place in enumerate(places):
        source = known.get((place.package, place.path))
        if source is None or source.sha256 != place.sha256:
            raise ConfigError(f"the corpus lacks {place.package} {place.path} as it was")
        text = corpus.read(source)
        parts = (text[place.first : place.start], text[place.end : place.last])
        truth = text[place.start : place.end]
        found.append(
            InfillProblem(
                name=str(number),
                group=place.group,
                template=Template.of([parts[0], Hole(1, MAX_HOLE_TOKENS[place.group]), parts[1]]),
                truth=(truth,),
                instruction=None,
                check=parses,
            )
        )
    return found


def parses(text: str) -> bool:
    """Check that a function, indented or not, is Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def choose(corpus: Corpus, counts: dict[str, int], seed: int = 0) -> list[HeldOutHole]:
    """Return places chosen by `seed`, as many of each group as `counts` says, all packages in
    turn, no two in one function."""
    rng = random.Random(f"held-out code {seed}")
    packages = sorted({source.package for source in corpus.sources})
    places: list[HeldOutHole] = []
    used: set[tuple[str, int]] = set()
    for group, count in counts.items():
        for number in range(count):
            package = packages[number % len(packages)]
            files = [source for source in corpus.sources if source.package == package]
            for place in _tries(corpus, files, group, rng):
                if (place.path, place.first) not in used:
                    used.add((place.path, place.first))
                    places.append(place)
                    break
    return places


def _tries(
    corpus: Corpus, files: Sequence[Source], group: str, rng: random.Random
) -> Iterator[HeldOutHole]:
    weights = [source.size for source in files]
    for _ in range(TRIES):
        (source,) = rng.choices(files, weights)
        text = corpus.read(source)
        start = text.rfind("\n", 0, rng.randrange(len(text))) + 1
        around = enclosing(text, start)
        hole = _hole(text, start, group, rng)
        if around is None or hole is None:
            continue
        first, last = around
        if (
            hole[0] - first > MAX_CONTEXT
            or last - hole[1] > MAX_CONTEXT
            or hole[1] > last
            or hole[0] < first + 4
            or not parses(text[first:last])
            or not _in_code(text[first:last], hole[0] - first, hole[1] - first)
        ):
            continue
        yield HeldOutHole(group, source.package, source.path, source.sha256, first, *hole, last)


def _hole(text: str, start: int, group: str, rng: random.Random) -> tuple[int, int] | None:
    end = text.find("\n", start)
    line = text[start:end]
    inside = start + len(line) - len(line.lstrip())
    if not line.strip() or line.lstrip().startswith("#") or line.rstrip() != line:
        return None
    if group == "line":
        return (inside, end) if MIN_LINE <= end - inside <= MAX_LINE else None
    if group == "span":
        found = span(text, start, end, rng)
        good = found and found[1] - found[0] <= MAX_SPAN and text[found[0] : found[1]].strip()
        return found if good else None
    for _ in range(rng.randint(1, 3)):
        end = text.find("\n", end + 1)
    hole = text[inside:end]
    return (inside, end) if end > 0 and hole.count("\n\n") == 0 and len(hole) <= 160 else None


def _in_code(function: str, first: int, last: int) -> bool:
    """Check that no part of a range lies in a docstring or in a string of several lines."""
    top, bottom = function.count("\n", 0, first) + 1, function.count("\n", 0, last) + 1
    for node in ast.walk(ast.parse(textwrap.dedent(function))):
        bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if bare or isinstance(node, ast.Constant | ast.JoinedStr):
            assert isinstance(node, ast.expr | ast.stmt)
            ends = node.end_lineno or node.lineno
            if (bare or ends > node.lineno) and node.lineno <= bottom and ends >= top:
                return False
    return True
