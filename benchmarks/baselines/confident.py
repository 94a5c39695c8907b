"""Confident learning as cleanlab does it: suspects by out-of-fold probability.

Northcutt, Jiang and Chuang 2021, JAIR 70, arXiv:1911.00068. The target is not
used: confident learning looks at the pool alone.
"""

import numpy as np

from baselines.logistic import out_of_fold
from baselines.problem import Array, Problem


def self_confidence(problem: Problem) -> Array:
    """Returns the out-of-fold probability of the given label, in [0, 1]."""
    return own(probabilities(problem), problem.label)


def adjusted_margin(problem: Problem) -> Array:
    """Returns the normalised margin of adjusted probabilities, in [0, 1].

    Each class's probability loses that class's mean self-confidence, both
    are shifted to be at least 0 and scaled to sum 1; then
    `(p_given - p_other + 1) / 2`. (Unadjusted, with two classes, it is the
    self-confidence itself.)
    """
    return own(adjusted(probabilities(problem), problem.label), problem.label)


def pruned(problem: Problem) -> Array:
    """Returns 0 for the suspects to prune by noise rate, 1 for the rest.

    cleanlab's default filter. These are weights: the clean rows are kept.
    """
    suspects = label_issues(probabilities(problem), problem.label)
    return 1.0 - suspects


def probabilities(problem: Problem) -> Array:
    """Returns the out-of-fold probabilities of both classes, (n, 2)."""
    one = out_of_fold(problem.features, problem.label, problem.seed)
    return np.column_stack([1 - one, one])


def own(probability: Array, label: Array) -> Array:
    """Returns the column of each row's label."""
    return probability[np.arange(len(label)), label.astype(int)]


def adjusted(probability: Array, label: Array) -> Array:
    """Returns probabilities less their class thresholds, summing to 1.

    The shift is the highest threshold, so that nothing becomes negative.
    """
    threshold = thresholds(probability, label)
    shifted = probability - threshold + threshold.max()
    return shifted / shifted.sum(axis=1, keepdims=True)


def thresholds(probability: Array, label: Array) -> Array:
    """Returns the mean self-confidence of each class."""
    return np.array([probability[label == c, c].mean() for c in (0, 1)])


def confident_joint(probability: Array, label: Array) -> Array:
    """Returns how many rows with given label i are confidently j, (2, 2).

    A row counts for the most probable class among those whose probability
    reaches the class's threshold; rows that reach none do not count. Scaled
    so that each row of the table sums to the number with that given label.
    """
    reaches = probability >= thresholds(probability, label) - 1e-6
    confident = np.where(reaches, probability, -1).argmax(axis=1)
    given = label.astype(int)
    joint = np.zeros((2, 2))
    np.add.at(joint, (given, confident), reaches.any(axis=1).astype(float))
    joint[np.diag_indices(2)] = np.maximum(joint.diagonal(), 1)
    share = joint / joint.sum(axis=1, keepdims=True)
    return share * np.bincount(given, minlength=2)[:, None]


def label_issues(probability: Array, label: Array) -> Array:
    """Returns True for the rows that pruning by noise rate drops.

    Of the rows with given label i, as many as the joint says belong to the
    other class: those with the largest margin for it. No row goes whose own
    label is the more probable one, and one of each class stays.
    """
    joint = np.round(confident_joint(probability, label)).astype(int)
    issues = np.zeros(len(label), bool)
    for given in (0, 1):
        rows = np.flatnonzero(label == given)
        margin = probability[rows, 1 - given] - probability[rows, given]
        number = min(joint[given, 1 - given], len(rows) - 1)
        worst = np.argsort(-margin, kind="stable")[:number]
        issues[rows[worst]] = margin[worst] > 0
    return issues
