"""From outcomes to a table by difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.evals.evaluate import Outcome

Z95 = 1.959964


@dataclass(frozen=True)
class Row:
    """Figures of the outcomes whose difficulty lies in [least, most]; shares in 0 to 1, `low` and
    `high` the 95 % interval."""

    least: int
    most: int
    count: int
    right: float
    low: float
    high: float
    mean_steps: float
    right_after_first: float | None
    corrected: float | None  # of those wrong after the first pass, the share right in the end
    spoiled: float | None  # of those right after the first pass, the share wrong in the end

    @property
    def name(self) -> str:
        """The bin, for a person."""
        return bin_name(self.least, self.most)


def bin_name(least: int, most: int) -> str:
    """A bin, for a person."""
    return str(least) if least == most else f"{least} to {most}"


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share (E. B. Wilson, 1927)."""
    if count == 0:
        return 0.0, 1.0
    share, z = right / count, Z95
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5 / (1 + z * z / count)
    )
    # The interval holds the share itself, also where rounding would leave it out.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def summarise(outcomes: Sequence[Outcome], bins: Sequence[tuple[int, int]]) -> list[Row]:
    """One row a bin (both ends belong to it), empty bins left out."""
    rows = []
    for least, most in bins:
        mine = [outcome for outcome in outcomes if least <= outcome.example.difficulty <= most]
        if mine:
            rows.append(_row(least, most, mine))
    return rows


def _row(least: int, most: int, outcomes: Sequence[Outcome]) -> Row:
    count, right = len(outcomes), sum(outcome.right for outcome in outcomes)
    drafted = [outcome for outcome in outcomes if outcome.first_right is not None]
    wrong_first = [outcome for outcome in drafted if not outcome.first_right]
    right_first = [outcome for outcome in drafted if outcome.first_right]
    low, high = wilson(right, count)
    return Row(
        least=least,
        most=most,
        count=count,
        right=right / count,
        low=low,
        high=high,
        mean_steps=sum(outcome.steps for outcome in outcomes) / count,
        right_after_first=len(right_first) / len(drafted) if drafted else None,
        corrected=sum(outcome.right for outcome in wrong_first) / len(wrong_first)
        if wrong_first
        else None,
        spoiled=sum(not outcome.right for outcome in right_first) / len(right_first)
        if right_first
        else None,
    )
