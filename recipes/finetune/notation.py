"""Examples of a notation that the small model does not know: sums with p, m and t for +, - and *.

    cd runs && python ../recipes/finetune/notation.py .
    redraft finetune -m small --data train.jsonl --config ../recipes/finetune/notation.toml \\
        --eval new.jsonl --eval old.jsonl --eval sudoku.jsonl --out notation --processes 2

A quarter of the training examples are sums as the model knows them, so that it does not forget
these. No held-out sum is among the training examples, in either notation.
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

NOTATION = str.maketrans("+-*", "pmt")
NEW, OLD, HELD_OUT = 6000, 2000, 100


def record(example: Example) -> str:
    """Return an example as a line of JSONL."""
    messages = [
        {"role": "user", "content": example.prompt},
        {"role": "assistant", "content": example.answer},
    ]
    return json.dumps({"messages": messages})


def renamed(example: Example) -> str:
    """Return a sum in the new notation, as a line of JSONL: `calc 17p25m03`."""
    task, sum_ = example.prompt.split(" ")
    answer = example.answer.translate(NOTATION)
    return record(Example(f"{task} {sum_.translate(NOTATION)}", answer, example.difficulty))


def write(path: Path, lines: Iterable[str]) -> None:
    """Write lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write the examples to learn, and those to be answered."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = list(itertools.islice(training_stream(Arithmetic(), 0), NEW + OLD))
    lines = [renamed(one) for one in sums[:NEW]] + [record(one) for one in sums[NEW:]]
    random.Random(0).shuffle(lines)
    write(folder / "train.jsonl", lines)
    held = held_out(Arithmetic(), HELD_OUT)
    write(folder / "new.jsonl", map(renamed, held))
    write(folder / "old.jsonl", map(record, held))
    write(folder / "sudoku.jsonl", map(record, held_out(Sudoku(), HELD_OUT)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
