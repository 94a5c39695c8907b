"""Any source to a frame of the wanted columns, and only those."""

import contextlib
import difflib
import functools
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json

from tfimportance import datasets
from tfimportance._checks import InputError, check_choice, check_file, fail

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


class UnknownColumnError(InputError):
    """A source lacks a column that it was asked for.

    Attributes:
        argument: What asked for the column.
        column: Its name.
        names: The columns that there are.
        source: The path, or None where the source is no file.
    """

    def __init__(
        self,
        argument: str,
        column: str,
        names: Sequence[Any],
        source: str | None = None,
    ) -> None:
        self.argument, self.column = argument, column
        self.names, self.source = names, source
        where = "" if source is None else f", source={source!r}"
        error = fail(
            f"`{argument}` must be one of {', '.join(map(repr, names))}.",
            f"{argument}={column!r}{where}",
            self.nearest,
        )
        super().__init__(str(error))

    @property
    def nearest(self) -> str:
        """The question after the nearest name, or ""."""
        names = [str(name) for name in self.names]
        near = difflib.get_close_matches(self.column, names, n=1)
        return f"Did you mean {near[0]!r}?" if near else ""

    def asked_by(self, argument: str) -> "UnknownColumnError":
        """The same error with the name that the user knows."""
        return UnknownColumnError(
            argument, self.column, self.names, self.source
        )


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
        frame = datasets.load(source[len(_BUNDLED) :])
        check_columns(columns, list(frame.columns), source)
        return frame[list(columns)]
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source), columns)
    raise fail(
        "`source` must be a path, a pandas frame or a tf.data.Dataset.",
        f"source of type {type(source).__name__}",
    )


def check_columns(
    columns: Mapping[str, str], names: list[Any], source: str | None = None
) -> None:
    """Raises unless each wanted column is there, once; names the path."""
    for column, argument in columns.items():
        if column not in names:
            raise UnknownColumnError(argument, column, names, source)
        if names.count(column) > 1:
            raise fail(
                f"`{argument}` must name one column.",
                f"{argument}={column!r}, the name of {names.count(column)} "
                "columns",
                "Rename them.",
            )


def _read_file(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    check_file("source", path)
    read = _READERS[file_kind(path)]
    with readable(path):
        return read(str(path), columns)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a bad file into an `InputError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise fail(
            "`source` must be a readable file of the kind that its ending "
            "says.",
            f"source={str(path)!r} ({reason})",
            "Save it as UTF-8." if "utf" in reason.lower() else "",
        ) from error


def file_kind(path: Path) -> str:
    """The kind that the file's ending says; a folder holds Parquet files."""
    ending = path.suffix.lower()
    packed = ending in _PACKED
    if packed:
        ending = Path(path.stem).suffix.lower()
    if path.is_dir() or (ending == ".parquet" and not packed):
        return "parquet"
    if ending in _KINDS:
        return _KINDS[ending]
    raise fail(
        "`source` must end in .parquet, .csv, .tsv, .jsonl, .ndjson or .json "
        "(all but Parquet also with .gz).",
        f"source={str(path)!r}",
        "Rename or convert the file.",
    )


def _read_parquet(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    return to_frame(open_parquet(path, columns).to_table(list(columns)))


def open_parquet(path: str, columns: Mapping[str, str]) -> Any:
    """The pyarrow data set of a file or folder that has these columns."""
    # The folders above a single file say nothing about its columns.
    partitioning = "hive" if os.path.isdir(path) else None
    data = pa.dataset.dataset(path, format="parquet", partitioning=partitioning)
    check_columns(columns, data.schema.names, path)
    return data


def to_frame(table: Any) -> pd.DataFrame:
    """A pyarrow table as a frame in which integers stay integers."""
    return table.to_pandas(types_mapper=_INTEGERS.get)


def _read_delimited(
    path: str, columns: Mapping[str, str], delimiter: str
) -> pd.DataFrame:
    """All columns as text, so that 007 stays 007 and NA stays NA.

    Weights, times and kept columns become numbers where every value is one;
    a kept 02134 is none, and neither is what has too many digits for one.
    """
    table = pa.csv.read_csv(path, **csv_options(path, columns, delimiter))
    for place, (column, argument) in enumerate(columns.items()):
        values = table[column]
        if argument in _NUMBERS and not (argument == "keep" and _names(values)):
            table = table.set_column(place, column, _numbers(values))
    return to_frame(table)


def csv_options(
    path: str, columns: Mapping[str, str], delimiter: str
) -> dict[str, Any]:
    """How pyarrow reads these columns as text.

    It would guess the types from the first block alone.
    """
    with io.BufferedReader(pa.input_stream(path)) as lines:
        heading = lines.readline()
    # So spreadsheets write a .csv where the comma is the decimal point.
    if delimiter == "," and b"," not in heading and b";" in heading:
        delimiter = ";"
    options = {
        "read_options": pa.csv.ReadOptions(block_size=_BLOCK),
        "parse_options": pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True
        ),
    }
    with pa.csv.open_csv(path, **options) as first_block:
        check_columns(columns, first_block.schema.names, path)
    options["convert_options"] = pa.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
    )
    return options


def _names(column: Any) -> bool:
    """Whether some text would lose digits as a number."""
    found = pa.compute.match_substring_regex(column, r"^-?(0\d|\d{20})")
    return bool(pa.compute.any(found).as_py())


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
            return to_frame(pa.json.read_json(path, options, _only(wanted)))
    return _read_json_rows(path, columns)


def _read_json_rows(path: str, columns: Mapping[str, str]) -> pd.DataFrame:
    names: dict[str, None] = {}
    values: dict[str, list[Any]] = {name: [] for name in columns}
    for row in json_rows(path):
        names |= dict.fromkeys(row)
        for name, column in values.items():
            column.append(row.get(name))
    if not names:
        raise pa.ArrowInvalid("there is no row")
    check_columns(columns, list(names), path)
    return pd.DataFrame(values, dtype=object)


def json_rows(path: str) -> Iterator[dict[str, Any]]:
    """The rows of a JSON lines file, one by one."""
    with io.BufferedReader(pa.input_stream(path)) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield _json_row(line, number)


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


_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
DELIMITERS = {"csv": ",", "tsv": "\t"}
_READERS: dict[str, Callable[[str, Mapping[str, str]], pd.DataFrame]] = {
    "parquet": _read_parquet,
    "json": _read_json,
    **{
        kind: functools.partial(_read_delimited, delimiter=delimiter)
        for kind, delimiter in DELIMITERS.items()
    },
}
