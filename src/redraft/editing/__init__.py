"""Filling in: a text with holes becomes a canvas on which all but the holes is frozen."""

from redraft.editing.fill import Candidate, Infilled
from redraft.editing.model import Model, load
from redraft.editing.template import MARK, Hole, Template

__all__ = ["MARK", "Candidate", "Hole", "Infilled", "Model", "Template", "load"]
