"""The nearest rows of a large pool, block by block."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array
from tfimportance.importance.tiles import TARGET_TILE


def nearest_rows(
    queries: Array,
    blocks: Iterable[Array],
    direction: Callable[[Array], Array] = np.asarray,
    *,
    m: int = 1,
    keys: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Returns the rows with the largest dot products with each query.

    One tile of the products exists at a time.

    Args:
        queries: `(num_queries, embedding_dim)` float32.
        blocks: Matrices of rows in order.
        direction: Makes the vectors of a block that are multiplied; as they
            are by default.
        m: Rows to find for each query.
        keys: `(num_queries,)` and `(num_rows,)`: a query does not see the
            rows that have its key. The two are never multiplied: where one of
            two keys is rare, that is most of the work.

    Returns:
        `(num_queries, m)` int64 row numbers, the nearest first and the
        earlier one where two tie, -1 where there are no more; and their dot
        products, float32, -inf there.
    """
    # Where two tie, top_k keeps the first: an earlier row, or none at all.
    best = np.full((len(queries), m), -np.inf, np.float32)
    number = np.full((len(queries), m), -1)
    sights = [(np.arange(len(queries)), None)]
    if keys is not None:
        sights = [(np.flatnonzero(keys[0] == k), k) for k in np.unique(keys[0])]
    start = 0
    for block in blocks:
        vectors = direction(block)
        rows = np.arange(start, start + len(block))
        start += len(block)
        for asked, hidden in sights:
            seen, near = rows, vectors
            if keys is not None:
                is_seen = keys[1][rows] != hidden
                seen, near = rows[is_seen], vectors[is_seen]
            for first in range(0, len(asked) if len(seen) else 0, TARGET_TILE):
                tile = asked[first : first + TARGET_TILE]
                dot = tf.matmul(queries[tile], near, transpose_b=True)
                found, index = tf.math.top_k(dot, min(m, len(seen)))
                numbers = np.hstack([number[tile], seen[index.numpy()]])
                kept, place = tf.math.top_k(np.hstack([best[tile], found]), m)
                best[tile] = kept
                number[tile] = np.take_along_axis(
                    numbers, place.numpy(), axis=1
                )
    return number, best
