"""A column of lists, such as the items that a user saw, to arrays."""

from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, fail


def holds_lists(column: "pd.Series[Any]") -> bool:
    """Whether the first known value is a list, tuple or array."""
    known = column.dropna() if column.dtype == object else column[:0]
    return len(known) > 0 and _is_list(known.iloc[0])


def to_lists(name: str, column: "pd.Series[Any]") -> Array:
    """Object array of one-dimensional arrays, empty where missing.

    All have one dtype: int64, uint64, float64, bool, or object for str.

    Raises:
        InputError: A row is no list, or the values are missing, lists
            themselves, or of different kinds.
    """
    values = list(column)
    gaps = column.isna()
    for row, value in enumerate(values):
        if gaps.iloc[row]:
            values[row] = ()
        elif not _is_list(value):
            raise _no_list(name, f"{value!r} in row {row}")
    flat = np.empty(sum(map(len, values)), object)
    flat[:] = [each for value in values for each in value]
    flat = _one_kind(name, flat)
    rows = np.empty(len(values), object)
    ends = np.cumsum([len(value) for value in values])
    for row, (end, value) in enumerate(zip(ends, values, strict=True)):
        rows[row] = flat[end - len(value) : end]
    return rows


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def _one_kind(name: str, flat: Array) -> Array:
    kind = pd.api.types.infer_dtype(flat, skipna=False)
    if kind == "string":
        return flat
    if kind == "empty":
        return flat.astype(np.int64)
    values = pd.Series(flat, dtype=object).infer_objects().to_numpy()
    if values.dtype == object or np.isnan(values).any():
        raise _no_list(name, f"lists of {kind} values, some perhaps missing")
    return values


def _no_list(name: str, received: str) -> Exception:
    return fail(
        f"Column {name!r} must hold lists of known numbers or of texts.",
        received,
        "Use [] for an empty list, and one kind of value.",
    )
