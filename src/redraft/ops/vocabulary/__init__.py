"""One look at the vocabulary: `read_vocabulary`, its plain form (`whole`) and its fast form
(`chunks`)."""

from redraft.ops.vocabulary.dense import (
    MAX_LOGITS,
    inverse_cdf,
    softcapped_logits,
    tempered_logits,
)
from redraft.ops.vocabulary.dispatch import read_vocabulary
from redraft.ops.vocabulary.logit_edits import Allowed, LogitEdits
from redraft.ops.vocabulary.token_classes import TokenClasses
from redraft.ops.vocabulary.types import (
    Comparison,
    Picked,
    Readout,
    SpanConstraint,
    VocabularyStatistics,
)

__all__ = [
    "MAX_LOGITS",
    "Allowed",
    "Comparison",
    "LogitEdits",
    "Picked",
    "Readout",
    "SpanConstraint",
    "TokenClasses",
    "VocabularyStatistics",
    "inverse_cdf",
    "read_vocabulary",
    "softcapped_logits",
    "tempered_logits",
]
