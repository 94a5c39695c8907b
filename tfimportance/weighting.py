"""Scores to `sample_weight`: exponential tempering to a chosen effective size.

Exponential weights collapse onto a few rows when their strength is guessed.
Here the strength is solved for instead: the caller says how many rows the
weighted data should still be worth, and no setting can collapse.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax

from tfimportance._arrays import ClippedArray
from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
    check_number,
    fail,
)

# Scores are standardised first, so a strength above this is a hard maximum.
_STRONGEST = 1e6


class SampleWeight(ClippedArray):
    """A float32 array `(num_samples,)` of mean 1 that can describe itself."""

    @property
    def effective_sample_size(self) -> float:
        """Kish effective sample size, from 1 to `num_samples` rows."""
        return effective_sample_size(self)

    @property
    def effective_fraction(self) -> float:
        """Effective sample size as a share of the rows, in (0, 1]."""
        return self.effective_sample_size / len(self)

    @property
    def perplexity(self) -> float:
        """`exp(entropy)` of the weight shares: rows, from 1 to N."""
        share = self._share()
        return float(np.exp(-np.sum(share * np.log(np.where(share, share, 1)))))

    @property
    def largest_share(self) -> float:
        """The share of all weight that the heaviest row has, in (0, 1]."""
        return float(self._share().max())

    def _share(self) -> Array:
        values = np.asarray(self, np.float64)
        return values / values.sum()


def effective_sample_size(sample_weight: ArrayLike) -> float:
    """Returns Kish's `(sum w)^2 / sum w^2`, in rows from 1 to `num_samples`.

    Example:
        >>> effective_sample_size([1.0, 1.0, 1.0, 1.0])
        4.0
        >>> effective_sample_size([0.0, 0.0, 5.0])
        1.0

    Args:
        sample_weight: `(num_samples,)`, finite, not negative, not all zero.

    Raises:
        InputError: The weights are empty, not finite, negative or all zero.

    Source: L. Kish, Survey Sampling, 1965.
    """
    weight = np.asarray(sample_weight, np.float64)
    if weight.size:
        check_finite("sample_weight", weight)
    if not weight.size or weight.min() < 0 or weight.max() == 0:
        raise fail(
            "`sample_weight` must be non-negative with a positive sum.",
            f"sample_weight with {weight.size} values"
            + (
                f" from {weight.min()} to {weight.max()}" if weight.size else ""
            ),
        )
    weight = weight / weight.max()  # no square over- or underflows
    return float(weight.sum() ** 2 / np.square(weight).sum())


def to_sample_weight(
    importance: ArrayLike,
    *,
    effective_fraction: float = 0.85,
    labels: ArrayLike | None = None,
) -> SampleWeight:
    """Returns non-negative weights of mean 1 that follow the importance.

    `w_i = exp(beta * s_i) / mean_j exp(beta * s_j)`, where `beta >= 0` is
    solved for so that the Kish effective sample size `(sum w)^2 / sum w^2` is
    `effective_fraction * num_samples`. The result does not depend on the
    scale or offset of the scores; equal scores give equal weights. Where more
    rows tie for the maximum than `effective_fraction` allows, they share all
    weight.

    Example:
        >>> weight = to_sample_weight([0.1, 0.4, 2.0], effective_fraction=0.8)
        >>> round(weight.effective_fraction, 3)
        0.8
        >>> float(weight.mean().round(3))
        1.0

    Args:
        importance: `(num_samples,)` finite scores in any unit; larger is more
            important, negative is allowed.
        effective_fraction: In (0, 1]. 1 gives uniform weights; small values
            concentrate the training on few rows. On clean data 0.85 is safe;
            on noisy labels 0.6 gains more.
        labels: `(num_samples,)` of 0 and 1. When given, the tempering is done
            within each class, so that the class mix of the data stays as it
            is. Without it, a class with higher scores gains weight.

    Returns:
        `SampleWeight`, float32 `(num_samples,)`, for
        `model.fit(..., sample_weight=...)`.

    Raises:
        InputError: The scores are empty or not finite, `effective_fraction`
            lies outside (0, 1], or `labels` do not match.

    Source: exponential tilting with the effective sample size as the dial; L.
    Kish, Survey Sampling, 1965; C. Cortes, Y. Mansour and M. Mohri, Learning
    bounds for importance weighting, 2010.
    """
    score = np.asarray(importance, np.float64)
    if score.ndim != 1 or not len(score):
        raise fail(
            "`importance` must have shape (num_samples,) with at least one "
            "row.",
            f"importance.shape={score.shape}",
        )
    check_finite("importance", score)
    check_number("effective_fraction", effective_fraction, above=0, at_most=1)
    weight = np.empty_like(score)
    for rows in _classes(labels, len(score)):
        weight[rows] = _temper(score[rows], effective_fraction)
    result = weight.astype(np.float32).view(SampleWeight)
    result.clipped_fraction = getattr(importance, "clipped_fraction", 0.0)
    return result


def raise_effective_size(sample_weight: Array, goal: float) -> Array:
    """Returns `w ** gamma` of the same mean and at least `goal` rows' worth.

    `gamma` is the largest in [0, 1] with `(sum w)^2 / sum w^2 >= goal`: the
    weights come closer together, in their order, as far as is needed. Zeros
    stay zeros.

    Args:
        sample_weight: `(num_samples,)`, not negative, some positive.
        goal: At most the number of positive weights.
    """
    weight = np.asarray(sample_weight, np.float64)
    positive = weight > 0
    score = np.log(weight[positive])
    gamma = min(
        1.0,
        _decreasing_root(
            lambda gamma: _log_effective_size(gamma * score) - np.log(goal)
        ),
    )
    raised = np.zeros_like(weight)
    raised[positive] = softmax(gamma * score) * weight.sum()
    return raised


def _classes(labels: ArrayLike | None, num_samples: int) -> list[Any]:
    if labels is None:
        return [slice(None)]
    label = np.asarray(labels)
    check_length("labels", label, num_samples, "importance")
    check_binary("labels", label)
    return [label == value for value in np.unique(label)]


def _temper(score: Array, effective_fraction: float) -> Array:
    """Weights of mean 1 with the effective size that was asked for."""
    size = np.abs(score).max()
    score = score / size if size else score  # no square over- or underflows
    spread = score.std()
    if spread <= 1e-12:  # all equal, up to rounding
        return np.ones_like(score)
    score = (score - score.max()) / spread
    goal = np.log(effective_fraction * len(score))
    beta = _decreasing_root(
        lambda beta: _log_effective_size(beta * score) - goal
    )
    return softmax(beta * score) * len(score)


def _log_effective_size(log_weight: Array) -> float:
    return float(2 * logsumexp(log_weight) - logsumexp(2 * log_weight))


def _decreasing_root(function: Callable[[float], float]) -> float:
    """Where `function` falls through zero, or the strongest tempering.

    The effective size falls with beta: the derivative of its logarithm is
    twice the weighted mean score at beta minus that at 2 beta.
    """
    upper = 1.0
    while function(upper) > 0:
        upper *= 4
        if upper > _STRONGEST:
            return upper
    if function(0.0) <= 0:  # all of the data was asked for
        return 0.0
    return float(brentq(function, 0.0, upper, xtol=1e-10, rtol=1e-12))
