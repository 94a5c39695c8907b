"""Embeddings of all samples, where each different text is encoded once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from tfimportance._checks import Array, check_count, fail
from tfimportance.encoding.fields import (
    combine_embeddings,
    field_mode,
    join_texts,
)

# Rows combined at a time, so that only the result is as long as the data.
_ROWS = 65536


def encode(
    encoder: Callable[[tf.Tensor], Any],
    examples: Any,
    *,
    fields: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
) -> Array:
    """Returns the embeddings of `examples`, one row for each.

    Each different text of a column is encoded once, the longest first, so
    that a batch holds texts of like length and pads little.

    Example:
        >>> from tfimportance.encoding import load_encoder
        >>> texts = ["a red dress", "a blue dress", "a red dress"]
        >>> x = encode(load_encoder("static"), texts)
        >>> x.shape, x.dtype, bool((x[0] == x[2]).all())
        ((3, 256), dtype('float32'), True)

    Args:
        encoder: What `load_encoder` returned.
        examples: `Examples`, whose text columns are used in their order, or
            a sequence of strings.
        fields: How several columns become one embedding: `auto`, `join`,
            `interaction` (the default for two columns, and why), `concat` or
            `mean`; see `combine_fields`.
        batch_size: Different texts in one batch; None takes what suits the
            encoder.
        progress: Whether to show a bar with texts/s where the output is a
            terminal.

    Returns:
        Float32 `(num_samples, dim)`, C-contiguous and finite; `dim` doubles
        with `interaction` and is multiplied by the columns with `concat`.

    Raises:
        InputError: There is no text, one is not a string, `fields` does not
            suit the columns, or the encoder returns another shape than
            `(batch, dim)`, a NaN or an infinity.
    """
    columns = _columns(examples)
    mode = field_mode(fields, len(columns))
    if mode == "join" and len(columns) > 1:
        columns = [join_texts([_tensor(column) for column in columns]).numpy()]
    if batch_size is None:
        batch_size = int(getattr(encoder, "batch_size", 256))
    check_count("batch_size", batch_size)
    parts = [pd.factorize(column) for column in columns]
    total = sum(len(different) for _, different in parts)
    with tqdm(
        total=total,
        desc="encode",
        unit=" texts",
        disable=None if progress else True,
    ) as bar:
        tables = [
            _encode_different(encoder, different, batch_size, bar)
            for _, different in parts
        ]
    codes = [code for code, _ in parts]
    if mode == "join":
        return tables[0][codes[0]]
    return _combine(tables, codes, mode)


def _columns(examples: Any) -> list[Array]:
    """Returns the text columns as object arrays `(num_samples,)` of str."""
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


def _tensor(texts: Sequence[Any] | Array) -> tf.Tensor:
    # Half of a surrogate pair, which JSON may hold, is no UTF-8: "?".
    return tf.constant(
        [
            text.encode("utf-8", "replace") if isinstance(text, str) else text
            for text in texts
        ]
    )


def _encode_different(
    encoder: Callable[[tf.Tensor], Any],
    texts: Array,
    batch_size: int,
    bar: Any,
) -> Array:
    """Returns float32 `(len(texts), dim)`."""
    order = np.argsort([-len(text) for text in texts], kind="stable")
    result = np.empty((len(texts), 0), np.float32)
    for start in range(0, len(texts), batch_size):
        rows = order[start : start + batch_size]
        values = np.asarray(encoder(_tensor(texts[rows])), np.float32)
        if start == 0 and values.ndim == 2:
            result = np.empty((len(texts), values.shape[1]), np.float32)
        _check_values(values, (len(rows), result.shape[1]))
        result[rows] = values
        bar.update(len(rows))
    return result


def _check_values(values: Array, shape: tuple[int, int]) -> None:
    if values.shape != shape or not values.shape[1]:
        raise fail(
            "`encoder` must return embeddings (batch, dim), dim the same for "
            "every batch.",
            f"an output of shape {values.shape} for {shape[0]} texts",
        )
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise fail(
            "`encoder` must return finite embeddings.",
            f"NaN or infinity for {(~finite).sum()} of {shape[0]} texts",
            "Look for a division by zero, perhaps for an empty text.",
        )


def _combine(tables: list[Array], codes: list[Array], mode: str) -> Array:
    count = len(codes[0])
    result = np.empty((count, 0), np.float32)
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        values = combine_embeddings(
            [table[c[rows]] for table, c in zip(tables, codes, strict=True)],
            mode,
        )
        if start == 0:
            result = np.empty((count, values.shape[1]), np.float32)
        result[rows] = values.numpy()
    return result
