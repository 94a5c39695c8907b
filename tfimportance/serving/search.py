"""The nearest vectors: compared with all of them, or through FAISS."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tfimportance._checks import Array, fail
from tfimportance.importance.nearest import nearest_rows

# From here on FAISS looks into some cells of the catalogue, not into all.
LARGE = 200_000
_SEED = 0


def search_exact(blocks: Iterable[Array], queries: Array, top: int) -> Array:
    """Returns the numbers of the nearest rows, found by comparing with all.

    Only the best so far are held. Equal ones stay in the order of the rows.

    Args:
        blocks: Vectors `(rows, dim)`, block by block; near is where the dot
            product is large.
        queries: Vectors `(num_queries, dim)`.
        top: How many for each query.

    Returns:
        Int64 `(num_queries, top)`, the nearest first; -1 where there are no
        more rows.
    """
    return nearest_rows(queries, blocks, m=top)[0]


def search_faiss(
    blocks: Iterable[Array], queries: Array, top: int, *, large: int = LARGE
) -> Array:
    """Returns the numbers of the nearest rows as FAISS finds them.

    Below `large` rows that is a comparison with all. Above, the rows are
    parted into cells around `4 * sqrt(rows)` centroids (k-means) and only the
    sixteenth part of the cells that is nearest to a query is looked into.

    Args:
        blocks: As in `search_exact`; all are held in memory.
        queries: As in `search_exact`.
        top: As in `search_exact`.
        large: The number of rows from which cells are made.

    Returns:
        As `search_exact`; -1 also where the cells hold fewer rows.

    Raises:
        InputError: FAISS is not installed.
    """
    faiss = _import_faiss()
    parts = list(blocks)
    if not parts:
        return np.full((len(queries), top), -1)
    vectors = np.concatenate(parts)
    count, dim = vectors.shape
    index = faiss.IndexFlatIP(dim)
    if count >= large:
        cells = int(4 * count**0.5)
        index = faiss.IndexIVFFlat(
            index, dim, cells, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed = _SEED
        index.train(vectors)
        index.nprobe = -(-cells // 16)
    index.add(vectors)
    _, rows = index.search(queries, top)
    return np.asarray(rows, np.int64)


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise fail(
            "`index` 'faiss' needs FAISS.",
            "index='faiss', and FAISS is not installed",
            "pip install 'tfimportance[similar]', or take 'exact'.",
        ) from error
    return faiss


SEARCHES: dict[str, Callable[[Iterable[Array], Array, int], Array]] = {
    "exact": search_exact,
    "faiss": search_faiss,
}
