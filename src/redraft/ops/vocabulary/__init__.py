"""The vocabulary pass: `read_vocabulary`, its dense form and its chunked form."""

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
    Picked,
    Readout,
    SpanConstraint,
    StepComparison,
    VocabularyStatistics,
)

__all__ = [
    "MAX_LOGITS",
    "Allowed",
    "LogitEdits",
    "Picked",
    "Readout",
    "SpanConstraint",
    "StepComparison",
    "TokenClasses",
    "VocabularyStatistics",
    "inverse_cdf",
    "read_vocabulary",
    "softcapped_logits",
    "tempered_logits",
]
