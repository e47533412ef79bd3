"""Filling in: a text with holes becomes a canvas on which all but the holes is frozen."""

from redraft.editing.model import Model, load
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
    "Model",
    "Repaired",
    "Session",
    "Template",
    "load",
]
