"""Embeddings from wherever they lie, a block of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from tfimportance._checks import (
    Array,
    InputError,
    check_file,
    check_finite,
    fail,
)
from tfimportance.importance.tiles import BLOCK
from tfimportance.similarity import check_matrix

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating)


@dataclass(frozen=True)
class ParquetColumn:
    """The embeddings in one list column of a Parquet file.

    Attributes:
        path: The file.
        column: A column of lists of numbers, all of the same length.
    """

    path: str | Path
    column: str

    def __post_init__(self) -> None:
        check_file("path", Path(self.path))
        schema = pq.read_schema(self.path)
        if self.column not in schema.names:
            raise fail(
                f"`column` must be a column of {str(self.path)!r}: "
                f"{', '.join(schema.names)}.",
                f"column={self.column!r}",
            )
        kind = schema.field(self.column).type
        if not any(is_kind(kind) for is_kind in _LISTS) or not any(
            is_kind(kind.value_type) for is_kind in _NUMBERS
        ):
            raise fail(
                "`column` must hold lists of numbers.",
                f"column={self.column!r} of type {kind}",
            )

    def blocks(self, size: int) -> Iterator[Array]:
        """Yields matrices of at most `size` rows, in order."""
        # Buffered ahead, the whole column would be held at once.
        file = pq.ParquetFile(self.path, pre_buffer=False)
        for batch in file.iter_batches(size, columns=[self.column]):
            lists = batch.column(0)
            lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
            if len(lengths) != 1 or lengths[0] is None:
                raise fail(
                    f"`{self.column}` must hold lists of one length.",
                    f"lengths {lengths[:5]}",
                )
            flat = lists.flatten().to_numpy(zero_copy_only=False)
            yield flat.reshape(-1, lengths[0])


@dataclass(frozen=True)
class Survey:
    """What one pass over the samples tells.

    Attributes:
        num_samples: Number of rows.
        mean: `(embedding_dim,)` float64 mean of all rows.
        first: `(embedding_dim,)`, the first row.
    """

    num_samples: int
    mean: Array
    first: Array


def read_blocks(name: str, source: Any, size: int = BLOCK) -> Iterator[Array]:
    """Yields the rows of `source` as matrices of at most `size` rows.

    Args:
        name: The argument's name, for errors.
        source: `(num_samples, embedding_dim)` array, memory-mapped array or
            tensor; a `tf.data.Dataset` of such rows, batched or not; or a
            `ParquetColumn`.
        size: Rows in a block.
    """
    if isinstance(source, ParquetColumn):
        return source.blocks(size)
    if isinstance(source, tf.data.Dataset):
        shape = getattr(source.element_spec, "shape", None)
        if shape is None or shape.rank not in (None, 1, 2):
            raise fail(
                f"`{name}` must be a tf.data.Dataset of vectors, batched or "
                "not.",
                f"{name} with elements {source.element_spec}",
                "Take the vectors out with `.map`.",
            )
        if source.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise fail(
                f"`{name}` must end.",
                f"{name} with endless repetition",
                "Remove `.repeat()`, or add `.take(...)`.",
            )
        is_batched = shape.rank == 2
        rows = source.rebatch(size) if is_batched else source.batch(size)
        return iter(rows.as_numpy_iterator())
    matrix = source if hasattr(source, "shape") else np.asarray(source)
    check_matrix(name, matrix.shape)
    return (
        np.asarray(matrix[start : start + size], np.float32)
        for start in range(0, matrix.shape[0], size)
    )


def survey(name: str, source: Any) -> Survey:
    """Returns the facts of all rows; raises where one is not finite."""
    count, total, first = 0, np.zeros(1), np.zeros(0)
    for block in read_blocks(name, source):
        check_finite(name, block)
        if not count:
            first = block[0].copy()
        total = total + block.sum(axis=0, dtype=np.float64)
        count += len(block)
    if not count:
        raise fail(f"`{name}` must not be empty.", f"{name} with 0 rows")
    return Survey(count, total / count, first)


def read_again(name: str, source: Any, known: Survey) -> Iterator[Array]:
    """Yields the rows as `read_blocks`; raises where they are others now."""
    count = 0
    for block in read_blocks(name, source):
        is_same = count > 0 or np.array_equal(block[0], known.first)
        count += len(block)
        if not is_same or count > known.num_samples:
            raise _changed(name, source)
        yield block
    if count < known.num_samples:
        raise _changed(name, source)


def _changed(name: str, source: Any) -> InputError:
    return fail(
        f"`{name}` must give the same rows in the same order each time it is "
        "read.",
        f"other rows from a {type(source).__name__} read again",
        "Leave `shuffle` and random filters out, or cache the set.",
    )


def take_rows(name: str, source: Any, rows: Array) -> Array:
    """Returns the rows with these ascending numbers."""
    if isinstance(source, np.ndarray):
        return np.asarray(source[rows], np.float32)
    taken, start = [], 0
    for block in read_blocks(name, source):
        first, last = np.searchsorted(rows, [start, start + len(block)])
        taken.append(block[rows[first:last] - start])
        start += len(block)
    if sum(map(len, taken)) < len(rows):
        raise _changed(name, source)
    return np.concatenate(taken)


def read_all(name: str, source: Any) -> Array:
    """Returns all rows as one finite, non-empty float32 matrix of its own."""
    blocks = read_blocks(name, source)
    if isinstance(source, tf.data.Dataset):  # its length, only reading tells
        parts = list(blocks)
        check_matrix(name, (sum(map(len, parts)), 1))
        matrix = np.concatenate(parts).astype(np.float32, copy=False)
    else:
        matrix = _filled(name, blocks, _num_rows(source))
    check_matrix(name, matrix.shape)
    check_finite(name, matrix)
    return matrix


def _num_rows(source: Any) -> int:
    if isinstance(source, ParquetColumn):
        return int(pq.read_metadata(source.path).num_rows)
    return len(source)


def _filled(name: str, blocks: Iterator[Array], count: int) -> Array:
    """Returns the `count` rows of all blocks; only one of them is held."""
    matrix, start = np.empty((count, 0), np.float32), 0
    for block in blocks:
        if not start:
            matrix = np.empty((count, block.shape[1]), np.float32)
        if block.shape[1] != matrix.shape[1]:  # else one number fills a row
            raise fail(
                f"`{name}` must hold vectors of one length.",
                f"lengths {matrix.shape[1]} and {block.shape[1]}",
            )
        matrix[start : start + len(block)] = block
        start += len(block)
    return matrix
