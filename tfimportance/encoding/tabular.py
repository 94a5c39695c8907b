"""Numeric and categorical columns to a matrix, through Keras' FeatureSpace."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from tfimportance._checks import (
    Array,
    check_choice,
    check_count,
    check_finite,
    check_length,
    check_number,
    fail,
)

# Rows encoded at a time.
_ROWS = 65536
# A category is a column of the matrix; more of them are better hashed.
_MOST_CATEGORIES = 1000
_UNKNOWN = "[UNK]"
_EXACT = 2**53  # up to here a float holds every whole number


@keras.saving.register_keras_serializable(package="tfimportance")
class FilledNormalization(keras.layers.Normalization):
    """Keras' normalisation, where a missing number (NaN) counts as the mean."""

    def call(self, inputs: Any) -> Any:
        """Returns `(inputs - mean) / deviation`, 0 where missing."""
        normalised = super().call(inputs)
        missing = keras.ops.isnan(normalised)
        return keras.ops.where(
            missing, keras.ops.zeros_like(normalised), normalised
        )


def fit_columns(
    columns: Any,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    hashed: Mapping[str, int] | None = None,
) -> keras.utils.FeatureSpace:
    """Returns a FeatureSpace that is fitted to these columns.

    - `numeric`: minus the mean, divided by the standard deviation of the
      known values (a constant column gives 0). A missing value gives 0, as if
      it were the mean.
    - `categorical`: one column for each category, and one for all categories
      that were not there (the text "[UNK]" too). Missing is "" and so a
      category like others.
    - `hashed`: as many columns as named for each, a category falls in one
      of them by its hash. For columns of many categories.

    Fit on the training pool; `encode_columns` applies it to any rows. It is
    Keras' own object: `space.save("columns.keras")` writes it,
    `keras.saving.load_model` reads it (import `tfimportance.encoding` first),
    and `space.get_inputs()` and `space.get_encoded_features()` put it inside
    a model that is to be served raw columns.

    Example:
        >>> rows = {"age": [30, 50, np.nan], "city": ["Ulm", "Bonn", "Ulm"]}
        >>> space = fit_columns(rows, numeric=["age"], categorical=["city"])
        >>> encode_columns(space, rows)  # age, unknown, Bonn, Ulm
        array([[-1.,  0.,  0.,  1.],
               [ 1.,  0.,  1.,  0.],
               [ 0.,  0.,  0.,  1.]], dtype=float32)

    Args:
        columns: `Examples` with `columns`, a pandas frame, or column name to
            `(num_samples,)` values.
        numeric: Columns of numbers, finite or missing, to the seven digits of
            float32.
        categorical: Columns of texts, whole numbers or booleans.
        hashed: Column name to number of bins.

    Raises:
        InputError: A column is unknown, named twice, no number or not finite,
            or has too many categories.
    """
    hashed = dict(hashed or {})
    _check_names([*numeric, *categorical, *hashed])
    values = {
        **{name: _numbers(name, columns) for name in numeric},
        **{name: _texts(name, columns) for name in [*categorical, *hashed]},
    }
    _check_lengths(values)
    space = keras.utils.FeatureSpace(
        features={
            **{name: _normalised(name, values[name]) for name in numeric},
            **{name: _one_hot(name, values[name]) for name in categorical},
            **{name: _hash(name, bins) for name, bins in hashed.items()},
        },
        output_mode="concat",
    )
    # All layers are fitted already: this says so, and Keras reads no data.
    space.build_from_config({})
    space.get_encoded_features()
    space.built = True
    return space


def encode_columns(space: keras.utils.FeatureSpace, columns: Any) -> Array:
    """Returns the columns as a matrix, each row alone.

    Args:
        space: What `fit_columns` returned or `keras.saving.load_model` read.
        columns: As in `fit_columns`; further columns are left out.

    Returns:
        Float32 `(num_samples, dim)`, the features in the order of their
        names. See `concat_embeddings` to put it beside a text embedding.

    Raises:
        InputError: A column of the fit is not there or does not fit.
    """
    if not isinstance(space, keras.utils.FeatureSpace):
        raise fail(
            "`space` must be a FeatureSpace.",
            f"space of type {type(space).__name__}",
            "Fit one with `fit_columns`.",
        )
    values = {
        name: (_texts if feature.dtype == "string" else _numbers)(name, columns)
        for name, feature in space.features.items()
    }
    number = _check_lengths(values)
    blocks = [
        space({name: each[i : i + _ROWS] for name, each in values.items()})
        for i in range(0, number, _ROWS)
    ]
    return np.concatenate(blocks).astype(np.float32)


def concat_embeddings(
    blocks: Sequence[Any], *, shares: Sequence[float] | None = None
) -> Array:
    """Returns the blocks side by side so that their cosines are averaged.

    Each row of block b is brought to length `sqrt(share_b)`. The shares add
    up to 1, so the row has length 1 and the cosine of two rows is `sum_b
    share_b * cos_b`, however long or wide the blocks are. (Where a block's row
    is zero, nothing is known there, and the other blocks share the cosine.
    `importance_scores` subtracts the mean of the pool first, by default,
    which moves the shares a little; exact with `center=False`.)

    Example:
        >>> text, columns = np.array([[3.0, 4.0]]), np.array([[9.0]])
        >>> concat_embeddings([text, columns], shares=[0.75, 0.25]).round(3)
        array([[0.52 , 0.693, 0.5  ]], dtype=float32)

    Args:
        blocks: One or more matrices `(num_samples, dim_b)` of real numbers.
        shares: One number above 0 for each block, of any sum; None gives all
            the same. A block that says little of the label deserves little.

    Returns:
        Float32 `(num_samples, sum of dim_b)`.

    Raises:
        InputError: Blocks of different length, not finite, or no shares that
            fit them.
    """
    matrices = [np.asarray(block, np.float32) for block in blocks]
    shares = [1.0] * len(matrices) if shares is None else list(shares)
    if not matrices or len(shares) != len(matrices):
        raise fail(
            "`shares` must have one number for each block.",
            f"{len(shares)} shares for {len(matrices)} blocks",
        )
    for name, matrix in enumerate(matrices):
        _check_block(f"blocks[{name}]", matrix, matrices[0].shape[:1])
    for share in shares:
        check_number("shares", share, above=0)
    total = sum(shares)
    return np.concatenate(
        [
            _unit(matrix) * np.float32((share / total) ** 0.5)
            for matrix, share in zip(matrices, shares, strict=True)
        ],
        axis=1,
    )


def _check_block(name: str, matrix: Array, rows: tuple[int, ...]) -> None:
    if matrix.ndim != 2 or matrix.shape[:1] != rows:
        raise fail(
            "`blocks` must be matrices with the same number of rows.",
            f"{name}.shape={matrix.shape}, {rows} rows in blocks[0]",
        )
    check_finite(name, matrix)


def _unit(matrix: Array) -> Array:
    norm = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    return (matrix / np.where(norm > 0, norm, 1)).astype(np.float32)


def _check_names(names: list[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise fail(
            "`numeric`, `categorical` and `hashed` must name different "
            "columns, at least one.",
            f"names={names!r}",
        )


def _check_lengths(values: Mapping[str, Array]) -> int:
    first, other = next(iter(values.values())), next(iter(values))
    for name, each in values.items():
        check_length(name, each, len(first), other)
    return len(first)


def _column(name: str, columns: Any) -> "pd.Series[Any]":
    if not isinstance(columns, (pd.DataFrame, Mapping)):
        columns = getattr(columns, "columns", {})  # of `Examples`
    check_choice("columns", name, [*columns])
    values = np.asarray(columns[name])
    if values.ndim != 1 or not len(values):
        raise fail(
            f"`{name}` must hold one value in each row, and at least one row.",
            f"{name}.shape={values.shape}",
        )
    return pd.Series(values, dtype=values.dtype)


def _numbers(name: str, columns: Any) -> Array:
    """Float32 `(num_samples,)`, NaN where missing."""
    column = _column(name, columns)
    numbers = pd.to_numeric(column, errors="coerce").astype("Float64")
    wrong = (numbers.isna() & column.notna()).to_numpy()
    if pd.api.types.is_datetime64_any_dtype(column) or wrong.any():
        raise fail(
            f"`{name}` must hold numbers.",
            f"{column[wrong.argmax()]!r} in row {wrong.argmax()}",
            "Repair it, turn times into numbers such as days, or name it "
            "under `categorical`.",
        )
    values = numbers.to_numpy(np.float32, na_value=np.nan)
    check_finite(name, values[~np.isnan(values)])
    return values


def _texts(name: str, columns: Any) -> Array:
    """Object `(num_samples,)` of str, "" where missing."""
    column = _column(name, columns)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("floating", "mixed-integer-float"):
        column = column.astype("Float64")
        known = column.dropna()
        if ((known % 1 == 0) & (known.abs() < _EXACT)).all():
            column = column.astype("Int64")  # 7 beside a gap is not "7.0"
    codes, values = pd.factorize(column)
    texts = [_utf8(str(value)) for value in values]
    return np.array([*texts, ""], object)[codes]


def _utf8(text: str) -> str:
    # Half of a surrogate pair, which JSON may hold, is no UTF-8: "?".
    return text.encode("utf-8", "replace").decode()


def _normalised(name: str, values: Array) -> Any:
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        raise fail(
            f"`{name}` must hold at least one number.",
            f"{name}, missing in all {len(values)} rows",
            "Leave the column out.",
        )
    layer = FilledNormalization(
        mean=float(known.mean()), variance=float(known.var())
    )
    return keras.utils.FeatureSpace.feature("float32", layer, "float")


def _one_hot(name: str, values: Array) -> Any:
    # As a setting, for `adapt` would save it by lines: "" and "a\nb" are lost.
    vocabulary = sorted({*values} - {_UNKNOWN})
    number = len(vocabulary)
    if number > _MOST_CATEGORIES:
        raise fail(
            f"`categorical` must have at most {_MOST_CATEGORIES} categories "
            "in a column.",
            f"{name!r} with {number}",
            f"Use `hashed={{{name!r}: 256}}`.",
        )
    layer = keras.layers.StringLookup(vocabulary=vocabulary, oov_token=_UNKNOWN)
    return keras.utils.FeatureSpace.feature("string", layer, "one_hot")


def _hash(name: str, bins: int) -> Any:
    check_count(f"hashed[{name!r}]", bins, at_least=2)
    return keras.utils.FeatureSpace.string_hashed(bins, name=name)
