"""KLIEP, uLSIF and RuLSIF: w(x) = p_target(x) / p_pool(x) by kernels.

All three model w(x) = sum_c alpha_c exp(-|x - c|^2 / (2 width^2)), alpha >= 0,
with at most 100 targets as centres c, as the originals do. The width is a
multiple of the median distance; five folds choose it.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import KFold

from baselines.kernels import (
    draw,
    gaussian,
    median_distance,
    squared_distances,
)
from baselines.problem import Array, Problem

CENTERS = 100
WIDTHS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0)  # times the median distance
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5


def kliep(problem: Problem) -> Array:
    """Returns the weights that bring the pool nearest to the target in KL.

    They maximise the mean over the targets of log w(t), subject to mean 1 over
    the pool. The width is that of the highest held-out mean of log w(t).
    Sugiyama et al. 2008, Annals of the Inst. of Stat. Math. 60.
    """
    best_score, best = -np.inf, np.ones(len(problem))
    for pool, target in kernel_pairs(problem):
        held_out = [
            np.log(target[test] @ kliep_alpha(pool, target[train]) + 1e-12)
            for train, test in folds(len(target), problem)
        ]
        score = float(np.mean(np.concatenate(held_out)))
        if score > best_score:
            best_score, best = score, pool @ kliep_alpha(pool, target)
    return best


def kliep_alpha(pool: Array, target: Array, *, steps: int = 2000) -> Array:
    """Returns alpha >= 0 with mean(pool @ alpha) = 1, (num_centers,).

    With b the pool's mean kernel of each centre, p = b * alpha lies on a
    simplex and the objective is the log-likelihood of a mixture with the
    proportions p: expectation-maximisation climbs to its only maximum with no
    step size, where the original takes projected gradient steps. It stops
    when no objective within the constraints can be 1e-5 higher.
    """
    b = np.maximum(pool.mean(axis=0), 1e-12)
    components = target / b
    proportions = np.full(len(b), 1 / len(b))
    for _ in range(steps):
        mixture = np.maximum(components @ proportions, 1e-300)
        gain = (components / mixture[:, None]).mean(axis=0)
        proportions = proportions * gain
        if gain.max() < 1 + 1e-5:
            break
    return proportions / proportions.sum() / b


def ulsif(problem: Problem) -> Array:
    """Returns the least-squares fit of the density ratio, >= 0.

    Kanamori, Hido and Sugiyama 2009, JMLR 10. Five folds choose width and
    penalty, where the paper leaves single rows out.
    """
    return rulsif(problem, mixed=0)


def rulsif(problem: Problem, *, mixed: float = 0.1) -> Array:
    """Returns the fit of p_target / (mixed p_target + (1 - mixed) p_pool).

    The relative ratio is at most 1 / mixed. Yamada et al. 2013, Neural
    Computation 25, arXiv:1106.4729.
    """
    best_score, best = np.inf, np.ones(len(problem))
    for pool, target in kernel_pairs(problem):
        scores = held_out_errors(pool, target, mixed, problem)
        if scores.min() < best_score:
            penalty = PENALTIES[scores.argmin()]
            theta = rulsif_theta(*moments(pool, target, mixed), penalty)
            best_score, best = scores.min(), pool @ theta
    return best


def moments(pool: Array, target: Array, mixed: float) -> tuple[Array, Array]:
    """Returns H and h.

    H = mixed E_target[k k'] + (1 - mixed) E_pool[k k'] and h = E_target[k] for
    the kernels k to all centres.
    """
    second = (1 - mixed) * pool.T @ pool / len(pool)
    if mixed:
        second += mixed * target.T @ target / len(target)
    return second, target.mean(axis=0)


def rulsif_theta(second: Array, first: Array, penalty: float) -> Array:
    """Returns (H + penalty I)^-1 h, negative entries set to 0."""
    ridge = penalty * np.eye(len(first))
    return np.maximum(np.linalg.solve(second + ridge, first), 0)


def held_out_errors(
    pool: Array, target: Array, mixed: float, problem: Problem
) -> Array:
    """Returns the held-out squared error, but for a constant, by penalty.

    theta' H theta / 2 - h' theta, with H and h of the rows held out.
    """
    errors = np.zeros(len(PENALTIES))
    for (pool_train, pool_test), (train, test) in zip(
        folds(len(pool), problem), folds(len(target), problem), strict=True
    ):
        fitted = moments(pool[pool_train], target[train], mixed)
        second, first = moments(pool[pool_test], target[test], mixed)
        for row, penalty in enumerate(PENALTIES):
            theta = rulsif_theta(*fitted, penalty)
            errors[row] += theta @ second @ theta / 2 - first @ theta
    return errors / FOLDS


def kernel_pairs(problem: Problem) -> Iterator[tuple[Array, Array]]:
    """Yields the kernels of pool and of target to the centres, by width."""
    x, t, rng = problem.features, problem.target_features, problem.rng()
    median = median_distance(x, t, rng)
    centers = draw(t, rng, CENTERS)
    pool, target = squared_distances(x, centers), squared_distances(t, centers)
    for width in WIDTHS:
        yield (
            gaussian(pool, width * median),
            gaussian(target, width * median),
        )


def folds(num_rows: int, problem: Problem) -> list[tuple[Array, Array]]:
    """Returns the rows of training and test for each of five folds."""
    split = KFold(FOLDS, shuffle=True, random_state=problem.seed)
    return list(split.split(np.empty(num_rows)))
