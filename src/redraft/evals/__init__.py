"""Held-out examples in, honest figures out: by difficulty, with confidence intervals and steps used."""

from redraft.evals.evaluate import Outcome, evaluate
from redraft.evals.summary import Row, summarise, wilson

__all__ = ["Outcome", "Row", "evaluate", "summarise", "wilson"]
