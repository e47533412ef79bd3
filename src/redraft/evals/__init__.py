"""Evaluation on held-out examples: accuracy by difficulty, confidence intervals, forward passes."""

from redraft.evals.evaluate import Outcome, evaluate, retry
from redraft.evals.method_comparison import compare_methods
from redraft.evals.sets import SETS, HeldOutSet
from redraft.evals.summary import DifficultyRow, summarise, wilson
from redraft.evals.wiki_facts import WikiFacts, wiki_facts

__all__ = [
    "SETS",
    "DifficultyRow",
    "HeldOutSet",
    "Outcome",
    "WikiFacts",
    "compare_methods",
    "evaluate",
    "retry",
    "summarise",
    "wiki_facts",
    "wilson",
]
