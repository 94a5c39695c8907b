"""Intervals of a paired AUC difference by resampling, and many at once."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import Array, check_count
from tfimportance.evaluation.differences import paired_scores
from tfimportance.evaluation.uncertainty import TAIL

# Resamples in one matrix, which holds this many numbers for each row.
_CHUNK = 50


def bootstrap_differences(
    labels: ArrayLike,
    scores: Mapping[str, Sequence[ArrayLike]],
    baseline_scores: Sequence[ArrayLike],
    *,
    group: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Returns 95% percentile intervals of the mean differences in AUC.

    Each resample draws test rows (or whole groups) and training seeds with
    replacement, the same ones for all strategies, so that the intervals cover
    other rows and other seeds. It makes no assumption on the shape of the
    distribution and so checks the one of `auc_difference`.

    Args:
        labels: `(num_samples,)` of 0 and 1.
        scores: By strategy, one `(num_samples,)` array for each seed.
        baseline_scores: The same number of arrays, paired by seed.
        group: `(num_samples,)`, or None for independent rows.
        resamples: How many; those that drew one class only are left out.
        seed: Equal seeds give equal intervals.

    Raises:
        InputError: The lengths do not match or a class is missing.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    check_count("resamples", resamples)
    label, theirs, _, number = paired_scores(
        labels, baseline_scores, baseline_scores, group
    )
    baseline = [Ranked(label, each) for each in theirs]
    ranked: dict[str, list[Ranked]] = {}
    for name, given in scores.items():
        _, ours, *_ = paired_scores(labels, given, baseline_scores, group)
        ranked[name] = [Ranked(label, each) for each in ours]
    rng = np.random.default_rng(seed)
    num_groups, num_seeds = number.max() + 1, len(baseline)
    # Seeds are few: the spread of means of them is made up for.
    correction = (num_seeds / max(num_seeds - 1, 1)) ** 0.5
    differences: dict[str, list[Array]] = {name: [] for name in ranked}
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        drawn, times = (
            rng.multinomial(size, np.full(size, 1 / size), count).T
            for size in (num_groups, num_seeds)
        )
        weight = drawn[number].astype(np.float64)
        base = np.array([each.auc(weight) for each in baseline])
        for name, strategy in ranked.items():
            each = np.array([one.auc(weight) for one in strategy]) - base
            middle = each.mean(axis=0)
            offset = np.sum(times * (each - middle), axis=0) / num_seeds
            differences[name].append(middle + offset * correction)
    found = {}
    for name, parts in differences.items():
        lower, upper = np.nanquantile(np.concatenate(parts), [TAIL, 1 - TAIL])
        found[name] = float(lower), float(upper)
    return found


class Ranked:
    """Scores in their order, whose AUC is asked for under many weights.

    Args:
        label: `(num_samples,)` of 0 and 1.
        score: `(num_samples,)`.
    """

    def __init__(self, label: Array, score: Array) -> None:
        _, level = np.unique(score, return_inverse=True)
        self._order = np.argsort(level, kind="stable")
        self._starts = np.flatnonzero(np.diff(level[self._order], prepend=-1))
        self._positive = (label[self._order] == 1).astype(np.float64)[:, None]

    def auc(self, weight: Array) -> Array:
        """Returns the AUCs under row weights; ties count half.

        Args:
            weight: `(num_samples, resamples)` float64.

        Returns:
            `(resamples,)`; NaN where all weight of a class is zero.
        """
        every = weight[self._order]
        positive = every * self._positive
        every -= positive  # what is left is that of the negative rows
        if len(self._starts) < len(every):
            positive, every = (
                np.add.reduceat(each, self._starts, axis=0)
                for each in (positive, every)
            )
        pairs = positive.sum(axis=0) * every.sum(axis=0)
        below = np.cumsum(every, axis=0) - every / 2
        above = np.einsum("ij,ij->j", positive, below)
        nothing = np.full(len(pairs), np.nan)
        return np.divide(above, pairs, out=nothing, where=pairs > 0)


def holm(p_values: ArrayLike) -> Array:
    """Returns p-values that stay right when many strategies are compared.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]

    Source: S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    stepped = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted
