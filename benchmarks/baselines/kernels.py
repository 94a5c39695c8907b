"""The Gaussian kernel that the density-ratio methods share."""

import numpy as np
from scipy.spatial.distance import pdist

from baselines.problem import Array

MEDIAN_ROWS = 1000  # pairwise distances of more change the median little


def gaussian(squared: Array, width: float) -> Array:
    """Returns exp(-distance^2 / (2 width^2)) of squared distances."""
    return np.exp(squared / (-2 * width**2))


def squared_distances(a: Array, b: Array) -> Array:
    """Returns the squared Euclidean distances, (len(a), len(b)) float64.

    By the expanded square, whose rounding may fall below 0: cut off there.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)


def median_distance(x: Array, t: Array, rng: np.random.Generator) -> float:
    """Returns the median distance among rows of both: the median heuristic.

    Of at most `MEDIAN_ROWS` rows of each, drawn without replacement; 1 where
    all rows are the same.
    """
    rows = np.concatenate([draw(x, rng), draw(t, rng)])
    return float(np.median(pdist(rows))) or 1.0


def draw(
    x: Array, rng: np.random.Generator, at_most: int = MEDIAN_ROWS
) -> Array:
    """Returns at most so many rows, drawn without replacement."""
    return x[rng.permutation(len(x))[:at_most]]
