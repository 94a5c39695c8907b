"""Kernel mean matching: weights that move the pool's mean to the target's."""

import numpy as np
from scipy.optimize import brentq

from baselines.kernels import gaussian, median_distance, squared_distances
from baselines.problem import Array, Problem

BATCH = 1000
HIGHEST = 1000.0


def kernel_mean_matching(problem: Problem) -> Array:
    """Returns the weights, within [0, 1000].

    They bring the weighted mean of the pool nearest to the mean of the target
    in the space of a Gaussian kernel, whose width is the median distance.
    Huang et al. 2006, NeurIPS 19. A quadratic program of the whole pool is out
    of reach: as in the library adapt, random batches of at most 1,000 samples
    are matched to all targets each by itself.
    """
    rng = problem.rng()
    width = median_distance(problem.features, problem.target_features, rng)
    weights = np.empty(len(problem))
    number = -(-len(problem) // BATCH)
    for rows in np.array_split(rng.permutation(len(problem)), number):
        x = problem.features[rows]
        near = gaussian(squared_distances(x, problem.target_features), width)
        among = gaussian(squared_distances(x, x), width)
        weights[rows] = matching_weights(among, near.mean(axis=1) * len(rows))
    return weights


def matching_weights(
    among: Array, toward: Array, *, steps: int = 1000
) -> Array:
    """Returns argmin w' K w / 2 - toward' w within the constraints, (n,).

    `among` is K; `toward` is n / num_targets times the sum of the kernels to
    the targets. 0 <= w <= 1000, and |mean w - 1| <= (sqrt(n) - 1) / sqrt(n).
    Accelerated projected gradient steps, starting anew where the objective
    turns up (O'Donoghue and Candes 2015), in place of the interior point.
    """
    n = len(among)
    slack = np.sqrt(n) - 1
    low, high = n - slack * np.sqrt(n), n + slack * np.sqrt(n)
    rate = 1 / np.linalg.norm(among, ord=1)  # at least the largest eigenvalue
    weights = ahead = np.ones(n)
    momentum = 1.0
    for _ in range(steps):
        step = project(ahead - rate * (among @ ahead - toward), low, high)
        if (ahead - step) @ (step - weights) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = step + (momentum - 1) / following * (step - weights)
        weights, momentum = step, following
    return weights


def project(point: Array, low: float, high: float) -> Array:
    """Returns the nearest point within [0, 1000]^n, its sum in [low, high].

    It is the clipped point, shifted by one number for all entries so that the
    sum meets its bound.
    """

    def shifted(by: float) -> Array:
        return np.clip(point + by, 0, HIGHEST)

    bound = np.clip(shifted(0).sum(), low, high)
    if bound == shifted(0).sum():
        return shifted(0)
    widest = np.abs(point).max() + HIGHEST
    by = brentq(lambda by: shifted(by).sum() - bound, -widest, widest)
    return shifted(by)
