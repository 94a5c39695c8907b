"""Weights beside the rows they belong to, by position or by id."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike
from pandas.api.types import infer_dtype, is_integer_dtype

from tfimportance._checks import Array, check_file, check_finite, fail

# What says which id has which weight.
WeightTable = Mapping[Any, float] | pd.Series | pd.DataFrame | str | Path


def align_weights(sample_weight: WeightTable, ids: ArrayLike) -> Array:
    """Returns `(num_samples,)` float32, the weight of each id in its place.

    For arrays: `fit(model, x, y, sample_weight=align_weights(weights, ids))`.

    Example:
        >>> align_weights({"a": 0.5, "b": 1.5}, ["b", "a", "b"])
        array([1.5, 0.5, 1.5], dtype=float32)

    Args:
        sample_weight: Weights by id: a mapping, a Series indexed by id, a
            frame with the columns `id` and `sample_weight`, or the Parquet
            file of one, as `tfimportance score` writes it. Ids that are not
            asked for are passed over.
        ids: `(num_samples,)` of str, bytes or integers, repeats allowed. An
            integer is found as text too, which a CSV file has: 7 is "7".

    Raises:
        InputError: An id has no weight, or has two, or is a float, or a
            weight is negative or not finite.
    """
    table = weight_table(sample_weight)
    asked = pd.Index(_keys(ids))
    if is_integer_dtype(asked) and not is_integer_dtype(table.index):
        asked = asked.astype(str)
    place = table.index.get_indexer(asked)
    missing = asked[place < 0]
    if len(missing):
        raise fail(
            "`sample_weight` must have a weight for every id.",
            f"{len(missing)} of {len(asked)} ids without, the first "
            f"{missing[0]!r}",
            "Score the same rows, with the same id column.",
        )
    return table.to_numpy()[place]


def weight_table(sample_weight: WeightTable) -> pd.Series:
    """Returns float32 weights indexed by unique ids.

    Raises:
        InputError: It is no table of weights.
    """
    if isinstance(sample_weight, (str, Path)):
        sample_weight = weights_of_file("sample_weight", sample_weight)
    if isinstance(sample_weight, pd.DataFrame):
        _check_columns("sample_weight", sample_weight)
        sample_weight = sample_weight.set_index("id")["sample_weight"]
    if not isinstance(sample_weight, (Mapping, pd.Series)):
        raise fail(
            "`sample_weight` must say which id has which weight: a mapping, "
            "a Series, a frame or a Parquet file.",
            f"sample_weight of type {type(sample_weight).__name__}",
        )
    table = pd.Series(sample_weight, dtype=np.float32)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()]
        raise fail(
            "`sample_weight` must have one weight for an id.",
            f"{len(twice)} repeated ids, the first {twice[0]!r}",
        )
    kind_of("sample_weight", table.index.to_numpy())
    check_weights("sample_weight", table.to_numpy())
    return table


def weights_of_file(name: str, path: str | Path) -> pd.DataFrame:
    """Returns the frame that `tfimportance score` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no Parquet file with the columns of weights.
    """
    check_file(name, Path(path))
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise fail(
            f"`{name}` must be a Parquet file.",
            f"{name}={str(path)!r}",
            "Write it with `tfimportance score`.",
        ) from error
    _check_columns(name, frame)
    return frame


def kind_of(name: str, ids: Array) -> str:
    """Returns what ids are; raises for those that rounding may change."""
    kind = infer_dtype(ids, skipna=False)
    known = ("string", "integer", "empty")
    if kind in (known if name == "sample_weight" else (*known, "bytes")):
        return kind
    raise fail(
        f"`{name}` must hold ids that are str or integers.",
        f"ids of type {kind}",
        "A column of integers with a gap is one of floats: read it as text.",
    )


def _keys(ids: ArrayLike) -> Array:
    """Returns `(rows,)` ids as a table has them: TensorFlow's are bytes."""
    keys = np.asarray(ids).reshape(-1)
    if kind_of("ids", keys) == "bytes":
        return np.array([key.decode() for key in keys.tolist()], object)
    return keys


def check_weights(name: str, weight: Array) -> None:
    """Raises unless all weights are finite and not negative."""
    check_finite(name, weight)
    if weight.size and weight.min() < 0:
        raise fail(
            f"`{name}` must not be negative.",
            f"{name} with a minimum of {weight.min():g}",
            "Turn scores into weights with `to_sample_weight`.",
        )


def _check_columns(name: str, frame: pd.DataFrame) -> None:
    if {"id", "sample_weight"} <= set(frame.columns):
        return
    raise fail(
        f"`{name}` must have the columns id and sample_weight.",
        f"columns {', '.join(map(str, frame.columns))}",
        "Write it with `tfimportance score`.",
    )
