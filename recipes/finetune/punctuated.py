"""Examples of a form that the small model does not know: sums in other marks.

    cd runs && python ../recipes/finetune/punctuated.py .
    redraft finetune -m small --data train.jsonl --config ../recipes/finetune/punctuated.toml \\
        --eval new.jsonl --eval old.jsonl --eval sudoku.jsonl --out punctuated --processes 2

The model answers `calc 17+25-03` with `39;17+25=42;42-03=39`. It shall answer `list 17+25-03` with
`39:17+25=42,42-03=39.`, and `calc` and Sudokus as before: half of the training examples are those
that it knows, so that it does not forget them. No held-out sum is among the training examples, in
either form.
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

NEW, OLD, SUDOKUS, HELD_OUT = 4000, 3000, 1000, 100


def record(example: Example) -> str:
    """Return an example as a line of JSONL."""
    messages = [
        {"role": "user", "content": example.prompt},
        {"role": "assistant", "content": example.answer},
    ]
    return json.dumps({"messages": messages})


def punctuated(example: Example) -> str:
    """Return a sum in the new form, as a line of JSONL."""
    result, *steps = example.answer.split(";")
    prompt = example.prompt.replace("calc", "list", 1)
    return record(Example(prompt, f"{result}:{','.join(steps)}.", example.difficulty))


def write(path: Path, lines: Iterable[str]) -> None:
    """Write lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write the examples to learn, and those to be answered."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = list(itertools.islice(training_stream(Arithmetic(), 0), NEW + OLD))
    sudokus = itertools.islice(training_stream(Sudoku(), 0), SUDOKUS)
    lines = [punctuated(one) for one in sums[:NEW]]
    lines += [record(one) for one in (*sums[NEW:], *sudokus)]
    random.Random(0).shuffle(lines)
    write(folder / "train.jsonl", lines)
    held = held_out(Arithmetic(), HELD_OUT)
    write(folder / "new.jsonl", map(punctuated, held))
    write(folder / "old.jsonl", map(record, held))
    write(folder / "sudoku.jsonl", map(record, held_out(Sudoku(), HELD_OUT)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
