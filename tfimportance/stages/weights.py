"""The file of weights between `score` and `fit`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, fail
from tfimportance.allocation import weights_of_file
from tfimportance.data import Examples
from tfimportance.data.columns import to_text, to_values
from tfimportance.weighting import SampleWeight


def weights_frame(
    pool: Examples, importance: Array, weight: SampleWeight
) -> pd.DataFrame:
    """Returns a row per pool row; `id` is its position without an id column."""
    frame = pd.DataFrame(
        {
            "id": np.arange(len(pool)) if pool.id is None else pool.id,
            "importance": np.asarray(importance),
            "sample_weight": np.asarray(weight),
        }
    )
    if pool.label is not None:
        frame.insert(1, "label", pool.label.astype(np.int8))
    return frame


def read_weights(path: str | Path, examples: Examples) -> Array:
    """Returns the `sample_weight` column of a file, in the examples' order.

    Rows are matched by `id` where the examples have ids, else by position.
    Ids that are numbers on one side and text on the other are compared as
    text: 7 is "7", but not "007".

    Raises:
        InputError: The file does not hold exactly these rows, or the labels
            that both have are not the same.
    """
    frame = weights_of_file("weights", path)
    known = np.arange(len(examples)) if examples.id is None else examples.id
    own, ids = _alike(pd.Series(frame["id"]), pd.Series(known))
    index = pd.Index(own)
    same = len(index) == len(ids) and index.is_unique
    if not (same and index.isin(ids).all()):
        raise fail(
            "`weights` must hold exactly the rows of the training file, once.",
            f"{str(path)!r} with {len(index)} rows for {len(ids)} examples",
            "Score that file again, with the same --id.",
        )
    frame = frame.iloc[index.get_indexer(pd.Index(ids))]
    if "label" in frame and examples.label is not None:
        _check_same_labels(path, frame["label"], examples)
    return frame["sample_weight"].to_numpy()


def _alike(*columns: "pd.Series[Any]") -> list[Array]:
    """Each column as it is, or all as text where some but not all are text."""
    values = [to_values(column) for column in columns]
    if len({each.dtype == object for each in values}) == 1:
        return values
    return [to_text("id", column) for column in columns]


def _check_same_labels(
    path: str | Path, label: "pd.Series[Any]", examples: Examples
) -> None:
    numbers = pd.to_numeric(label, errors="coerce").to_numpy(np.float64)
    other = np.flatnonzero(numbers != examples.labels)
    if not len(other):
        return
    raise fail(
        "`weights` must have the labels of the training file, row by row.",
        f"{str(path)!r} with another label in {len(other)} of "
        f"{len(examples)} rows (counted from 0: the first is {other[0]})",
        "The rows are in another order: score and fit with --id."
        if examples.id is None
        else "Score that file again, with the same --label and --positive.",
    )
