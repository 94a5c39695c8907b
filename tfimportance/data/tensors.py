"""A tf.data set to a frame; TensorFlow is loaded if such a set exists."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, fail
from tfimportance.data.reading import check_columns

_BATCH = 4096
_ENDLESS = -1  # tf.data.INFINITE_CARDINALITY


def is_tf_data(source: object) -> bool:
    """Whether this is a `tf.data.Dataset`, without importing TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(
        source, tensorflow.data.Dataset
    )


def name_elements(
    dataset: Any, text: str, label: str, weight: str
) -> tuple[Any, int]:
    """Makes the elements dicts, as files have columns.

    Keras sets are `(features, label)` or `(features, label, weight)`, and
    the features may be one bare text. A feature that already has the name
    of the label or weight goes before.

    Returns:
        The set, and of how many parts (1 to 3) its elements were.
    """

    def name(features: Any, *rest: Any) -> dict[str, Any]:
        if not isinstance(features, dict):
            features = {text: features}
        return {**dict(zip((label, weight), rest, strict=False)), **features}

    spec = dataset.element_spec
    return dataset.map(name), len(spec) if isinstance(spec, tuple) else 1


def read_tf_data(dataset: Any, columns: Mapping[str, str]) -> pd.DataFrame:
    """The wanted columns of a set of dict elements, batched or not."""
    check_columns(columns, list(dataset.element_spec))
    if dataset.cardinality() == _ENDLESS:
        raise fail(
            "`source` must end.",
            "source with endless repetition",
            "Remove `.repeat()`, or add `.take(...)`.",
        )
    dataset = dataset.map(lambda row: {name: row[name] for name in columns})
    if dataset.element_spec[next(iter(columns))].shape.rank == 0:
        dataset = dataset.batch(_BATCH)
    batches: dict[str, list[Array]] = {name: [] for name in columns}
    for batch in dataset.as_numpy_iterator():
        for name, argument in columns.items():
            batches[name].append(_flat(argument, name, batch[name]))
    return pd.DataFrame({name: _join(found) for name, found in batches.items()})


def _join(batches: list[Array]) -> Array:
    return np.concatenate(batches) if batches else np.empty(0)


def _flat(argument: str, name: str, values: Any) -> Array:
    """`(batch,)` from `(batch,)` or, as Keras has its labels, `(batch, 1)`."""
    dense = isinstance(values, np.ndarray) and values.ndim > 0
    if dense and values.size == len(values):
        return values.reshape(-1)
    raise fail(
        f"`{argument}` must name a dense feature with one value in each row.",
        f"{argument}={name!r} of shape {np.shape(values)}",
    )
