"""Evaluate a code model on held-out code: python -m redraft.evals.code CHECKPOINT [--curve]"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from redraft.api import Model, load
from redraft.evals.code_curve import readings
from redraft.evals.code_set import choose, problems, read_places, write_places
from redraft.evals.hole_sets import Method, fill_problems, group
from redraft.evals.problems import Problem
from redraft.tasks.code.store import open_corpus
from redraft.train.batch import Layout

COUNTS = {"line": 300, "span": 200, "lines": 100}
METHODS: tuple[Method, ...] = ("diffusion", "typewriter")
PREFIX = 256  # tokens of context in `--curve`, as in training


def fill(model: Model, found: Sequence[Problem], candidates: int, seed: int) -> None:
    """Fill all holes by both methods, with one search, and print a line of JSON a group."""
    for method in METHODS:
        options = {"max_candidates": candidates} if method == "diffusion" else {}
        answers = fill_problems(model, found, method, seed, lambda: None, **options)
        for row in group(list(answers)):
            print(json.dumps({"method": method} | asdict(row)), flush=True)


def main() -> None:
    """Read the arguments, and evaluate or choose the set."""
    parser = argparse.ArgumentParser(
        prog="python -m redraft.evals.code", description="Evaluate a code model on held-out code."
    )
    parser.add_argument("checkpoint", nargs="?", help="a folder, a hub id or a shipped name")
    parser.add_argument("--places", type=Path, default=Path("recipes/small-code/held-out.jsonl"))
    parser.add_argument("--choose", action="store_true", help="write the set anew")
    parser.add_argument("--curve", action="store_true", help="two forward passes, no search")
    parser.add_argument("--most", type=int, help="holes of each group at most")
    parser.add_argument("--candidates", type=int, default=6, help="widths tried for each hole")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.choose:
        write_places(args.places, choose(open_corpus("python", "held-out"), COUNTS))
        return
    places = read_places(args.places)
    if args.most:
        kept = {name: [p for p in places if p.group == name][: args.most] for name in COUNTS}
        places = [place for part in kept.values() for place in part]
    model = load(args.checkpoint, dtype="float32", device="cpu")
    if not args.curve:
        fill(model, problems(places), args.candidates, args.seed)
        return
    assert model.tokenizer is not None
    assert model.chat_template is not None
    layout = Layout(model.tokenizer, model.chat_template, model.config.canvas_length, PREFIX)
    for row in readings(model.network, layout, problems(places)):
        print(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
