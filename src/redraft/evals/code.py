"""Evaluate a code model on held-out code: python -m redraft.evals.code CHECKPOINT [--curve]"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from redraft.api import Model, load
from redraft.editing.options import InfillOptions
from redraft.engine import Method
from redraft.evals.code_curve import hole_figures
from redraft.evals.code_set import HeldOutHole, choose, problems, read_places, write_places
from redraft.evals.evaluate_infill import evaluate_infill, summarise_infill
from redraft.evals.infill_problems import InfillProblem
from redraft.tasks.code.store import open_corpus
from redraft.train.example_encoder import ExampleEncoder

COUNTS = {"line": 300, "span": 200, "lines": 100}
METHODS: tuple[Method, ...] = ("diffusion", "autoregressive")
# Tokens of context in `--curve`, as in training.
PREFIX_LENGTH = 256


def infill(model: Model, found: Sequence[InfillProblem], candidates: int, seed: int) -> None:
    """Infill by both methods, with the same search, and print a JSON line for each group."""
    for method in METHODS:
        options: InfillOptions = {"max_candidates": candidates} if method == "diffusion" else {}
        outcomes = evaluate_infill(model, found, method, seed, lambda: None, options)
        for row in summarise_infill(list(outcomes)):
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
    parser.add_argument("--count", type=int, help="holes of each group at most")
    parser.add_argument("--candidates", type=int, default=6, help="widths tried for each hole")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.choose:
        write_places(args.places, choose(open_corpus("python", "held-out"), COUNTS))
        return
    places = read_places(args.places)
    if args.count:
        groups = {name: list[HeldOutHole]() for name in COUNTS}
        for place in places:
            groups[place.group].append(place)
        places = list(chain.from_iterable(group[: args.count] for group in groups.values()))
    model = load(args.checkpoint, dtype="float32", device="cpu")
    if not args.curve:
        infill(model, problems(places), args.candidates, args.seed)
        return
    assert model.tokenizer is not None
    assert model.chat_template is not None
    encoder = ExampleEncoder(
        model.tokenizer, model.chat_template, model.config.canvas_length, PREFIX_LENGTH
    )
    for row in hole_figures(model.network, encoder, problems(places)):
        print(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
