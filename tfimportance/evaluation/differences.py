"""The paired difference of two models in AUC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from tfimportance._checks import Array, fail
from tfimportance.evaluation.uncertainty import (
    TAIL,
    auc_and_influence,
    auc_interval,
    checked,
    standard_error,
)


@dataclass(frozen=True)
class Difference:
    """A paired difference in ROC AUC, and how sure one can be of it.

    Attributes:
        mean: In [-1, 1].
        error: Its standard error, in [0, 1].
        degrees: Of freedom of the t distribution of mean / error, at least 1:
            few positive rows, groups or seeds leave the error itself unsure.
    """

    mean: float
    error: float
    degrees: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval."""
        reach = float(t.isf(TAIL, self.degrees)) * self.error
        return max(self.mean - reach, -1.0), min(self.mean + reach, 1.0)

    @property
    def p_value(self) -> float:
        """Two-sided, that there is no difference."""
        if not self.error:
            return 1.0
        return float(2 * t.sf(abs(self.mean) / self.error, self.degrees))


def auc_difference(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    baseline_scores: Sequence[ArrayLike],
    *,
    group: ArrayLike | None = None,
) -> Difference:
    """Returns the paired difference in AUC.

    It is the mean over seeds of `AUC(scores) - AUC(baseline)`. Its variance
    adds what other test rows (or groups) would have given, from the mean
    influence of each row, and what other seeds would have given, the variance
    of the per-seed differences over their number.

    Args:
        labels: `(num_samples,)` of 0 and 1.
        scores: One `(num_samples,)` array for each seed.
        baseline_scores: The same number of arrays, paired by seed.
        group: As in `evaluate`.

    Raises:
        InputError: The lengths do not match or a class is missing.

    Source: E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988;
    clusters: N. Obuchowski, Biometrics 53, 1997; degrees of freedom: F. E.
    Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    label, ours, theirs, groups = paired_scores(
        labels, scores, baseline_scores, group
    )
    pairs = [
        (auc_and_influence(label, a), auc_and_influence(label, b))
        for a, b in zip(ours, theirs, strict=True)
    ]
    differences = np.array([a[0] - b[0] for a, b in pairs])
    influence = np.mean([a[1] - b[1] for a, b in pairs], axis=0)
    seeds = len(differences)
    between = float(differences.var(ddof=1)) / seeds if seeds > 1 else 0.0
    mean = float(differences.mean())
    error, degrees = standard_error(
        influence, label, groups, (between, seeds - 1)
    )
    if mean and not error:  # such as a model without a mistake and a constant
        error = (1 - auc_interval(1.0, 0.0, degrees)[0]) / t.isf(TAIL, degrees)
    return Difference(mean, float(error), degrees)


def paired_scores(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    baseline_scores: Sequence[ArrayLike],
    group: ArrayLike | None,
) -> tuple[Array, list[Array], list[Array], Array]:
    """Returns the checked labels, both sides' scores and group numbers."""
    if len(scores) != len(baseline_scores) or not len(scores):
        raise fail(
            "`scores` and `baseline_scores` must hold one array for each of "
            "the same seeds.",
            f"{len(scores)} and {len(baseline_scores)} arrays",
        )
    label, ours, groups = checked(labels, scores, group)
    return label, ours, checked(labels, baseline_scores, group)[1], groups
