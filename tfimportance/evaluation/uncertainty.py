"""How sure one can be of an AUC.

Its standard error comes from the influence of each row on the AUC, which for
independent rows is DeLong's estimate and, summed over groups, the clustered
form for search data, where the rows of one query are not independent.
Intervals are those of a t distribution, for one AUC on the logit scale: where
positive rows or groups are few, they are wide.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import rankdata, t

from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
)

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
_ROUNDING = 1e-24  # a variance of rounding alone


def checked(
    labels: ArrayLike, scores: Sequence[ArrayLike], group: ArrayLike | None
) -> tuple[Array, list[Array], Array]:
    """Returns labels, scores and the number of each row's group."""
    label = np.asarray(labels)
    check_length("labels", label, label.size, "labels")
    check_binary("labels", label, both=True)
    arrays = [np.asarray(score, np.float64) for score in scores]
    for array in arrays:
        check_length("probability", array, len(label), "labels")
        check_finite("probability", array)
    groups = np.arange(len(label)) if group is None else np.asarray(group)
    check_length("group", groups, len(label), "labels")
    number = np.unique(groups, return_inverse=True)[1]
    if not number.any():  # one group tells nothing of others, its rows do
        number = np.arange(len(label))
    return label.astype(np.int8), arrays, number


def auc_and_influence(label: Array, score: Array) -> tuple[float, Array]:
    """The AUC and, for every row, its share in the AUC's deviation.

    A positive row's placement is the share of negatives below it, a negative
    row's the share of positives above it; both average to the AUC.
    """
    positive = label == 1
    num_positive = int(positive.sum())
    num_negative = len(label) - num_positive
    rank = rankdata(score)
    above = (rank[positive] - rankdata(score[positive])) / num_negative
    below = (rank[~positive] - rankdata(score[~positive])) / num_positive
    auc = float(above.mean())
    influence = np.empty(len(label))
    influence[positive] = (above - auc) / num_positive
    influence[~positive] = (1 - below - auc) / num_negative
    return auc, influence


def standard_error(
    influence: Array,
    label: Array,
    group: Array,
    more: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """Returns the standard error of an AUC and its degrees of freedom.

    Each class is a sample of its own. A group pulls the mean towards itself
    by its share of the class, which the variance makes up for; as many groups
    of equal size as (sum n)^2 / sum n^2 (Kish) say how sure it is. Rows that
    all have the same influence show no error; the degrees of freedom are then
    those of the smaller class.

    Args:
        influence: `(num_samples,)`, of sum 0 in each class.
        label: `(num_samples,)` of 0 and 1.
        group: `(num_samples,)` numbers from 0.
        more: A further variance and its degrees of freedom.
    """
    total = np.zeros(group.max() + 1)
    seen = np.zeros(len(total), int)
    parts = []
    for value in (0, 1):
        of_class = label == value
        size = np.bincount(group[of_class], minlength=len(total))
        share = size / size.sum()
        if share.max() == 1:  # one row or group: nothing is known of others
            return 1.0, 1.0
        one = np.bincount(
            group[of_class], influence[of_class], len(total)
        ) / np.sqrt(1 - share)
        total += one
        seen += size > 0
        effective = 1 / np.square(share).sum()
        parts.append((float(np.square(one).sum()), effective - 1))
    if seen.max() > 1:  # groups of both classes: one sample, not two
        variance = float(np.square(total).sum())
        parts = [(variance, min(degrees for _, degrees in parts))]
    least = min(degrees for _, degrees in parts)
    parts.append(more)
    variance = sum(each for each, _ in parts)
    if variance < _ROUNDING:
        return 0.0, max(least, 1.0)
    unsure = sum(each**2 / degrees for each, degrees in parts if each)
    return min(variance**0.5, 1.0), max(variance**2 / unsure, 1.0)


def auc_interval(
    auc: float, error: float, degrees: float
) -> tuple[float, float]:
    """Returns the 95% confidence interval of an AUC, in [0, 1].

    That of its logit: near 1 the AUC of few rows is far from symmetric. Where
    the classes are apart, which has no error, the bound is the AUC that so
    many rows of a class leave possible (Clopper and Pearson, 1934).
    """
    if auc in (0, 1):
        bound = TAIL ** (1 / degrees)
        return (bound, 1.0) if auc else (0.0, 1 - bound)
    reach = float(t.isf(TAIL, degrees)) * error / (auc * (1 - auc))
    lower, upper = expit(logit(auc) + np.array([-reach, reach]))
    return float(lower), float(upper)
