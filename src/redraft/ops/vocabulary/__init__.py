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
    DistributionComparison,
    Picked,
    Readout,
    SpanConstraint,
    VocabularyStatistics,
)

__all__ = [
    "MAX_LOGITS",
    "Allowed",
    "DistributionComparison",
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
