"""Outcomes as a table by difficulty, and the interval of a share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.evals.evaluate import Outcome

Z95 = 1.959964
# The same quantile of Student's t, for 1 to 30 degrees of freedom.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class DifficultyRow:
    """The figures of the outcomes whose difficulty lies in a bin.

    Attributes:
        min_difficulty, max_difficulty: the bin; both ends belong to it.
        right: the share of right answers, 0 to 1. low, high: its 95 % interval.
        mean_steps: forward passes that wrote text, for each example.
        right_after_first: the share whose first draft was right; None without drafts.
        corrected: of those that were wrong in the first draft, the share that is right in the end.
        spoiled: of those that were right in the first draft, the share that is wrong in the end.
    """

    min_difficulty: int
    max_difficulty: int
    count: int
    right: float
    low: float
    high: float
    mean_steps: float
    right_after_first: float | None
    corrected: float | None
    spoiled: float | None

    @property
    def name(self) -> str:
        """The bin, as a person reads it."""
        return bin_name(self.min_difficulty, self.max_difficulty)


def bin_name(first: int, last: int) -> str:
    """Return a bin as a person reads it."""
    return str(first) if first == last else f"{first} to {last}"


def student_t(freedom: int) -> float:
    """Return the factor of a mean's 95 % interval; above 30 degrees of freedom an approximation
    that is right to 0.002."""
    return T95[freedom - 1] if freedom <= len(T95) else Z95 + 2.4 / freedom


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of right / count (E. B. Wilson, 1927)."""
    if count == 0:
        return 0.0, 1.0
    share, z = right / count, Z95
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    variance = share * (1 - share) / count + z * z / (4 * count * count)
    half = z * variance**0.5 / (1 + z * z / count)
    # Rounding must not leave the share itself outside the interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def summarise(outcomes: Sequence[Outcome], bins: Sequence[tuple[int, int]]) -> list[DifficultyRow]:
    """Return one row for each bin that has outcomes; both ends belong to a bin."""
    rows = []
    for first, last in bins:
        inside = [outcome for outcome in outcomes if first <= outcome.example.difficulty <= last]
        if inside:
            rows.append(_row(first, last, inside))
    return rows


def _row(first: int, last: int, outcomes: Sequence[Outcome]) -> DifficultyRow:
    count, right = len(outcomes), sum(outcome.right for outcome in outcomes)
    drafted = [outcome for outcome in outcomes if outcome.first_right is not None]
    right_first = [outcome for outcome in drafted if outcome.first_right]
    wrong_first = [outcome for outcome in drafted if not outcome.first_right]
    low, high = wilson(right, count)
    return DifficultyRow(
        min_difficulty=first,
        max_difficulty=last,
        count=count,
        right=right / count,
        low=low,
        high=high,
        mean_steps=sum(outcome.steps for outcome in outcomes) / count,
        right_after_first=_share(len(right_first), len(drafted)),
        corrected=_share(sum(outcome.right for outcome in wrong_first), len(wrong_first)),
        spoiled=_share(sum(not outcome.right for outcome in right_first), len(right_first)),
    )


def _share(part: int, count: int) -> float | None:
    return part / count if count else None
