"""Held-out examples in, honest figures out: by difficulty, with confidence intervals and steps
used."""

from redraft.evals.compare import compare
from redraft.evals.evaluate import Outcome, evaluate, try_again
from redraft.evals.sets import SETS, Facts, HeldOut, facts
from redraft.evals.summary import Row, summarise, wilson

__all__ = [
    "SETS",
    "Facts",
    "HeldOut",
    "Outcome",
    "Row",
    "compare",
    "evaluate",
    "facts",
    "summarise",
    "try_again",
    "wilson",
]
