"""A file of rows through an exported model, a block at a time."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tensorflow as tf
from tqdm import tqdm

from tfimportance._checks import Array, InputError, check_count, fail
from tfimportance._files import check_output, staged_file
from tfimportance.data import columns as convert
from tfimportance.data.blocks import read_blocks
from tfimportance.data.lists import holds_lists
from tfimportance.data.reading import UnknownColumnError
from tfimportance.serving.loading import load_served
from tfimportance.serving.signatures import DEFAULT, LABEL

# Rows read, and sorted by length, at a time.
_BLOCK = 8192
_WRITERS: dict[str, Callable[[str, pa.Schema], Any]] = {
    ".parquet": pq.ParquetWriter,
    ".csv": pyarrow.csv.CSVWriter,
}


def predict_file(
    model: str | Path,
    file: str | os.PathLike[str],
    output: str | Path,
    *,
    signature: str = DEFAULT,
    columns: Mapping[str, str] | None = None,
    positive: Sequence[Any] | None = None,
    id: str | None = None,
    batch_size: int = 64,
) -> int:
    """Writes what an exported model answers to every row; returns their number.

    The file is read, asked and written a block at a time, so it may be larger
    than memory. `output` appears when it is complete.

    Args:
        model: A folder that `export` wrote: the highest version in it, or one
            version.
        file: What `load_examples` reads, tf.data apart. Missing texts are "".
        output: A .parquet file, or .csv for answers of one number a row: `id`
            and the outputs of the signature, in the order of the file.
        signature: What is asked; see `export`.
        columns: Input name to column of the file, where they differ from
            those of the training.
        positive: For the input `label`, the values that count as 1.
        id: Column to carry over; by default the number of the row.
        batch_size: Rows asked at a time.

    Raises:
        FileNotFoundError: The model or the file does not exist.
        InputError: The model has no such signature, a column is missing, or
            something cannot be read or written; nothing is written.
    """
    check_count("batch_size", batch_size)
    output = Path(output)
    check_output("output", output, _WRITERS)
    served = load_served(model)
    specs = served.specs(signature)
    asked = _columns(specs, served.columns, columns or {})
    rows = 0
    with staged_file(output) as stage, _TableWriter(stage) as writer:
        for frame in _blocks(file, asked, id):
            inputs = {
                name: _values(name, specs[name].dtype, frame[column], positive)
                for name, column in asked.items()
            }
            answers = served.ask_many(inputs, signature, batch_size)
            ids = np.arange(rows, rows + len(frame))
            if id is not None:
                ids = convert.to_keys("id", frame[id])
            writer.write({"id": ids, **answers})
            rows += len(frame)
        if not rows:
            raise fail("`file` must have at least one row.", f"file={file!r}")
    return rows


def _columns(
    specs: Mapping[str, Any],
    known: Mapping[str, str],
    columns: Mapping[str, str],
) -> dict[str, str]:
    """Returns the column of the file for each input."""
    for name in columns:
        if name not in specs:
            raise fail(
                f"`columns` must name inputs of the signature: "
                f"{', '.join(specs)}.",
                f"columns={dict(columns)!r}",
                "A label is asked of with signature='importance_signed'."
                if name == LABEL
                else "",
            )
    return {name: {**known, **columns}.get(name, name) for name in specs}


class _TableWriter:
    """A Parquet or CSV file, whose first block says its schema."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema: pa.Schema | None = None
        self._writer: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> "_TableWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def write(self, columns: Mapping[str, Array]) -> None:
        """Writes a block; vectors become lists."""
        table = pa.table({name: _cells(each) for name, each in columns.items()})
        if self._schema is None:
            self._schema = table.schema
            self._writer = self._open(table.schema)
        try:
            table = table.cast(self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            kind, first = table.schema.field("id"), self._schema.field("id")
            raise fail(
                "`id` must hold values of one type.",
                f"id of type {kind.type}, and {first.type} in rows before",
            ) from error
        self._writer.write_table(table)

    def _open(self, schema: pa.Schema) -> Any:
        suffix = self._path.suffix
        if suffix == ".csv" and any(map(pa.types.is_nested, schema.types)):
            raise fail(
                "`output` must end in .parquet for answers that are vectors.",
                f"output of type {suffix}",
            )
        writer = _WRITERS[suffix](str(self._path), schema)
        return self._stack.enter_context(writer)


def _cells(values: Array) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _blocks(
    file: Any, asked: Mapping[str, str], id: str | None
) -> Iterator[pd.DataFrame]:
    """Yields the columns asked for, and shows the rows done and rows/s."""
    wanted = {column: "columns" for column in asked.values()}
    if id is not None:
        wanted.setdefault(id, "id")
    with tqdm(unit=" rows", disable=None) as bar:
        try:
            for frame in read_blocks(file, wanted, _BLOCK):
                yield frame
                bar.update(len(frame))
        except UnknownColumnError as error:
            if error.argument != "columns":
                raise
            raise _lacks(file, asked, error) from error


def _lacks(
    file: Any, asked: Mapping[str, str], error: UnknownColumnError
) -> InputError:
    """What is wrong in the words of who has a model and a file."""
    inputs = [name for name, each in asked.items() if each == error.column]
    return fail(
        f"`file` must have the column {error.column!r}, which the model reads "
        f"as its input {inputs[0]!r}.",
        f"file={str(file)!r} with the columns "
        f"{', '.join(map(repr, error.names))}",
        f"{error.nearest} Rename that column in the file.".lstrip(),
    )


def _values(
    name: str, dtype: tf.DType, column: "pd.Series[Any]", positive: Any
) -> Array:
    """Returns `(rows,)` values of an input."""
    if dtype == tf.string:
        return convert.to_text(str(column.name), column)
    if name == LABEL:
        label = convert.to_label(column, positive, whole=False)
        return label.astype(np.int64)
    values = convert.to_kept(column)
    if values.dtype != object or holds_lists(column):
        return values
    numbers = pd.to_numeric(column, errors="coerce")  # CSV holds texts
    if numbers.isna().any():
        raise fail(
            f"{column.name!r} must hold numbers for the input {name!r}.",
            f"{column[numbers.isna()].iloc[0]!r}",
        )
    return numbers.to_numpy()
