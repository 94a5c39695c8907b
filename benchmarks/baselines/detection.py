"""How well low values find wrong labels: the OpenDataVal protocol.

Jiang et al. 2023, NeurIPS Datasets and Benchmarks, arXiv:2306.10577.
"""

import numpy as np

from baselines.problem import Array


def detection_f1(values: Array, is_noisy: Array) -> float:
    """Returns the F1 of the lower of two clusters as the noisy samples.

    Args:
        values: (num_samples,); higher is more important.
        is_noisy: (num_samples,) bool; whether the label is wrong.
    """
    suspect = low_cluster(values)
    hits = np.sum(suspect & is_noisy)
    return float(2 * hits / max(suspect.sum() + np.sum(is_noisy), 1))


def low_cluster(values: Array) -> Array:
    """Returns True for the lower cluster of the exact 2-means in 1-D.

    The cut with the least squared distance to both means, among all cuts
    between two values that differ; the lowest of equally good ones. False for
    all where all values are the same. O(n log n).

    >>> low_cluster(np.array([5.0, 0.0, 6.0, 1.0]))
    array([False,  True, False,  True])
    """
    centered = np.asarray(values, np.float64) - np.mean(values)
    ordered = np.sort(centered)
    below = np.arange(1, len(ordered))
    # Least squares within = most between: both sums are opposite, and equal.
    sums = np.cumsum(ordered)[:-1]
    between = sums**2 * (1 / below + 1 / below[::-1])
    between[ordered[:-1] == ordered[1:]] = -1
    if between.max(initial=-1) < 0:
        return np.zeros(len(ordered), bool)
    return centered <= ordered[between.argmax()]


def recall_in_lowest(
    values: Array, is_noisy: Array, fraction: float = 0.1
) -> float:
    """Returns the share of the noisy samples among the lowest values.

    `fraction` of all samples are looked at (the lowest tenth if not said),
    rounded. Where several samples tie for the last places, they share them
    equally, so that the order of the samples is of no account.

    >>> values = np.array([0.0, 1.0, 1.0, 2.0])
    >>> recall_in_lowest(values, np.array([0, 0, 1, 0], bool), fraction=0.5)
    0.5
    """
    places = round(fraction * len(values))
    if not places or not np.any(is_noisy):
        return 0.0
    last = np.sort(values)[places - 1]
    surely, tied = values < last, values == last
    found = np.sum(is_noisy & surely)
    found += (places - surely.sum()) / tied.sum() * np.sum(is_noisy & tied)
    return float(found / np.sum(is_noisy))
