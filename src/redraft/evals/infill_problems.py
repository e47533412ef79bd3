"""Texts with holes of unknown width: the public infilling sets, and held-out examples."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redraft.editing import Hole, Template
from redraft.errors import RequestError
from redraft.evals.execute import program_passes
from redraft.evals.summary import bin_name
from redraft.tasks import Example, Task

FIELDS = ("task_id", "prompt", "suffix", "canonical_solution", "test")


@dataclass(frozen=True)
class InfillProblem:
    """A text with holes, and the true text of each hole.

    Attributes:
        group: problems of a group share a row of the results.
        check: returns true if the filled text is right; None if that cannot be checked.
    """

    name: str
    group: str
    template: Template
    truth: tuple[str, ...]
    instruction: str | None
    check: Callable[[str], bool] | None


def read_problems(
    path: Path, max_tokens: int, instruction: str | None, run_tests: bool
) -> list[InfillProblem]:
    """Read the problems of a `.jsonl` or `.jsonl.gz` file, or of all such files in a folder.

    Each line has the fields of the HumanEval infilling sets (arXiv 2207.14255): task_id, prompt,
    suffix, canonical_solution, test, entry_point.

    Args:
        max_tokens: tokens in a hole at most.
        run_tests: check answers by running `test`.

    Raises:
        RequestError: there is no such file, or a line is not a problem.
    """
    files = sorted(file for file in path.iterdir() if _is_set(file)) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"{path} holds no .jsonl or .jsonl.gz file")
    found = []
    for file in files:
        for where, raw in _lines(file):
            found.append(_problem(raw, where, max_tokens, instruction, run_tests))
    if not found:
        raise RequestError(f"{path} holds no problem")
    return found


def problems_of_examples(
    task: Task, examples: Sequence[Example], bins: Sequence[tuple[int, int]]
) -> list[InfillProblem]:
    """Return held-out examples with holes as problems; each bin of difficulty is a group."""

    def problem(number: int, example: Example) -> InfillProblem:
        ends = next(ends for ends in bins if ends[0] <= example.difficulty <= ends[1])
        return InfillProblem(
            name=str(number),
            group=bin_name(*ends),
            template=Template.around(example.answer, example.holes),
            truth=tuple(example.answer[first:last] for first, last in example.holes),
            instruction=example.prompt,
            check=lambda text: task.check(example, text),
        )

    return [problem(number, example) for number, example in enumerate(examples)]


def _is_set(file: Path) -> bool:
    return file.name.endswith((".jsonl", ".jsonl.gz"))


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file, each with its file and line for an error's text."""
    try:
        data = (
            gzip.decompress(file.read_bytes()) if file.name.endswith(".gz") else file.read_bytes()
        )
        lines = data.decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{file}, line {number}"
            try:
                raw = json.loads(line)
            except ValueError as error:
                raise RequestError(f"{where} is not JSON: {error}") from error
            if not isinstance(raw, dict) or not all(
                isinstance(raw.get(name), str) for name in FIELDS
            ):
                raise RequestError(
                    f"{where} is not a problem: it needs the texts {', '.join(FIELDS)}"
                )
            yield where, raw


def _problem(
    raw: dict[str, Any], where: str, max_tokens: int, instruction: str | None, run_tests: bool
) -> InfillProblem:
    if run_tests and "def check(" in raw["test"] and not isinstance(raw.get("entry_point"), str):
        raise RequestError(
            f"{where} has a check but no entry_point to call it with: leave out --run-tests"
        )
    call = f"\ncheck({raw['entry_point']})\n" if "entry_point" in raw else "\n"
    test = f"\n{raw['test']}{call}"
    return InfillProblem(
        name=raw["task_id"],
        group=raw["task_id"].split("/")[0] or where,
        template=Template.of([raw["prompt"], Hole(1, max_tokens), raw["suffix"]]),
        truth=(raw["canonical_solution"],),
        instruction=instruction,
        check=(lambda text: program_passes(text + test)) if run_tests else None,
    )
