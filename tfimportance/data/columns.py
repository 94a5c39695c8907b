"""One column of any type to the array that its use asks for."""

import difflib
import warnings
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow.csv
from pandas.api import types

from tfimportance._checks import Array, fail
from tfimportance.data.lists import holds_lists, to_lists

Column: TypeAlias = "pd.Series[Any]"

# How a label that is not known is written in files.
_UNKNOWN = set(pyarrow.csv.ConvertOptions().null_values)
_EXACT = 2**53  # up to here a float holds every whole number


def to_text(name: str, column: Column) -> Array:
    """Object array of str, "" where missing; equal texts are one object."""
    codes, texts = _distinct_texts(name, column)
    return texts[codes]


def to_values(column: Column) -> Array:
    """Numbers stay numbers, moments become datetime64, the rest is text."""
    column = _plain(column)
    if types.is_datetime64_any_dtype(column):
        return _moments(column).to_numpy("datetime64[us]")
    if not types.is_numeric_dtype(column):
        return to_text(str(column.name), column)
    if column.isna().any():
        return column.to_numpy(np.float64, na_value=np.nan)
    return column.to_numpy()


def to_kept(column: Column) -> Array:
    """As `to_values`; lists become arrays."""
    if holds_lists(column):
        return to_lists(str(column.name), column)
    return to_values(column)


def to_keys(argument: str, column: Column) -> Array:
    """Values that must all be known, to group or to name rows."""
    _check_rows(argument, column, column.isna(), "missing")
    return to_values(column)


def to_ids(column: Column) -> Array:
    """Values that name each row once."""
    ids = to_keys("id", column)
    again = pd.Series(ids).duplicated()
    _check_rows("id", column, again, "the id of an earlier row")
    return ids


def to_weight(column: Column) -> Array:
    """float32, finite and not negative."""
    numbers = pd.to_numeric(_plain(column), errors="coerce").astype("Float64")
    weight = numbers.to_numpy(np.float32, na_value=np.nan)
    bad = ~(np.isfinite(weight) & (weight >= 0))
    _check_rows("weight", column, bad, "missing, negative or not finite")
    return weight


def to_time(column: Column) -> Array:
    """Numbers as they are, anything else as datetime64[us] in UTC."""
    times = _plain(column)
    if not types.is_datetime64_any_dtype(times):
        numbers = pd.to_numeric(times, errors="coerce")
        times = _moments(times) if numbers.isna().all() else numbers
    _check_rows("time", column, times.isna(), "missing or no ISO 8601 time")
    return to_values(times)


def to_label(
    column: Column,
    positive: Any = None,
    argument: str = "label",
    *,
    whole: bool = True,
) -> Array:
    """float32 of 0 and 1: the rows whose value is (one of) `positive`.

    Of a `column` that is not the whole one, no value has to be found.

    Raises:
        InputError: A label is missing or not binary, or no value is found.

    Warns:
        UserWarning: One of several values is not found; another file of the
            same columns may have it.
    """
    if positive is not None:
        positive = _listed(positive)
    codes, texts = _distinct_texts(str(column.name), column)
    wanted = ["1", "true"] if positive is None else list(map(str, positive))
    unknown = [text not in wanted and text in _UNKNOWN for text in texts]
    _check_rows(argument, column, np.array(unknown)[codes], "missing")
    keys, ones = list(map(_key, texts[:-1])), set(map(_key, wanted))
    is_one = np.array([key in ones for key in keys])
    if positive is None and not {*keys} <= {0.0, 1.0, "false", "true"}:
        raise fail(
            f"`{argument}` must hold 0 and 1 only.",
            f"{argument}={column.name!r} with values {_few(texts[:-1])}",
            "Repair the labels, or give `positive=` the values that count "
            "as 1.",
        )
    if positive is not None and whole:
        _check_found(positive, f"{argument}={column.name!r}", texts[:-1])
    return is_one.astype(np.float32)[codes]


def _check_found(positive: list[Any], label: str, texts: Array) -> None:
    """Raises where no value is among the texts; warns of each that is not."""
    keys = set(map(_key, texts))
    missing = [each for each in positive if _key(str(each)) not in keys]
    if len(missing) == len(positive):
        raise fail(
            "`positive` must name values that the label has.",
            f"positive={positive!r} for {label} with values {_few(texts)}",
            _meant(missing[0], texts) if missing else "",
        )
    for value in missing:
        _warn_of_missing("positive", value, label, texts)


def _warn_of_missing(
    argument: str, value: Any, column: str, texts: Array
) -> None:
    warnings.warn(
        f"`{argument}` names {value!r}, which no row has: {column} with "
        f"values {_few(texts)}. {_meant(value, texts)}".rstrip(),
        UserWarning,
        stacklevel=3,
    )


def _meant(value: Any, texts: Array) -> str:
    """What may have been meant by a value that is not found."""
    if isinstance(value, bool):
        return (
            "Set the value in quotation marks: YAML reads yes and on as true, "
            "no and off as false."
        )
    near = difflib.get_close_matches(str(value), texts.tolist(), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def is_among(argument: str, column: str, values: Array, wanted: Any) -> Array:
    """Which values are (one of) the wanted; as texts where types differ.

    Warns:
        UserWarning: A wanted value, which `argument` names, is not there.
    """
    found = np.zeros(len(values), bool)
    codes, distinct = pd.factorize(values)
    texts = np.array([*map(str, distinct)], object)
    for one in _listed(wanted):
        if (values.dtype == object) == isinstance(one, str):
            same = values == one
        else:
            alike = [_key(text) == _key(str(one)) for text in texts]
            same = np.array([*alike, False])[codes]
        if not same.any():
            _warn_of_missing(argument, one, f"column {column!r}", texts)
        found |= same
    return found


def _listed(values: Any) -> list[Any]:
    many = isinstance(values, list | tuple | set | frozenset | np.ndarray)
    return list(values) if many else [values]


def _key(text: str) -> float | str:
    """What labels are compared by: 1 is 1.0 is "1", and True is "true"."""
    try:
        return float(text)
    except ValueError:
        return text.lower()


def _distinct_texts(name: str, column: Column) -> tuple[Array, Array]:
    """For each row the place of its text among the distinct ones.

    Missing is -1, and "" stands last, so that indexing needs no special case.
    """
    if types.is_float_dtype(column) and _is_whole(column):
        column = column.astype("Int64")  # 7 with a gap elsewhere is not "7.0"
    try:
        codes, values = pd.factorize(column)
        texts = [_to_str(value) for value in values]
    except (TypeError, UnicodeDecodeError) as error:
        raise fail(
            f"Column {name!r} must hold one text or number in each row.",
            f"{name} of type {column.dtype} ({error})",
            "Join lists to one text, and store texts as UTF-8; lists of ids "
            "go to `keep`.",
        ) from error
    return codes, np.array([*texts, ""], object)


def _to_str(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_whole(column: Column) -> bool:
    known = column.dropna()
    return bool(((known % 1 == 0) & (known.abs() < _EXACT)).all())


def _plain(column: Column) -> Column:
    """The column with the type of what it holds, not of how it was packed."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    return column.infer_objects()


def _moments(column: Column) -> Column:
    if not types.is_datetime64_any_dtype(column):
        column = column.astype(str).where(column.notna())
    moments = pd.to_datetime(
        column, utc=True, format="ISO8601", errors="coerce"
    )
    return moments.dt.tz_localize(None)


def _check_rows(argument: str, column: Column, bad: Any, what: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(map(str, rows[:3]))
        raise fail(
            f"`{argument}` must be usable in every row.",
            f"{argument}={column.name!r}, {what} in {len(rows)} of "
            f"{len(column)} rows (counted from 0: {shown}"
            f"{', ...' if len(rows) > 3 else ''})",
            "Remove or repair these rows.",
        )


def _few(texts: Array) -> str:
    shown = ", ".join(map(repr, texts[:5]))
    return f"{shown}, ..." if len(texts) > 5 else shown
