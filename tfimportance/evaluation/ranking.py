"""How well a model ranks within groups, such as the results of one query."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
    fail,
)

_DEPTH = 10


@dataclass(frozen=True)
class RankingQuality:
    """Means over the groups that have both labels; others rank nothing.

    Attributes:
        groups: Number of groups with both labels.
        roc_auc: Mean ROC AUC within a group, in [0, 1].
        ndcg_at_10: Mean normalised discounted cumulative gain of the first
            ten (Järvelin and Kekäläinen, 2002), in [0, 1].
    """

    groups: int
    roc_auc: float
    ndcg_at_10: float


def evaluate_ranking(
    labels: ArrayLike, score: ArrayLike, group: ArrayLike
) -> RankingQuality:
    """Returns how well the scores order the rows within each group.

    Example:
        >>> scores, query = [0.9, 0.1, 0.8, 0.3], [7, 7, 8, 8]
        >>> quality = evaluate_ranking([1, 0, 0, 1], scores, query)
        >>> quality.groups, quality.roc_auc, round(quality.ndcg_at_10, 3)
        (2, 0.5, 0.815)

    Args:
        labels: `(num_samples,)` of 0 and 1.
        score: `(num_samples,)`, higher means label 1; ties share their ranks.
        group: `(num_samples,)` of any type, such as the query of each row.

    Raises:
        InputError: The lengths do not match, or no group has both labels.
    """
    label, groups = np.asarray(labels), np.asarray(group)
    value = np.asarray(score, np.float64)
    check_length("labels", label, label.size, "labels")
    check_binary("labels", label)
    check_length("score", value, len(label), "labels")
    check_finite("score", value)
    check_length("group", groups, len(label), "labels")
    number = np.unique(groups, return_inverse=True)[1]
    auc, ndcg = _by_group(label, value, number)
    ranks = ~np.isnan(auc)
    if not ranks.any():
        raise fail(
            "`group` must have at least one group with both labels.",
            f"{len(auc)} groups, each with one label",
            "Group by the query, not by the row.",
        )
    return RankingQuality(
        groups=int(ranks.sum()),
        roc_auc=float(auc[ranks].mean()),
        ndcg_at_10=float(ndcg[ranks].mean()),
    )


def _by_group(label: Array, score: Array, number: Array) -> tuple[Array, Array]:
    """Returns `(num_groups,)` AUC and NDCG, NaN where a label is missing.

    Rows with the same score share their places, as in scikit-learn.
    """
    order = np.lexsort((-score, number))
    label, score, number = label[order], score[order], number[order]
    size = np.bincount(number)
    positive = np.bincount(number, label)
    place = np.arange(len(label)) - (np.cumsum(size) - size)[number]
    is_new = (np.diff(number, prepend=-1) != 0) | (
        np.diff(score, prepend=np.nan) != 0
    )
    tie = np.cumsum(is_new) - 1
    tied = np.bincount(tie)
    shared = (np.bincount(tie, place) / tied)[tie]
    discount = np.where(place < _DEPTH, 1 / np.log2(place + 2), 0)
    gain = label * (np.bincount(tie, discount) / tied)[tie]
    ideal = np.append(0, np.cumsum(1 / np.log2(np.arange(_DEPTH) + 2)))
    best = ideal[np.minimum(positive, _DEPTH).astype(int)]
    # Negatives behind a positive: all places behind it but those of positives.
    behind = np.bincount(number, label * (size[number] - 1 - shared))
    pairs = positive * (size - positive)
    with np.errstate(invalid="ignore"):
        auc = (behind - positive * (positive - 1) / 2) / pairs
        ndcg = np.bincount(number, gain) / best
    return np.where(pairs > 0, auc, np.nan), ndcg
