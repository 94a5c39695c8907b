"""How well a score finds rows that are known to be wrong."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import f1_score, roc_auc_score

from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
)


@dataclass(frozen=True, eq=False, repr=False)
class Discovery:
    """What is found when rows are looked through, the lowest scores first.

    Attributes:
        inspected_share: Ascending shares of the rows, from 0 to 1.
        found_share: The share of the wrong rows among them, from 0 to 1. In
            between, and where scores tie, the curve is straight.
        num_rows: Number of rows.
        num_wrong: Wrong rows among them.
        roc_auc: Chance that a wrong row scores below a right one, in [0, 1];
            ties count half.
        recall_at_tenth: Share of the wrong rows in the lowest tenth.
        threshold: Rows that score below it count as wrong: the border of an
            exact 2-means clustering of the scores.
        f1: F1 of that, against the truth.
    """

    inspected_share: Array
    found_share: Array
    num_rows: int
    num_wrong: int
    roc_auc: float
    recall_at_tenth: float
    threshold: float
    f1: float

    def to_frame(self) -> pd.DataFrame:
        """Returns the curve, a row for each point."""
        return pd.DataFrame(
            {
                "inspected_share": self.inspected_share,
                "found_share": self.found_share,
            }
        )

    def __str__(self) -> str:
        lines = [f"{self.num_wrong} wrong rows among {self.num_rows}"]
        for share in (0.05, 0.1, 0.2, 0.5):
            found = np.interp(share, self.inspected_share, self.found_share)
            lines.append(f"  lowest {share:4.0%} holds {found:4.0%} of them")
        lines.append(f"  ROC AUC {self.roc_auc:.3f}, 2-means F1 {self.f1:.3f}")
        return "\n".join(lines)

    __repr__ = __str__


def discovery_curve(importance: ArrayLike, is_wrong: ArrayLike) -> Discovery:
    """Returns how fast the wrong rows are found from the lowest score up.

    Args:
        importance: `(num_rows,)` finite scores; low ones are suspected.
        is_wrong: `(num_rows,)` of bool or 0 and 1; both must occur.

    Raises:
        InputError: Where the arguments do not fit.

    Example:
        >>> import tfimportance as tfi
        >>> tfi.discovery_curve([-2.0, -1.0, 3.0, 4.0], [1, 0, 0, 0])
        1 wrong rows among 4
          lowest   5% holds  20% of them
          lowest  10% holds  40% of them
          lowest  20% holds  80% of them
          lowest  50% holds 100% of them
          ROC AUC 1.000, 2-means F1 0.667

    Source: the noisy-label protocol of K. Jiang et al., OpenDataVal, 2023.
    """
    score = np.asarray(importance, np.float64)
    check_length("importance", score, score.size, "importance")
    check_finite("importance", score)
    wrong = np.asarray(is_wrong)
    check_length("is_wrong", wrong, len(score), "importance")
    check_binary("is_wrong", wrong, both=True)
    wrong = wrong.astype(bool)
    order = np.argsort(score)
    ends = np.flatnonzero(np.diff(score[order], append=np.inf)) + 1
    found = np.cumsum(wrong[order])[ends - 1]
    inspected_share = np.append(0, ends) / len(score)
    found_share = np.append(0, found) / found[-1]
    threshold = two_means_threshold(score)
    return Discovery(
        inspected_share=inspected_share,
        found_share=found_share,
        num_rows=len(score),
        num_wrong=int(found[-1]),
        roc_auc=float(roc_auc_score(wrong, -score)),
        recall_at_tenth=float(np.interp(0.1, inspected_share, found_share)),
        threshold=threshold,
        f1=float(f1_score(wrong, score < threshold, zero_division=0.0)),
    )


def two_means_threshold(values: Array) -> float:
    """Returns the smallest value of the higher of two exact 1-D clusters.

    Of all splits of the sorted values, the one with the least sum of squares
    within the parts is that with the largest `total_k^2 / (k * (n - k))`,
    where `total_k` sums the k lowest deviations from the mean. So one pass
    over prefix sums finds it, in O(n log n) with the sorting. Equal values
    are one cluster: the result is that value.

    Args:
        values: `(n,)` finite float64.
    """
    ordered = np.sort(values)
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    total = np.cumsum(ordered - ordered.mean())[:-1]
    size = np.arange(1.0, len(ordered))
    between = np.where(
        np.diff(ordered) > 0, total**2 / (size * size[::-1]), -1.0
    )
    return float(ordered[np.argmax(between) + 1])
