"""Intervals of a paired AUC difference by resampling, and many at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import Array, check_count
from tfimportance.evaluation import CONFIDENCE, paired_scores

# Resamples in one matrix, which holds this many numbers for each row.
_CHUNK = 50


def bootstrap_difference(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    baseline_scores: Sequence[ArrayLike],
    *,
    group: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the 95% percentile interval of the mean difference in AUC.

    Each resample draws test rows (or whole groups) and training seeds with
    replacement, the same ones for both sides, so that the interval covers
    other rows and other seeds. It makes no assumption on the shape of the
    distribution and so checks the one of `auc_difference`.

    Args:
        labels: `(num_samples,)` of 0 and 1.
        scores: One `(num_samples,)` array for each seed.
        baseline_scores: The same number of arrays, paired by seed.
        group: `(num_samples,)`, or None for independent rows.
        resamples: How many; those that drew one class only are left out.
        seed: Equal seeds give equal intervals.

    Raises:
        InputError: The lengths do not match or a class is missing.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    check_count("resamples", resamples)
    label, ours, theirs, number = paired_scores(
        labels, scores, baseline_scores, group
    )
    rng = np.random.default_rng(seed)
    num_groups, num_seeds = number.max() + 1, len(ours)
    correction = (num_seeds / max(num_seeds - 1, 1)) ** 0.5
    differences = []
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        drawn = rng.multinomial(
            num_groups, np.full(num_groups, 1 / num_groups), count
        )
        weight = drawn[:, number].astype(np.float64)
        times = rng.multinomial(
            num_seeds, np.full(num_seeds, 1 / num_seeds), count
        )
        each = [
            weighted_auc(label, a, weight) - weighted_auc(label, b, weight)
            for a, b in zip(ours, theirs, strict=True)
        ]
        middle = np.mean(each, axis=0)
        # Seeds are few: the spread of means of them is made up for.
        offset = np.sum(times.T * (each - middle), axis=0) / num_seeds
        differences.append(middle + offset * correction)
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.nanquantile(np.concatenate(differences), [tail, 1 - tail])
    return float(lower), float(upper)


def weighted_auc(label: Array, score: Array, weight: Array) -> Array:
    """Returns `(resamples,)` AUCs under row weights `(resamples, rows)`.

    NaN where all weight of a class is zero. Ties count half.
    """
    _, level = np.unique(score, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    positive, negative = (
        np.add.reduceat((weight * (label == c))[:, order], starts, axis=1)
        for c in (1, 0)
    )
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    above = np.sum(positive * below, axis=1)
    return np.divide(
        above, pairs, out=np.full(len(weight), np.nan), where=pairs > 0
    )


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
