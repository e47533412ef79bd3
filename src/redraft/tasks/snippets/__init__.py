"""Short Python functions and JSON records with holes, and lines rewritten by instruction."""

from redraft.tasks.snippets.infill import Infill
from redraft.tasks.snippets.rewrite import Rewrite
from redraft.tasks.snippets.snippet import filled

__all__ = ["Infill", "Rewrite", "filled"]
