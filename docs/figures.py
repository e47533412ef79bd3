"""Measure the shipped model on its held-out sets and put the tables and pictures into the docs.

    python docs/figures.py [--count N] [--autoregressive small=CHECKPOINT small-text=CHECKPOINT]

Writes docs/images/eval-*.png, and between the marks of docs/small-models.md and of the model card
the tables.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import redraft
from redraft.api import Model
from redraft.evals import (
    SETS,
    DifficultyRow,
    HeldOutSet,
    compare_methods,
    evaluate,
    summarise,
    wiki_facts,
)
from redraft.evals.plot import plot_rows
from redraft.tasks.task import held_out

DOCS = Path(__file__).parent
CARD = Path(redraft.__file__).parent / "small" / "README.md"
FIGURES, TRACES = "figures", "traces"
ATTEMPTS = 4


def measure(name: str, held: HeldOutSet, model: Model, alone: Model | None, count: int) -> str:
    """Evaluate one set in every way; draw its picture and return its tables in Markdown."""
    examples = held_out(held.task, count)
    columns = compare_methods(
        held, examples, model, alone, attempts=ATTEMPTS if held.ruled else 1, batch_size=32
    )
    rows = {way: summarise(outcomes, held.bins) for way, outcomes in columns.items()}
    plot_rows(
        rows,
        f"{name}, {len(examples)} held-out examples",
        held.unit,
        DOCS / "images" / f"eval-{name}.png",
    )
    text = f"**{name}**, {len(examples)} held-out examples, by {held.unit}\n\n{markdown(rows)}\n"
    if name == "wiki":
        text += f"\nBy diffusion {wiki_facts(columns['diffusion'])}.\n"
    return text


def markdown(rows: dict[str, list[DifficultyRow]]) -> str:
    """Return a table: bins down, ways across."""
    head = "| | count | right, one attempt | steps | right after the first step |"
    head += " of the wrong, corrected |"
    ways = [way for way in rows if way != "diffusion"]
    head += "".join(f" {way} |" for way in ways)
    lines = [head, "| --- " * (6 + len(ways)) + "|"]
    for place, row in enumerate(rows["diffusion"]):
        cells = [
            row.name,
            str(row.count),
            share(row),
            f"{row.mean_steps:.1f}",
            percent(row.right_after_first),
            percent(row.corrected),
        ]
        cells += [
            f"{share(rows[way][place])}, {rows[way][place].mean_steps:.0f} passes" for way in ways
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def share(row: DifficultyRow) -> str:
    """Return a share and its interval."""
    return f"{100 * row.right:.1f} % ({100 * row.low:.0f} to {100 * row.high:.0f})"


def percent(value: float | None) -> str:
    """Return a share, or nothing where there are no examples."""
    return "" if value is None else f"{100 * value:.0f} %"


def traces(name: str, count: int) -> str:
    """Return the drafts, step by step, of the first held-out examples that were wrong after the
    first step and right in the end."""
    model, task = redraft.load(SETS[name].model), SETS[name].task
    examples = held_out(task, 100)
    corrected = [
        (seed, outcome.example)
        for seed, outcome in enumerate(evaluate(model, task, examples, batch_size=32))
        if outcome.right and outcome.first_right is False and 3 <= outcome.steps < 12
    ]
    blocks = []
    for seed, example in corrected[:count]:
        drafts = [
            f"step {event.step:2}  {event.text}"
            for event in model.stream(
                messages=[{"role": "user", "content": example.prompt}], seed=seed
            )
            if isinstance(event, redraft.Draft)
        ]
        blocks.append("\n".join((f"{example.prompt}   (seed {seed})", *drafts)))
    return "```text\n" + "\n\n".join(blocks) + "\n```"


def put(path: Path, mark: str, text: str) -> None:
    """Replace the text between the marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    page = path.read_text()
    before, after = page.partition(begin)[0], page.partition(end)[2]
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def figures(path: Path) -> dict[str, str]:
    """Return the tables of a page, by set."""
    text = path.read_text().partition(f"<!-- {FIGURES} -->")[2]
    text = text.partition(f"<!-- end of {FIGURES} -->")[0]
    parts = re.split(r"^\*\*([\w-]+)\*\*,", text, flags=re.MULTILINE)[1:]
    return {
        name: f"**{name}**,{table.rstrip()}\n"
        for name, table in zip(parts[::2], parts[1::2], strict=True)
    }


def main() -> None:
    """Measure all sets, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300, help="held-out examples of each set")
    parser.add_argument(
        "--autoregressive",
        nargs="*",
        default=[],
        metavar="MODEL=CHECKPOINT",
        help="checkpoints that were trained autoregressively only",
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(SETS), help="measure these sets; others' tables stay"
    )
    given = parser.parse_args()
    alone = {
        name: redraft.load(path)
        for name, _, path in (pair.partition("=") for pair in given.autoregressive)
    }
    tables = {}
    for name in given.only or SETS:
        held = SETS[name]
        started = time.perf_counter()
        model = redraft.load(held.model)
        tables[name] = measure(name, held, model, alone.get(held.model), given.count)
        print(tables[name], f"({time.perf_counter() - started:.0f} s)", flush=True)
    for path in (DOCS / "small-models.md", CARD):
        put(path, FIGURES, "\n".join((figures(path) | tables).values()))
    put(DOCS / "small-models.md", TRACES, f"{traces('arithmetic', 3)}\n\n{traces('edits', 1)}")


if __name__ == "__main__":
    main()
