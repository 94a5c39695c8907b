"""Many targets as few weighted centroids, with the error that this costs.

A cell c of targets with mean mu and covariance C contributes

    mean over t in c of sinh(<x, t>) = sinh(<x, mu>) * (1 + x' C x / 2) + ...

The first-order error is zero because mu is the mean. What follows is kept as
one factor for each cell, so that a compressed target set costs no more than
its number of centroids. Averaging `x' C x` over all samples would overstate
it: where sinh is large, x points along mu, and along mu unit vectors hardly
spread. So the factor is fitted to the similarities of some samples by least
squares, which weighs them by `sinh(<x, mu>)^2`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans

from tfimportance._checks import (
    Array,
    check_count,
    check_number,
    fail,
)
from tfimportance.importance.modes import as_labels
from tfimportance.importance.reductions import Mean
from tfimportance.importance.settings import Settings
from tfimportance.importance.sources import read_all, survey, take_rows
from tfimportance.importance.streaming import fold_blocks
from tfimportance.importance.tiles import tile_targets
from tfimportance.similarity import check_same_dim, unit

# Targets for each centroid that k-means looks at; more changes little.
_SEEN_PER_CENTROID = 64

# Up to this many centroids, k-means++ is worth what it costs as a start.
_FEW = 256

# Above, one cell's remainder is too large for centroids to be of use.
_LARGEST_SCALE = 20.0

# Samples on which the error is measured and the factors are fitted.
_PROBES = 512

# Members of a cell that the probes look at together.
_CHUNK = 4096


@dataclass(frozen=True)
class CompressedTargets:
    """Centroids that stand for a target set in `importance_scores`.

    Attributes:
        vectors: `(num_centroids, embedding_dim)` float32 means of the cells
            of centred targets of length 1, and one zero vector a class.
        weight: `(num_centroids,)` float64: targets in the cell, times its
            fitted factor. The zero vector, which is similar to nothing,
            takes back what the factors add, so that the weights of a class
            sum to its number of targets.
        labels: `(num_centroids,)` of 0 and 1, or `None`.
        offset: `(embedding_dim,)`, subtracted from the targets.
        center: Whether that is the mean sample, and not zero.
        scale: The scale for which the weights and the errors hold.
        relative_error: Measured on a sample: the size of the error of the
            mean similarity (of a class, the worse one) over its own size.
        error_bound: No vector whatever has a larger absolute error of the
            mean similarity.
    """

    vectors: Array
    weight: Array
    labels: Array | None
    offset: Array
    center: bool
    scale: float
    relative_error: float
    error_bound: float

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(num_centroids, embedding_dim)`."""
        return tuple(self.vectors.shape)


def compress_targets(
    embeddings: Any,
    target_embeddings: Any,
    *,
    target_labels: ArrayLike | None = None,
    num_centroids: int | None = None,
    relative_error: float | None = None,
    scale: float = 4.0,
    center: bool = True,
    seed: int = 0,
) -> CompressedTargets:
    """Returns few weighted centroids in place of many targets.

    For the mean of normalized similarities (`scale` within the clip). Labels
    are kept: each class has centroids of its own.

    Args:
        embeddings: `(num_samples, embedding_dim)` training samples, as in
            `importance_scores`: their mean centres the targets, and some of
            them measure the error.
        target_embeddings: `(num_targets, embedding_dim)`.
        target_labels: `(num_targets,)` of 0 and 1, both present.
        num_centroids: For each class; 64 if neither this nor
            `relative_error` is given.
        relative_error: Above 0; the centroids are doubled until the measured
            error is at most this.
        scale: As in `importance_scores`, with which it must agree.
        center: Likewise.
        seed: Chooses the sample that measures, and starts k-means.

    Returns:
        The centroids, with the measured error and a bound.

    Raises:
        InputError: Where shapes or labels do not fit, or where the requested
            error needs nearly as many centroids as there are targets.

    Example:
        >>> import numpy as np
        >>> from tfimportance.importance import compress_targets
        >>> rng = np.random.default_rng(0)
        >>> samples, targets = rng.normal(3, 1, (2, 900, 8))
        >>> few = compress_targets(
        ...     samples, targets, num_centroids=30, center=False
        ... )
        >>> print(len(few), few.relative_error < 0.01)
        31 True
    """
    check_number("scale", scale, above=0, at_most=_LARGEST_SCALE)
    pool = survey("embeddings", embeddings)
    offset = pool.mean if center else np.zeros_like(pool.mean)
    targets = read_all("target_embeddings", target_embeddings)
    check_same_dim((pool.num_samples, len(offset)), targets.shape)
    label = _class_of(target_labels, len(targets))
    shuffled = np.random.default_rng(seed).permutation(pool.num_samples)
    probes = take_rows("embeddings", embeddings, np.sort(shuffled[:_PROBES]))
    directions, probes = (
        unit(tf.constant(each - offset, tf.float32)).numpy()
        for each in (targets, probes)
    )
    exact = _mean_similarity(
        probes, directions, np.ones(len(label)), label, scale
    )
    for number in _numbers(num_centroids, relative_error, len(targets)):
        cells = _cells(directions, label, number, probes, scale, seed)
        near = _mean_similarity(
            probes, cells.vectors, cells.weight, cells.label, scale
        )
        error = np.linalg.norm(near - exact, axis=0)
        error = float(np.max(error / np.linalg.norm(exact, axis=0)))
        if relative_error is None or error <= relative_error:
            break
    else:
        raise fail(
            "`relative_error` must be reachable with a quarter of the targets.",
            f"relative_error={relative_error}; {number} centroids a class "
            f"have {error:.2g}",
            "Ask for a larger error, or score against all targets.",
        )
    return CompressedTargets(
        vectors=cells.vectors,
        weight=cells.weight,
        labels=None if target_labels is None else cells.label,
        offset=offset,
        center=center,
        scale=scale,
        relative_error=error,
        error_bound=cells.error_bound,
    )


def _class_of(target_labels: Any, num_targets: int) -> Array:
    if target_labels is None:
        return np.zeros(num_targets, np.int64)
    return as_labels("target_labels", target_labels, num_targets, both=True)


def _numbers(
    num_centroids: int | None, relative_error: float | None, num_targets: int
) -> Iterator[int]:
    """Yields the numbers of centroids to try."""
    number = num_centroids
    if number is None:
        number = 64 if relative_error is None else 8
    check_count("num_centroids", number)
    if relative_error is None:
        yield number
        return
    check_number("relative_error", relative_error, above=0)
    yield number
    while 8 * number <= num_targets:
        number *= 2
        yield number


def _mean_similarity(
    samples: Array, vectors: Array, weight: Array, group: Array, scale: float
) -> Array:
    """Returns the `(samples, groups)` mean of `sinh(scale * <x, v>)`."""
    tiles = tile_targets(scale * vectors, weight=weight, group=group)
    settings = Settings(scale, clip=scale, normalize=True)
    nothing = np.zeros(samples.shape[1])
    return fold_blocks(
        [samples], tiles, Mean(), settings, nothing, len(samples)
    )[0]


@dataclass(frozen=True)
class _Cells:
    """The centroids of all classes, as in `CompressedTargets`."""

    vectors: Array
    weight: Array
    label: Array
    error_bound: float


def _cells(
    directions: Array,
    label: Array,
    number: int,
    probes: Array,
    scale: float,
    seed: int,
) -> _Cells:
    vectors, weights, bounds = [], [], []
    labels: list[int] = []
    for c in np.unique(label):
        members = directions[label == c]
        bound, excess = 0.0, 0.0
        for cell in _partition(members, number, seed):
            mean = cell.mean(axis=0)
            factor = _factor(cell, mean, probes, scale)
            vectors.append(mean)
            weights.append(len(cell) * factor)
            excess += len(cell) * (factor - 1)
            bound += len(cell) * _cell_bound(cell, mean, factor, scale)
        vectors.append(np.zeros(directions.shape[1]))
        weights.append(-excess)
        bounds.append(bound / len(members))
        labels += [c] * (len(vectors) - len(labels))
    return _Cells(
        np.array(vectors, np.float32),
        np.array(weights),
        np.array(labels),
        float(max(bounds)),
    )


def _partition(members: Array, number: int, seed: int) -> list[Array]:
    """Returns the members of each k-means cell."""
    number = min(number, len(members))
    rng = np.random.default_rng(seed)
    seen = rng.permutation(len(members))[: _SEEN_PER_CENTROID * number]
    init = "k-means++" if number <= _FEW else "random"
    kmeans = KMeans(number, init=init, n_init=1, max_iter=10, random_state=seed)
    kmeans.fit(members[seen])
    cell = kmeans.predict(members)
    order = np.argsort(cell, kind="stable")
    splits = np.flatnonzero(np.diff(cell[order])) + 1
    return np.split(members[order], splits)


def _factor(cell: Array, mean: Array, probes: Array, scale: float) -> float:
    """Returns by what the similarity to the mean is nearest to the cell's."""
    centre = np.sinh(scale * np.float64(probes @ mean))
    exact = np.zeros(len(probes))
    for start in range(0, len(cell), _CHUNK):
        members = cell[start : start + _CHUNK]
        exact += np.sinh(scale * probes @ members.T).sum(axis=1, dtype=float)
    size = float(centre @ centre)
    return float(centre @ exact) / len(cell) / size if size > 0 else 1.0


def _cell_bound(cell: Array, mean: Array, factor: float, scale: float) -> Any:
    """Returns a bound on the error of one cell, for every vector.

    By Taylor with remainder, `|sinh''| <= sinh(scale)`, and the variance along
    any direction is at most the Frobenius norm of the covariance.
    """
    spread = cell - mean
    largest = np.linalg.norm(spread.T @ spread) / len(cell)
    remainder = scale**2 / 2 * largest * math.sinh(scale)
    change = abs(factor - 1) * math.sinh(scale * np.linalg.norm(mean))
    return remainder + change
