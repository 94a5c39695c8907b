"""Files of any length, a block of rows at a time."""

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from tfimportance._checks import check_file
from tfimportance.data.reading import (
    DELIMITERS,
    check_columns,
    csv_options,
    file_kind,
    json_rows,
    open_parquet,
    read_frame,
    readable,
    to_frame,
)

_Columns = Mapping[str, str]


def read_blocks(
    source: str | os.PathLike[str], columns: _Columns, rows: int
) -> Iterator[pd.DataFrame]:
    """Yields the wanted columns of a file as frames of at most `rows` rows.

    The same values as `load_examples` reads, but that CSV holds texts only,
    and that a column of JSON lines has to occur in the first block.

    Example:
        >>> source = "dataset:chorus_electronics"
        >>> blocks = read_blocks(source, {"title": "text"}, 2000)
        >>> [len(block) for block in blocks]
        [2000, 1188]

    Args:
        source: A path or `dataset:NAME`, as `load_examples` takes.
        columns: Column name to the argument that asked for it.
        rows: Most rows in a frame.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It cannot be read, or lacks a column.
    """
    if isinstance(source, str) and source.startswith("dataset:"):
        frame = read_frame(source, columns)
        yield from (frame[i : i + rows] for i in range(0, len(frame), rows))
        return
    path = Path(source)
    check_file("source", path)
    kind = file_kind(path)
    with readable(path):
        if kind == "json":
            yield from _json(str(path), columns, rows)
            return
        batches = (
            open_parquet(str(path), columns).to_batches(list(columns))
            if kind == "parquet"
            else _csv(str(path), columns, DELIMITERS[kind])
        )
        for batch in batches:
            for start in range(0, len(batch), rows):
                part = batch.slice(start, rows)
                yield to_frame(pa.Table.from_batches([part]))


def _csv(
    path: str, columns: _Columns, delimiter: str
) -> Iterator[pa.RecordBatch]:
    with pa.csv.open_csv(path, **csv_options(path, columns, delimiter)) as file:
        yield from file


def _json(path: str, columns: _Columns, rows: int) -> Iterator[pd.DataFrame]:
    lines = json_rows(path)
    checked = False
    while block := list(islice(lines, rows)):
        if not checked:
            names = {name: None for row in block for name in row}
            check_columns(columns, list(names), path)
            checked = True
        values = {name: [row.get(name) for row in block] for name in columns}
        yield pd.DataFrame(values, dtype=object)
