"""How often labels are wrong, from what they should be."""

import numpy as np
from scipy.special import expit, logit

from tfimportance._checks import Array

_START = (0.1, 0.1)
_STEPS = 300
# Where the opinions say nothing, every flip rate explains the labels as well
# as any other. This share of the rows, as if seen with right labels, settles
# it for few flips.
_PRIOR = 0.02
# Of two explanations of the labels the simpler: a shift of the classes costs
# half its square, times this share of the rows. It settles what the opinions
# leave open, and gives way where they are clear.
_SHIFT_PRIOR = 1e-3
_CONVERGED = 1e-10  # change of a flip rate in one step
_SETTLED = 1e-6  # the same of a shift
_STRIDE = 1.0  # of a shift, at most, in one step


def flip_rates(positive: Array, label: Array) -> tuple[float, float]:
    """Returns the share of each true class whose label is wrong.

    The maximum of the posterior by expectation maximisation over the unknown
    true labels, with `positive` as their prior and rates that are the same
    for all rows of a class.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> positive = rng.beta(0.3, 0.3, 20_000)
        >>> truth = rng.random(20_000) < positive
        >>> wrong = rng.random(20_000) < np.where(truth, 0.1, 0.3)
        >>> rates = flip_rates(positive, (truth ^ wrong).astype(int))
        >>> print([round(rate, 1) for rate in rates])
        [0.3, 0.1]

    Args:
        positive: `(num_samples,)` probability that the true label is 1, from
            a source that has not seen the label.
        label: `(num_samples,)` of 0 and 1, as given.

    Returns:
        Of true class 0, of true class 1; each in [0, 1).

    Source: A. Dempster, N. Laird and D. Rubin, JRSS B 39, 1977; the noise
    model of N. Natarajan et al., NIPS 2013.
    """
    rates = _START
    for _ in range(_STEPS):
        before = rates
        rates = _rates(true_label(positive, label, rates), label)
        if max(abs(np.subtract(rates, before))) < _CONVERGED:
            break
    return rates


def class_shift(positive: Array, label: Array) -> float:
    """Returns how much more frequent class 1 is here than `positive` says.

    Where p(x | y) is the same and only the class mix differs, all log-odds of
    label 1 differ by one number. It and the flip rates of `flip_rates` explain
    the labels together: expectation maximisation, with one Newton step for the
    shift. Both change how many labels are 1, and only rows of which `positive`
    is sure tell them apart; the shift is drawn to 0 where those are few.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.random(20_000) < 0.1
        >>> x = rng.normal(np.where(truth, 1.0, -1.0))
        >>> as_frequent = 1 / (1 + np.exp(-2 * x))  # of classes half and half
        >>> print(round(class_shift(as_frequent, truth.astype(int)), 1))
        -2.1

        The log of 1 / 9 is -2.2.

    Args:
        positive: `(num_samples,)` in (0, 1), as in `flip_rates`, but for the
            class mix of other rows.
        label: `(num_samples,)` of 0 and 1, as given.

    Returns:
        Log-odds, to be added to those of `positive`.

    Source: the correction of M. Saerens, P. Latinne and C. Decaestecker,
    Neural Computation 14, 2002, here with labels, which may be wrong.
    """
    shift, rates, stiff = 0.0, _START, _SHIFT_PRIOR * len(label)
    for _ in range(_STEPS):
        moved = shifted(positive, shift)
        truth = true_label(moved, label, rates)
        rates = _rates(truth, label)
        slope = float(np.sum(truth - moved)) - stiff * shift
        bend = float(np.sum(moved * (1 - moved))) + stiff
        step = float(np.clip(slope / bend, -_STRIDE, _STRIDE))
        shift += step
        if abs(step) < _SETTLED:
            break
    return shift


def shifted(positive: Array, shift: float) -> Array:
    """Returns probabilities in (0, 1) with `shift` added to the log-odds."""
    return expit(logit(positive) + shift)


def _rates(truth: Array, label: Array) -> tuple[float, float]:
    """Returns the flip rates that labels of such a probable truth show."""
    return (
        float(np.sum((1 - truth)[label == 1]))
        / ((1 + _PRIOR) * max(float(np.sum(1 - truth)), 1e-12)),
        float(np.sum(truth[label == 0]))
        / ((1 + _PRIOR) * max(float(np.sum(truth)), 1e-12)),
    )


def true_label(
    positive: Array, label: Array, rates: tuple[float, float]
) -> Array:
    """Returns the probability that the true label is 1, given the label.

    By Bayes, with q = `positive` and the flip rates r_0 and r_1:

        label 1: q (1 - r_1) / (q (1 - r_1) + (1 - q) r_0)
        label 0: q r_1 / (q r_1 + (1 - q) (1 - r_0))
    """
    false, missed = rates
    one = positive * np.where(label == 1, 1 - missed, missed)
    zero = (1 - positive) * np.where(label == 1, false, 1 - false)
    total = one + zero
    return np.divide(one, total, out=np.array(positive), where=total > 0)
