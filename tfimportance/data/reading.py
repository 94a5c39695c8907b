"""Any source to a frame of the wanted columns, and only those."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json

from tfimportance import datasets
from tfimportance._checks import check_choice, check_file, fail

_BUNDLED = "dataset:"
_PACKED = (".gz", ".bz2")
_NUMBERS = ("weight", "time", "keep")
_BLOCK = 1 << 24  # bytes; no row may be longer
# As nullable types, so that a gap elsewhere does not turn 7 into 7.0.
_INTEGERS = {
    pa.type_for_alias(name.lower()): pd.api.types.pandas_dtype(name)
    for kind in ("Int", "UInt")
    for name in (f"{kind}8", f"{kind}16", f"{kind}32", f"{kind}64")
}


def read_frame(source: object, columns: Mapping[str, str]) -> pd.DataFrame:
    """The wanted columns of a file, a bundled set or a frame.

    Args:
        source: What `load_examples` accepts, apart from tf.data.
        columns: Column name to the argument that asked for it.
    """
    if isinstance(source, pd.DataFrame):
        check_columns(columns, list(source.columns))
        return source[list(columns)]
    if isinstance(source, str) and source.startswith(_BUNDLED):
        known = [_BUNDLED + name for name in datasets.names()]
        check_choice("source", source, known)
        return read_frame(datasets.load(source[len(_BUNDLED) :]), columns)
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source), columns)
    raise fail(
        "`source` must be a path, a pandas frame or a tf.data.Dataset.",
        f"source of type {type(source).__name__}",
    )


def check_columns(columns: Mapping[str, str], names: list[Any]) -> None:
    """Raises unless each wanted column is there, once."""
    for column, argument in columns.items():
        check_choice(argument, column, names)
        if names.count(column) > 1:
            raise fail(
                f"`{argument}` must name one column.",
                f"{argument}={column!r}, the name of {names.count(column)} "
                "columns",
                "Rename them.",
            )


def _read_file(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    check_file("source", path)
    read = _reader(path)
    try:
        return read(str(path), columns)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise fail(
            "`source` must be a readable file of the kind that its ending "
            "says.",
            f"source={str(path)!r} ({reason})",
        ) from error


_Reader = Callable[[str, Mapping[str, str]], pd.DataFrame]


def _reader(path: Path) -> _Reader:
    """The reader for that file ending; a folder holds Parquet files."""
    ending = path.suffix.lower()
    packed = ending in _PACKED
    if packed:
        ending = Path(path.stem).suffix.lower()
    if path.is_dir() or (ending == ".parquet" and not packed):
        return _read_parquet
    if ending in _READERS:
        return _READERS[ending]
    raise fail(
        "`source` must end in .parquet, .csv, .tsv, .jsonl, .ndjson or .json "
        "(all but Parquet also with .gz).",
        f"source={str(path)!r}",
        "Rename or convert the file.",
    )


def _read_parquet(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    # The folders above a single file say nothing about its columns.
    partitioning = "hive" if os.path.isdir(path) else None
    data = pa.dataset.dataset(path, format="parquet", partitioning=partitioning)
    check_columns(columns, data.schema.names)
    return _frame(data.to_table(columns=list(columns)))


def _frame(table: Any) -> pd.DataFrame:
    return table.to_pandas(types_mapper=_INTEGERS.get)


def _read_csv(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    return _read_delimited(path, columns, ",")


def _read_tsv(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    return _read_delimited(path, columns, "\t")


def _read_delimited(
    path: str, columns: Mapping[str, str], delimiter: str
) -> pd.DataFrame:
    """All columns as text, so that 007 stays 007 and NA stays NA.

    The reader would guess the types from the first block alone. Weights, times
    and kept columns become numbers where every value is one.
    """
    options = {
        "read_options": pa.csv.ReadOptions(block_size=_BLOCK),
        "parse_options": pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True
        ),
    }
    with pa.csv.open_csv(path, **options) as first_block:
        check_columns(columns, first_block.schema.names)
    table = pa.csv.read_csv(
        path,
        **options,
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    for place, (column, argument) in enumerate(columns.items()):
        if argument in _NUMBERS:
            table = table.set_column(place, column, _numbers(table[column]))
    return _frame(table)


def _numbers(column: Any) -> Any:
    for kind in (pa.int64(), pa.float64()):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    return column


def _read_json(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Parses the wanted columns alone, with the types of the first block.

    Where a column comes later or changes its type, this goes row by row.
    """
    options = pa.json.ReadOptions(block_size=_BLOCK)
    with contextlib.suppress(pa.ArrowInvalid):
        with pa.json.open_json(path, options) as first_block:
            wanted = [
                each for each in first_block.schema if each.name in columns
            ]
        if len(wanted) == len(columns):
            return _frame(pa.json.read_json(path, options, _only(wanted)))
    return _read_json_rows(path, columns)


def _read_json_rows(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    names: dict[str, None] = {}
    values: dict[str, list[Any]] = {name: [] for name in columns}
    with io.BufferedReader(pa.input_stream(path)) as lines:
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            row = _json_row(line, number)
            names |= dict.fromkeys(row)
            for name, column in values.items():
                column.append(row.get(name))
    if not names:
        raise pa.ArrowInvalid("there is no row")
    check_columns(columns, list(names))
    return pd.DataFrame(values, dtype=object)


def _json_row(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise pa.ArrowInvalid(f"line {number + 1}: {error}") from error
    if not isinstance(row, dict):
        raise pa.ArrowInvalid(f"line {number + 1} is no JSON object")
    return row


def _only(fields: list[Any]) -> Any:
    """Parse options for these fields; texts that look like dates stay texts."""
    schema = [
        each.with_type(pa.string())
        if pa.types.is_timestamp(each.type)
        else each
        for each in fields
    ]
    return pa.json.ParseOptions(
        explicit_schema=pa.schema(schema), unexpected_field_behavior="ignore"
    )


_READERS: dict[str, _Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
}
