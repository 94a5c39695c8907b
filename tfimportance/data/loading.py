"""`load_examples`: from a source and column names to `Examples`."""

import warnings
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import pandas as pd

from tfimportance._checks import Array, fail
from tfimportance.data import columns as convert
from tfimportance.data.examples import Examples
from tfimportance.data.reading import read_frame
from tfimportance.data.tensors import is_tf_data, name_elements, read_tf_data

if TYPE_CHECKING:
    import tensorflow as tf


def load_examples(
    source: "str | PathLike[str] | pd.DataFrame | tf.data.Dataset",
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    positive: Any = None,
    group: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    id: str | None = None,
    keep: Sequence[str] = (),
) -> Examples:
    """Returns the named columns of a file, frame or tf.data set, checked.

    Only the named columns are read. CSV and TSV columns are read as the text
    that stands there, so "007" and "NA" stay themselves; an empty cell is
    missing. Text need not be text: numbers become it.

    Example:
        >>> examples = load_examples(
        ...     "dataset:chorus_electronics",
        ...     text=["query", "title"],
        ...     label="rating",
        ...     positive=[2, 3],
        ...     group="query",
        ... )
        >>> len(examples), int(examples.label.sum())
        (3188, 1519)

    Args:
        source: Path of a Parquet file, of a folder of Parquet files, or of a
            CSV (.csv), TSV (.tsv) or JSON lines file (.jsonl, .ndjson,
            .json), the last three also with .gz; `dataset:NAME` for a bundled
            set; a pandas frame; or a `tf.data.Dataset`, batched or not, of
            dicts or of `(features, label)` or `(features, label, weight)`.
            Files are UTF-8; a CSV whose heading has semicolons and no comma
            is separated by them.
        text: Columns of text to be encoded; missing becomes "". Left out
            where `keep` names what there is, such as lists of item ids.
        label: Column of 0 and 1, of booleans or, with `positive`, of anything.
        positive: Value or list of values that count as 1, all others as 0.
        group: Column whose equal values must stay together in splits, such as
            the query; for several target groups, the group of each row.
        weight: Column of weights that the rows already have.
        time: Column of numbers or of ISO 8601 times, UTC unless they say.
        id: Column that names each row once.
        keep: Further columns to keep as they are, in `Examples.columns`;
            lists (in Parquet, JSON lines and frames) become arrays, empty
            where missing, which `keras.utils.pad_sequences` makes a matrix.

    Returns:
        `Examples`, in the order of the source.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file cannot be read, a column is unknown, there is no
            row, a label is missing or not binary, a group or id is missing,
            an id is not unique, a weight is negative or not finite, or a
            time is none.

    Warns:
        UserWarning: A text column is empty in every row, or all text is the
            same in every row.
    """
    texts, kept = _names("text", text), _names("keep", keep)
    if not texts and not kept:
        raise fail(
            "`text` must name one or more columns, or `keep` others.",
            f"text={text!r}",
        )
    if is_tf_data(source):
        names = (label or "label", weight or "weight")
        source, parts = name_elements(source, (texts or kept)[0], *names)
        label = names[0] if parts > 1 else label
        weight = names[1] if parts > 2 else weight
    single = {
        "label": label,
        "group": group,
        "weight": weight,
        "time": time,
        "id": id,
    }
    if positive is not None and label is None:
        raise fail("`positive` needs a `label`.", f"positive={positive!r}")
    frame = _read(source, texts, single, kept)
    text_of = {name: convert.to_text(name, frame[name]) for name in texts}
    _warn_of_sameness(source, text_of)
    return Examples(
        text=text_of,
        columns={name: convert.to_kept(frame[name]) for name in kept},
        **{
            argument: _convert(argument, frame[name], positive)
            for argument, name in single.items()
            if name is not None
        },
    )


def _read(
    source: Any,
    texts: list[str],
    single: dict[str, str | None],
    kept: list[str],
) -> pd.DataFrame:
    wanted = dict.fromkeys(texts, "text")
    for argument, name in single.items():
        if name is not None:
            wanted.setdefault(name, argument)
    for name in kept:
        wanted.setdefault(name, "keep")
    read = read_tf_data if is_tf_data(source) else read_frame
    frame = read(source, wanted)
    if frame.empty:
        shown = source if isinstance(source, str | PathLike) else type(source)
        raise fail(
            "`source` must have at least one row.",
            f"source={str(shown)!r} with 0 rows",
        )
    return frame


def _warn_of_sameness(source: Any, text: dict[str, Array]) -> None:
    """Warns of text that tells no row from another: all would weigh the same.

    One column may well be the same everywhere, such as the query of a target.
    """
    same = [
        name
        for name, column in text.items()
        if len(column) > 1 and (column == column[0]).all()
    ]
    empty = [name for name in same if not text[name][0]]
    if empty or (same and len(same) == len(text)):
        is_file = isinstance(source, str | PathLike)
        warnings.warn(
            f"`text` names {', '.join(map(repr, empty or same))}, "
            f"{'empty' if empty else 'the same'} in every row"
            f"{f' of {str(source)!r}' if is_file else ''}: that tells no row "
            "from another.",
            UserWarning,
            stacklevel=3,
        )


def load_pair(
    pool: str, target: str, columns: dict[str, Any], keep: Sequence[str] = ()
) -> tuple[Examples, Examples]:
    """Returns the rows of two files, those of the target without ids.

    Args:
        pool: The file of training rows.
        target: The file of target rows, which need not have the pool's ids.
        columns: What `load_examples` takes: `text`, `label`, `id`, ...
        keep: Further columns of the pool.
    """
    return (
        load_examples(pool, keep=keep, **columns),
        load_examples(target, **{**columns, "id": None}),
    )


def _convert(argument: str, column: convert.Column, positive: Any) -> Any:
    if argument == "label":
        return convert.to_label(column, positive)
    if argument == "group":
        return convert.to_keys("group", column)
    return {
        "weight": convert.to_weight,
        "time": convert.to_time,
        "id": convert.to_ids,
    }[argument](column)


def _names(argument: str, names: str | Sequence[str]) -> list[str]:
    """Column names as a list."""
    listed = [names] if isinstance(names, str) else list(names)
    if len(set(listed)) < len(listed):
        raise fail(
            f"`{argument}` must name different columns.",
            f"{argument}={names!r}",
        )
    return listed
