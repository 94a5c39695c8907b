"""Weights attached to a data set, batch by batch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import ArrayLike

from tfimportance._checks import Array, check_length, fail
from tfimportance.allocation.alignment import (
    WeightTable,
    align_weights,
    check_weights,
    kind_of,
    weight_table,
)

Data = TypeVar("Data", tf.data.Dataset, keras.utils.PyDataset)
Id = str | Callable[[Any, Any], Any]


def attach_weights(
    data: Data,
    sample_weight: ArrayLike | WeightTable,
    *,
    id: Id | None = None,
    keep_id: bool = False,
) -> Data:
    """Returns the same set with a weight for every row.

    With `id` the weight is looked up where the row comes by, so shuffling,
    filtering and interleaving before or after change nothing. Without, row
    number k gets weight k: attach before anything that changes the order.
    More weights than rows are an error after the last batch, where the set
    says how many batches it has; what it drops of a last batch may be over.

    A TFRecord file is a `tf.data` set once it is parsed:

        records = tf.data.TFRecordDataset(files).batch(256).map(parse)
        attach_weights(records, "weights.parquet", id="row")

    Example:
        >>> import tensorflow as tf
        >>> rows = {"row": ["a", "b", "c"], "x": [1.0, 2.0, 3.0]}
        >>> data = tf.data.Dataset.from_tensor_slices((rows, [0, 1, 1]))
        >>> weights = {"a": 0.5, "b": 1.5, "c": 1.0}
        >>> data = attach_weights(data.shuffle(3).batch(2), weights, id="row")
        >>> sorted((float(x), float(w)) for batch, _, weight in data
        ...     for x, w in zip(batch["x"], weight))
        [(1.0, 0.5), (2.0, 1.5), (3.0, 1.0)]

    Args:
        data: A `tf.data.Dataset`, batched or not, or a
            `keras.utils.PyDataset`, of `(x, y)` or `(x, y, weight)`; a weight
            that is there is multiplied.
        sample_weight: `(num_samples,)` in the order of the rows; with `id`,
            weights by id, as `align_weights` takes them.
        id: The feature of `x` that holds the ids, or a function from
            `(x, y)` to them; str or integers, one for each row.
        keep_id: Whether a feature named by `id` stays in `x`.

    Raises:
        InputError: The weights or the set cannot be used. For a `tf.data` set
            an id without weight is found only where it comes by, and is an
            error of TensorFlow there.
    """
    taker = None if id is None else _Taker(id, keep_id)
    table: Any = sample_weight
    table = _checked(table) if taker is None else weight_table(table)
    if isinstance(data, keras.utils.PyDataset):
        return _Weighted(data, table, taker)
    if isinstance(data, tf.data.Dataset):
        if taker is None:
            return _by_position(data, table)
        return _by_id(data, table, taker)
    raise fail(
        "`data` must be a tf.data.Dataset or a keras.utils.PyDataset.",
        f"data of type {type(data).__name__}",
        "For arrays, give `fit` the weights; `align_weights` orders them.",
    )


class _Taker:
    """Takes the ids out of a batch."""

    def __init__(self, id: Id, keep: bool) -> None:
        self.id, self.keep = id, keep

    def __call__(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Returns the ids and the features that stay."""
        if not isinstance(self.id, str):
            return self.id(x, y), x
        if not isinstance(x, dict) or self.id not in x:
            known = ", ".join(x) if isinstance(x, dict) else type(x).__name__
            raise fail(
                "`id` must name a feature of the set.",
                f"id={self.id!r}; the features are {known}",
            )
        rest = {k: v for k, v in x.items() if self.keep or k != self.id}
        return x[self.id], rest


def _by_id(data: tf.data.Dataset, table: Any, taker: _Taker) -> tf.data.Dataset:
    keys = table.index.to_numpy()
    is_text = kind_of("sample_weight", keys) == "string"
    kind = tf.string if is_text else tf.int64
    lookup = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(keys.tolist(), kind), tf.constant(table.to_numpy())
        ),
        np.nan,
    )

    def attach(*element: Any) -> Any:
        x, y, given = _unpack(element)
        ids, x = taker(x, y)
        if is_text and ids.dtype.is_integer:  # a CSV file has them as text
            ids = tf.strings.as_string(ids)
        if not (ids.dtype == tf.string if is_text else ids.dtype.is_integer):
            raise fail(
                "`sample_weight` must have ids as the set has them, str "
                "or integers.",
                f"ids {ids.dtype.name} there, {keys.dtype} in sample_weight",
            )
        # One weight a row; (batch, 1) is how parsed records come.
        ids = tf.reshape(ids, [-1]) if _has_rows("ids", ids) else ids
        weight = lookup.lookup(tf.cast(ids, kind))
        known = tf.reduce_all(tf.math.is_finite(weight))
        lost = tf.boolean_mask([ids], [tf.math.is_nan(weight)])
        check = tf.debugging.Assert(
            known, ["sample_weight has no weight for the ids", lost]
        )
        with tf.control_dependencies([check]):
            return x, y, _times(weight, given)

    as_it_is = tf.autograph.experimental.do_not_convert(attach)
    return data.map(as_it_is, num_parallel_calls=tf.data.AUTOTUNE)


def _by_position(data: tf.data.Dataset, weight: Array) -> tf.data.Dataset:
    weights = tf.constant(weight)
    last = data.cardinality() - 1  # negative where it is not known

    def attach(start: Any, numbered: Any) -> Any:
        index, element = numbered
        x, y, given = _unpack(element)
        has_rows = _has_rows("labels", y)
        size = tf.shape(y, tf.int64)[0] if has_rows else 1
        stop = start + size
        left = len(weight) - stop
        # A set may drop what does not fill its last batch.
        checks = [
            tf.debugging.Assert(
                holds,
                [f"{which} rows in the set than in sample_weight:", stop],
            )
            for which, holds in (
                ("more", left >= 0),
                ("fewer", (index != last) | (left < size)),
            )
        ]
        with tf.control_dependencies(checks):
            part = weights[start:stop] if has_rows else weights[start]
        # A row whose label has shape (1,) looks like a batch of one: with its
        # shape known, the weights of a batch of such rows are not (batch, ?).
        part = tf.ensure_shape(part, y.shape[:1])
        return stop, (x, y, _times(part, given))

    as_it_is = tf.autograph.experimental.do_not_convert(attach)
    return data.enumerate().scan(tf.constant(0, tf.int64), as_it_is)


class _Weighted(keras.utils.PyDataset):
    """A `PyDataset` whose batches have weights."""

    def __init__(
        self, data: keras.utils.PyDataset, table: Any, taker: _Taker | None
    ) -> None:
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.table, self.taker = data, table, taker
        self._size: int | None = None

    @property
    def num_batches(self) -> int | None:
        """As many as the set has; Keras asks here."""
        return self.data.num_batches

    def __getitem__(self, index: int) -> Any:
        x, y, given = _unpack(self.data[index])
        if self.taker is None:
            weight = self._slice(index, len(y))
        else:
            ids, x = self.taker(x, y)
            weight = align_weights(self.table, ids)
        return x, y, _times(weight, given)

    def _slice(self, index: int, count: int) -> Array:
        if self._size is None:
            self._size = len(_unpack(self.data[0])[1])
        start, stop = index * self._size, index * self._size + count
        left, is_last = len(self.table) - stop, index + 1 == self.num_batches
        whole = count == self._size and left >= 0
        # A set may drop what does not fill its last batch.
        unused = is_last and left >= self._size
        if left == 0 or (whole and not unused):
            return self.table[start:stop]
        raise fail(
            "`sample_weight` must have a weight for each row of `data`, in "
            "batches of equal size.",
            f"{len(self.table)} weights; batch {index} has {count} rows, the "
            f"first {self._size}{', and no more follow' if is_last else ''}",
            "Give `id`.",
        )

    def set_epoch(self, epoch: int) -> None:
        """Passes on what `fit` says before each epoch."""
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)

    def on_epoch_begin(self) -> None:
        """Called by Keras."""
        self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Called by Keras."""
        self.data.on_epoch_end()


def _has_rows(name: str, tensor: Any) -> bool:
    """Whether it is a batch and not one row."""
    if tensor.shape.rank is None:
        raise fail(
            f"`data` must have {name} of known rank.",
            f"{name} of shape {tensor.shape}",
            "Say it with tf.ensure_shape.",
        )
    return bool(tensor.shape.rank)


def _unpack(element: Any) -> tuple[Any, Any, Any]:
    if isinstance(element, (tuple, list)) and len(element) in (2, 3):
        return (*element, None)[:3]
    raise fail(
        "`data` must give (x, y) or (x, y, sample_weight).",
        f"an element that is a {type(element).__name__}",
    )


def _times(weight: Any, given: Any) -> Any:
    if given is None:
        return weight
    if tf.is_tensor(weight):
        given = tf.reshape(tf.cast(given, weight.dtype), tf.shape(weight))
        return weight * given
    return weight * np.reshape(given, weight.shape)


def _checked(sample_weight: Any) -> Array:
    if isinstance(sample_weight, (Mapping, str, Path, pd.DataFrame)):
        raise fail(
            "`id` must be given with `sample_weight` by id.",
            f"sample_weight of type {type(sample_weight).__name__}",
            "Name the feature that holds the ids.",
        )
    weight = np.asarray(sample_weight, np.float32)
    check_length("sample_weight", weight, weight.size, "data")
    check_weights("sample_weight", weight)
    return weight
