"""KNN-Shapley: exact Shapley values of an unweighted nearest-neighbour vote.

Jia et al. 2019, VLDB 12(11), theorem 1, arXiv:1908.08619.
"""

import numpy as np
from sklearn.metrics import pairwise_distances_chunked

from baselines.problem import Array, Problem


def knn_shapley(problem: Problem, *, neighbors: int = 10) -> Array:
    """Returns each sample's mean Shapley value over the targets.

    The worth of a set S for one target is the number of the target's label
    among the `neighbors` members of S nearest to it, over `neighbors`. Distance
    is Euclidean. O(num_targets * num_samples * log num_samples).
    """
    total = np.zeros(len(problem))
    chunks = pairwise_distances_chunked(
        problem.target_features, problem.features, working_memory=64
    )
    start = 0
    for distance in chunks:
        target_label = problem.target_label[start : start + len(distance)]
        nearest = np.argsort(distance, axis=1, kind="stable")
        match = problem.label[nearest] == target_label[:, None]
        values = from_nearest(match.astype(np.float64), neighbors)
        total += np.bincount(nearest.ravel(), values.ravel(), len(problem))
        start += len(distance)
    return total / len(problem.target_features)


def from_nearest(match: Array, neighbors: int) -> Array:
    """Returns the Shapley values along each row, nearest sample first.

    `match` is 1 where the sample has the target's label. From the farthest
    sample, n, inward, counted from 1:

        s_n = match_n * min(K, n) / (K n)
        s_i = s_{i+1} + (match_i - match_{i+1}) * min(K, i) / (K i)
    """
    rank = np.arange(1, match.shape[1] + 1)
    share = np.minimum(neighbors, rank) / (neighbors * rank)
    # As a sum from the far end: what is beyond the farthest matches nobody.
    steps = match - np.append(match[:, 1:], np.zeros((len(match), 1)), axis=1)
    return np.cumsum((steps * share)[:, ::-1], axis=1)[:, ::-1]
