"""Examples of a form that the small model does not know: sums with the steps first.

    cd runs && python ../recipes/finetune/steps_first.py .
    redraft finetune -m small --data train.jsonl --config ../recipes/finetune/steps_first.toml \\
        --eval new.jsonl --eval old.jsonl --eval sudoku.jsonl --out steps-first --processes 2

The model answers `calc 17+25-03` with `39;17+25=42;42-03=39`. It shall answer `show 17+25-03` with
`17+25=42;42-03=39 so 39`, and `calc` and Sudokus as before: a third of the training examples are
those that it knows, so that it does not forget them. No held-out sum is among the training
examples, in either form.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

from redraft.tasks.arithmetic import Arithmetic
from redraft.tasks.sudoku import Sudoku
from redraft.tasks.task import Example, held_out, training_stream

NEW, OLD, SUDOKUS, HELD_OUT = 6000, 2400, 600, 100


def record(example: Example) -> str:
    """Return an example as a line of JSONL."""
    messages = [
        {"role": "user", "content": example.prompt},
        {"role": "assistant", "content": example.answer},
    ]
    return json.dumps({"messages": messages})


def steps_first(example: Example) -> str:
    """Return a sum in the new form, as a line of JSONL."""
    result, *steps = example.answer.split(";")
    prompt = example.prompt.replace("calc", "show", 1)
    return record(Example(prompt, f"{';'.join(steps)} so {result}", example.difficulty))


def write(path: Path, lines: Iterable[str]) -> None:
    """Write lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write the examples to learn, and those to be answered."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = list(itertools.islice(training_stream(Arithmetic(), 0), NEW + OLD))
    sudokus = itertools.islice(training_stream(Sudoku(), 0), SUDOKUS)
    lines = [steps_first(one) for one in sums[:NEW]]
    lines += [record(one) for one in (*sums[NEW:], *sudokus)]
    random.Random(0).shuffle(lines)
    write(folder / "train.jsonl", lines)
    held = held_out(Arithmetic(), HELD_OUT)
    write(folder / "new.jsonl", map(steps_first, held))
    write(folder / "old.jsonl", map(record, held))
    write(folder / "sudoku.jsonl", map(record, held_out(Sudoku(), HELD_OUT)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
