"""Measure infilling, repair and edit sessions on the small text model, and put the figures into
docs/concepts/infilling.md.

python docs/editing_figures.py [--count N]
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from figures import put

import redraft
from redraft.api import Model
from redraft.editing import Hole, Template
from redraft.evals import SETS, wilson
from redraft.evals.evaluate_infill import InfillOutcome, evaluate_infill
from redraft.evals.infill_problems import problems_of_examples
from redraft.tasks import Example
from redraft.tasks.task import held_out

PAGE = Path(__file__).parent / "concepts" / "infilling.md"
WIDTH = 8  # tokens: the single width that is right most often
NAMES = {"1": "a span", "2": "a line", "3": "two holes"}


def search(model: Model, examples: list[Example]) -> str:
    """Exact answers from both sides and left to right, and with a single width, as a table."""
    held = SETS["infill"]
    problems = problems_of_examples(held.task, examples, held.bins)
    narrow = [
        replace(one, template=Template(one.template.texts, (Hole(WIDTH, WIDTH),) * len(one.truth)))
        for one in problems
    ]
    fill = partial(evaluate_infill, model, method="diffusion", seed=0, progress=lambda: None)
    ways = {
        "from both sides, six widths": fill(problems),
        "left to right, every length": fill(problems, method="autoregressive"),
        f"from both sides, one width of {WIDTH}, padded": fill(
            narrow, options={"max_candidates": 1}
        ),
    }
    lines = [
        f"| exact of {len(problems)} | {' | '.join(NAMES.values())} | all | checker says right |",
        "| --- " * 6 + "|",
    ]
    for way, filled in ways.items():
        answers = list(filled)
        cells = [_share([one for one in answers if one.group == group]) for group in NAMES]
        passed = sum(bool(one.passed) for one in answers)
        cells += [_share(answers), f"{100 * passed / len(answers):.1f} %"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def _share(answers: list[InfillOutcome]) -> str:
    exact, count = sum(one.exact for one in answers), len(answers)
    low, high = wilson(exact, count)
    return f"{100 * exact / count:.1f} % ({100 * low:.0f} to {100 * high:.0f})"


def repaired(model: Model, examples: list[Example]) -> str:
    """Return how often one exchanged word is put right, and a right text left alone."""
    rng, mended, better, kept = random.Random(5), 0, 0, 0
    for example in examples:
        broken = _break(model, example.answer, rng)
        mended += model.repair(broken, instruction=example.prompt, seed=1).text == example.answer
        kept += (
            model.repair(example.answer, instruction=example.prompt, seed=1).text == example.answer
        )
        better += broken != example.answer
    count = len(examples)
    assert better == count
    return (
        f"Of {count} held-out snippets in which one word was exchanged for another of the\n"
        f"same snippet the small text model put {mended} right, to the letter. Of the {count}\n"
        f"snippets as they were it left {kept} alone."
    )


def _break(model: Model, text: str, rng: random.Random) -> str:
    """Return a text with one of its words in another's place."""
    assert model.tokenizer is not None
    _, parts = model.tokenizer.encode_parts(text)
    words = [at for at, part in enumerate(parts) if part.strip().isalpha() and at > 3]
    at = rng.choice([at for at in words if any(parts[other] != parts[at] for other in words)])
    other = rng.choice([parts[one] for one in words if parts[one] != parts[at]])
    return "".join((*parts[:at], other, *parts[at + 1 :]))


def sessions(model: Model, examples: list[Example]) -> str:
    """Return the costs of a first and a second edit near the end of a long text."""
    assert model.tokenizer is not None
    text = ""
    for example in examples:
        text += example.answer + "\n\n\n"
        if len(model.tokenizer.encode(text)) > 2000:
            break
    session = model.edit(text)
    at = text.rfind("    return")
    costs = []
    for _ in range(2):
        before, began = session.encoded, time.perf_counter()
        session.rewrite([(at + 11, at + 12)], hole=Hole(1, 4), seed=1, max_candidates=2)
        costs.append((session.encoded - before, time.perf_counter() - began))
    (first, slow), (second, fast) = costs
    return (
        f"In a text of {len(model.tokenizer.encode(text)):,} tokens, the first edit near its end\n"
        f"encoded {first:,} tokens and took {slow / fast:.1f} times as long as the second.\n"
        f"The second encoded {second}."
    )


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=120, help="held-out examples")
    count = parser.parse_args().count
    model, held = redraft.load("small-text"), SETS["infill"]
    examples = held_out(held.task, count)
    put(PAGE, "session", sessions(model, examples))
    put(PAGE, "repair", repaired(model, examples[:100]))
    put(PAGE, "search", search(model, examples))


if __name__ == "__main__":
    main()
