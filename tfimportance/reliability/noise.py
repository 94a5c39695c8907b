"""How often labels are wrong, from what they should be."""

import numpy as np

from tfimportance._checks import Array

_STEPS = 300
# Where the opinions say nothing, every flip rate explains the labels as well
# as any other. This share of the rows, as if seen with right labels, settles
# it for few flips.
_PRIOR = 0.02


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
    rates = (0.1, 0.1)
    for _ in range(_STEPS):
        truth = true_label(positive, label, rates)
        rates = (
            float(np.sum((1 - truth)[label == 1]))
            / ((1 + _PRIOR) * max(float(np.sum(1 - truth)), 1e-12)),
            float(np.sum(truth[label == 0]))
            / ((1 + _PRIOR) * max(float(np.sum(truth)), 1e-12)),
        )
    return rates


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
