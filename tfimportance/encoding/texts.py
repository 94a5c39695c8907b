"""The text columns of examples, and each different text in them once."""

from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, fail


def text_columns(examples: Any) -> list[Array]:
    """Returns the text columns as object arrays `(num_samples,)` of str.

    Raises:
        InputError: There is no text, or one is not a string.
    """
    texts = getattr(examples, "text", None)
    columns = texts if isinstance(texts, dict) else {"examples": examples}
    if isinstance(examples, str):
        raise fail(
            "`examples` must be Examples or a sequence of strings.",
            f"examples={examples!r}",
            "Put the text into a list.",
        )
    return [_column(name, column) for name, column in columns.items()]


def _column(name: str, texts: Any) -> Array:
    column = np.asarray(texts, dtype=object)
    if column.ndim != 1 or not len(column):
        raise fail(
            f"`{name}` must hold at least one text, in one dimension.",
            f"{name}.shape={column.shape}",
        )
    if pd.api.types.infer_dtype(column, skipna=False) != "string":
        row, text = next(
            (row, text)
            for row, text in enumerate(column)
            if not isinstance(text, str)
        )
        raise fail(
            f"`{name}` must hold strings.",
            f"{text!r} in row {row}",
            'Replace missing texts by "".',
        )
    return column


def joined(columns: list[Array]) -> Array:
    """Returns the columns with one space between, as `join_texts` does."""
    rows = zip(*columns, strict=True)
    return np.array([" ".join(row) for row in rows], dtype=object)


def with_prefix(prefix: str, column: Array) -> Array:
    """Returns the column with `prefix` in front of each text."""
    return prefix + column if prefix else column


def distinct_texts(columns: list[Array]) -> tuple[Array, Array]:
    """Returns where each text stands among the different ones, and these.

    Args:
        columns: Object arrays `(num_samples,)` of str.

    Returns:
        Positions `(columns, num_samples)`, and an object array of str in the
        order of first appearance, all of them valid UTF-8.
    """
    texts = [_valid(text) for column in columns for text in column]
    codes, different = pd.factorize(np.array(texts, dtype=object))
    return codes.reshape(len(columns), -1), different


def _valid(text: str) -> str:
    """Returns `text`; half of a surrogate pair, as JSON may hold it, is "?"."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
