"""How well a model ranks within groups, such as the results of one query."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import ndcg_score

from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
    fail,
)
from tfimportance.evaluation import roc_auc

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
    label, value, groups = (np.asarray(each) for each in (labels, score, group))
    check_length("labels", label, label.size, "labels")
    check_binary("labels", label)
    check_length("score", value, len(label), "labels")
    check_finite("score", value)
    check_length("group", groups, len(label), "labels")
    members = [
        rows for rows in _rows_by_group(groups) if 0 < label[rows].mean() < 1
    ]
    if not members:
        raise fail(
            "`group` must have at least one group with both labels.",
            f"{len(np.unique(groups))} groups, each with one label",
            "Group by the query, not by the row.",
        )
    return RankingQuality(
        groups=len(members),
        roc_auc=_mean([roc_auc(label[r], value[r]) for r in members]),
        ndcg_at_10=_mean(
            [ndcg_score([label[r]], [value[r]], k=_DEPTH) for r in members]
        ),
    )


def _rows_by_group(group: Array) -> list[Array]:
    number = np.unique(group, return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
