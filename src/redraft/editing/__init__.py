"""Editing: a text with holes becomes a canvas on which everything but the holes is frozen."""

from redraft.editing.plan import plan_infill, plan_repair, rewriting
from redraft.editing.repair import Change, Repaired
from redraft.editing.result import Candidate, Infilled
from redraft.editing.session import Edit, Session
from redraft.editing.template import MARK, Hole, Template

__all__ = [
    "MARK",
    "Candidate",
    "Change",
    "Edit",
    "Hole",
    "Infilled",
    "Repaired",
    "Session",
    "Template",
    "plan_infill",
    "plan_repair",
    "rewriting",
]
