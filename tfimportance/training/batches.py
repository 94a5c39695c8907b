"""Where the batches of an epoch come from.

What an epoch holds is planned when it begins, from the weights in use then and
a generator that is a function of (seed, epoch): a broken run can go on where
it was, and weights can change from one epoch to the next.
"""

import hashlib
import random
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from tfimportance._arrays import holds_text
from tfimportance._checks import Array, fail
from tfimportance.allocation import Allocation, Epoch, Weight, check_plan
from tfimportance.weighting import effective_sample_size


class RowBatches:
    """Arrays in memory, shuffled anew for each epoch.

    Attributes:
        features: The structure of tensors that the model takes.
        labels: `(num_samples,)` tensor.
        sample_weight: `(num_samples,)` float32, or None. Another array put
            here is in use from the next epoch on.
        allocation: Says which rows an epoch holds, and their weights.
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        sample_weight: Array | None,
        *,
        allocation: Allocation | None = None,
        batch_size: int,
        seed: int | None,
    ) -> None:
        self.features = as_tensors(features)
        self.labels = as_tensors(labels)
        self.sample_weight = sample_weight
        self.allocation = Weight() if allocation is None else allocation
        self._label = np.asarray(labels)
        self._planned: Epoch  # once `dataset` has said what comes
        self._shown: list[tf.Variable]  # its shuffled rows, and their weights
        self._batch_size = batch_size
        # `keras.utils.set_random_seed` governs this generator, too.
        self._seed = random.getrandbits(32) if seed is None else seed

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    @property
    def effective_sample_size(self) -> float:
        """Kish's size of what this epoch gives to each sample, in rows."""
        plan = self._planned
        total = np.bincount(plan.rows, plan.row_weight, len(self))
        return effective_sample_size(total)

    def begin(self, epoch: int) -> None:
        """Plans the epoch, counted from 0, that is iterated next.

        Raises:
            InputError: It has not as many rows as the first.
        """
        before, self._planned = self._planned, self._plan(epoch)
        count, expected = len(self._planned.rows), len(before.rows)
        if count != expected:
            raise fail(
                "`allocation` must plan as many rows for every epoch.",
                f"{count} rows for epoch {epoch}, {expected} before",
                "Rows of weight zero may not come: give all a positive weight.",
            )
        if (self._planned.row_weight is None) != (before.row_weight is None):
            raise fail(
                "`allocation` must plan weights for every epoch or for none.",
                f"an epoch {epoch} that differs from the first",
            )
        for shown, each in zip(self._shown, self._shuffled(), strict=True):
            shown.assign(each)

    def first(self) -> Any:
        """Returns the features of one row, to build a model with."""
        return keras.tree.map_structure(lambda x: x[:1], self.features)

    def fingerprint(self) -> str:
        """Returns a digest of all rows, labels and the weights in use."""
        data = (self.features, self.labels)
        if self.sample_weight is None:
            return fingerprint(data)
        return fingerprint((*data, self.sample_weight))

    def dataset(self) -> tf.data.Dataset:
        """Returns batches `(x, y)` or, with weights, `(x, y, weight)`.

        They follow `begin` from one epoch to the next. Nothing of an epoch
        runs in Python.

        Raises:
            InputError: The allocation cannot be made of these rows.
        """
        self._planned = self._plan(0)
        shuffled = self._shuffled()
        with tf.device("CPU"):  # where tf.data is
            self._shown = [tf.Variable(each) for each in shuffled]
        count = len(self._planned.rows)
        begin = tf.range(0, count, self._batch_size)[:, None]
        size = tf.minimum(self._batch_size, count - begin)
        return (
            tf.data.Dataset.from_tensor_slices((begin, size))
            .map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _shuffled(self) -> tuple[Array, ...]:
        """The rows of the epoch in their order, and what weights they have."""
        epoch = self._planned
        order = epoch.generator.permutation(len(epoch.rows))
        if epoch.row_weight is None:
            return (epoch.rows[order],)
        return epoch.rows[order], epoch.row_weight[order].astype(np.float32)

    def _plan(self, number: int) -> Epoch:
        weight = self.sample_weight
        epoch = Epoch(
            number,
            np.random.default_rng([self._seed, number]),
            self._label,
            None if weight is None else np.asarray(weight, np.float64),
            rows=np.arange(len(self)),
        )
        return check_plan(self.allocation.plan(epoch), self.allocation)

    def _batch(self, begin: Any, size: Any) -> Any:
        rows, *weight = (tf.slice(each, begin, size) for each in self._shown)
        data = keras.tree.map_structure(
            lambda x: tf.gather(x, rows), (self.features, self.labels)
        )
        return (*data, *weight)


class GivenBatches:
    """The user's own `tf.data.Dataset` or `keras.utils.PyDataset`.

    A set with a method `set_epoch` is told the number of each epoch, from 0,
    before it begins.
    """

    sample_weight: Array | None = None  # it is in the batches

    def __init__(self, data: Any) -> None:
        self.data = data

    def begin(self, epoch: int) -> None:
        """Says which epoch, counted from 0, is iterated next."""
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)

    def first(self) -> Any:
        """Returns the features of one batch, to build a model with."""
        return keras.utils.unpack_x_y_sample_weight(next(iter(self.data)))[0]

    def fingerprint(self) -> str:
        """Returns what can be told of the set without reading it."""
        spec = getattr(self.data, "element_spec", type(self.data).__name__)
        if isinstance(self.data, tf.data.Dataset):
            return f"{spec}, {int(self.data.cardinality())} batches"
        return f"{spec}, {self.data.num_batches} batches"

    def dataset(self) -> Any:
        """Returns the set as it is."""
        return self.data


Batches = RowBatches | GivenBatches


class BeginEpoch(keras.callbacks.Callback):
    """Tells the source of batches which epoch begins."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras before it iterates the data."""
        self.batches.begin(epoch)


def as_tensors(structure: Any) -> Any:
    """Returns arrays as tensors, floats in Keras' default type."""

    def convert(leaf: Any) -> Any:
        with tf.device("CPU"):
            tensor = leaf
            if not tf.is_tensor(leaf):
                tensor = tf.convert_to_tensor(_plain(leaf))
            if tensor.dtype.is_floating:
                tensor = tf.cast(tensor, keras.config.floatx())
        return tensor

    # tf.data takes a list for one tensor, Keras for several inputs.
    return keras.tree.map_structure(
        convert, keras.tree.lists_to_tuples(structure)
    )


def _plain(leaf: Any) -> Array:
    """Returns an array of a type that TensorFlow has; objects as numbers."""
    array = np.asarray(leaf)
    if array.dtype != object or not array.size or holds_text(array):
        return array
    values = array.ravel() if array.ndim else [None]  # not of a sparse matrix
    numbers = np.asarray(pd.to_numeric(values, errors="coerce"))
    if np.isnan(numbers).any():
        raise fail(
            "`features` must be arrays of numbers or of strings.",
            f"a {type(leaf).__name__} of type {array.dtype} with other values",
            "Fill what is missing, and make sparse matrices dense.",
        )
    return numbers.reshape(array.shape).astype(keras.config.floatx())


def fingerprint(structure: Any) -> str:
    """Returns a digest of all values in a structure of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tf.nest.flatten(
        as_tensors(structure), expand_composites=True
    ):
        digest.update(f"{tensor.dtype.name}{tensor.shape}".encode())
        rows = tf.raw_ops.Fingerprint(data=tensor, method="farmhash64")
        digest.update(rows.numpy().tobytes())
    return digest.hexdigest()
