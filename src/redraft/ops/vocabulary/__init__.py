"""One look at the vocabulary: `read_vocabulary`, its plain form (`whole`) and its fast form (`chunks`)."""

from redraft.ops.vocabulary.asked import Constraint, Picked, Readout, VocabularyStatistics
from redraft.ops.vocabulary.classes import TokenClasses
from redraft.ops.vocabulary.edits import Allowed, LogitEdits
from redraft.ops.vocabulary.read import read_vocabulary
from redraft.ops.vocabulary.whole import inverse_cdf, softcapped_logits, tempered_logits

__all__ = [
    "Allowed",
    "Constraint",
    "LogitEdits",
    "Picked",
    "Readout",
    "TokenClasses",
    "VocabularyStatistics",
    "inverse_cdf",
    "read_vocabulary",
    "softcapped_logits",
    "tempered_logits",
]
