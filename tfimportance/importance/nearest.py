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
            rows that have its key. Queries of one key are not even multiplied
            with them: of two keys, that saves half of the work or more.

    Returns:
        `(num_queries, m)` int64 row numbers, the nearest first and the
        earlier one where two tie, -1 where there are no more; and their dot
        products, float32, -inf there.
    """
    # Where two tie, top_k keeps the first: an earlier row, or none at all.
    best = np.full((len(queries), m), -np.inf, np.float32)
    number = np.full((len(queries), m), -1)
    order = np.arange(len(queries))
    if keys is not None:
        order = np.argsort(keys[0], kind="stable")
    tiles = np.split(order, range(TARGET_TILE, len(order), TARGET_TILE))
    start = 0
    for block in blocks:
        vectors = direction(block)
        rows = np.arange(start, start + len(block))
        start += len(block)
        for tile in tiles:
            seen, near, is_hidden = rows, vectors, None
            if keys is not None:
                own, others = keys[0][tile], keys[1][rows]
                if own[0] == own[-1]:
                    seen, near = (
                        rows[others != own[0]],
                        vectors[others != own[0]],
                    )
                else:
                    is_hidden = own[:, None] == others
            if not len(seen):
                continue
            dot = tf.matmul(queries[tile], near, transpose_b=True)
            if is_hidden is not None:
                dot = tf.where(is_hidden, np.float32(-np.inf), dot)
            found, index = tf.math.top_k(dot, min(m, len(seen)))
            numbers = np.hstack([number[tile], seen[index.numpy()]])
            kept, place = tf.math.top_k(np.hstack([best[tile], found]), m)
            best[tile] = kept
            number[tile] = np.take_along_axis(numbers, place.numpy(), axis=1)
    return number, best
