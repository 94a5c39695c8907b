"""Embeddings of all samples, where each different text is encoded once."""

import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array, check_count, fail
from tfimportance._files import check_writable, staged_file
from tfimportance.encoding.cache import Cache, open_cache, text_keys
from tfimportance.encoding.fields import (
    column_prefix,
    combine_embeddings,
    field_mode,
)
from tfimportance.encoding.running import check_values, encode_batches
from tfimportance.encoding.texts import (
    distinct_texts,
    joined,
    text_columns,
    with_prefix,
)

# Rows combined at a time, so that only the result is as long as the data.
_ROWS = 16384

Allocate = Callable[[tuple[int, int]], Array]


def encode(
    encoder: Callable[[tf.Tensor], Any],
    examples: Any,
    *,
    fields: str = "auto",
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Array:
    """Returns the embeddings of `examples`, one row for each.

    Each different text is encoded once, also when it stands in several
    columns; the longest first, so that a batch holds texts of like length and
    pads little.

    With `cache`, embeddings are kept on disk under the hash of the text and
    the `fingerprint` of the encoder, which says what changes an embedding: a
    second call encodes nothing that is there, and a changed encoder starts
    anew. Several processes may use one folder. A killed run loses at most the
    last ten seconds of work. When it is started again on the same examples it
    forms the same batches, and so gives the same bytes as an unbroken run, if
    the encoder gives the same bytes for the same batch, as the shipped ones do
    on one machine. Other examples, or a cache that held some of the texts
    before, may form other batches; a float's last digits can differ then.

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
            encoder: fewer long texts than short ones for a backbone.
        cache: Folder that keeps embeddings between calls; made when missing.
        output: A new `.npy` file for the result, which then needs no memory:
            only texts and positions are in memory, and on disk beside the file
            there is room for the different embeddings while it is written.
        progress: Whether to show a bar, with the texts done, texts/s and the
            time left by the amount of text, where the output is a terminal.

    Returns:
        Float32 `(num_samples, dim)`, C-contiguous and finite; `dim` doubles
        with `interaction` and is multiplied by the columns with `concat`.
        With `output` a read-only map of the file.

    Raises:
        InputError: There is no text, one is not a string, `fields` does not
            suit the columns, the encoder returns another shape than
            `(batch, dim)`, a NaN or an infinity, `cache` is given for an
            encoder without a fingerprint, or a path cannot be written.
    """
    columns = text_columns(examples)
    mode = field_mode(fields, len(columns))
    if batch_size is not None:
        check_count("batch_size", batch_size)
    known = None if cache is None else open_cache(cache, encoder)
    path = None if output is None else _npy_path(output)
    if mode == "join" and len(columns) > 1:
        columns = [joined(columns)]
    columns = [
        with_prefix(column_prefix(encoder, i), column)
        for i, column in enumerate(columns)
    ]
    codes, texts = distinct_texts(columns)
    direct = mode == "join" and len(texts) == codes.shape[1]
    with ExitStack() as stack:
        result_at = table_at = _in_memory
        if path is not None:
            stage = stack.enter_context(staged_file(path))
            result_at = table_at = partial(_npy_file, stage)
            if not direct:
                scratch = stack.enter_context(TemporaryFile(dir=path.parent))
                table_at = partial(_unnamed_file, scratch)
        table = _Table(len(texts), table_at)
        _fill(table, encoder, texts, known, batch_size, progress)
        result = table.values
        if not direct:
            result = _assemble(table.values, codes, mode, result_at)
    return result if path is None else np.load(path, mmap_mode="r")


def _npy_path(output: str | os.PathLike[str]) -> Path:
    path = Path(output)
    if path.suffix != ".npy" or path.is_dir():
        raise fail(
            "`output` must be a file that ends in .npy.",
            f"output={str(path)!r}",
        )
    check_writable("output", path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _in_memory(shape: tuple[int, int]) -> Array:
    return np.empty(shape, np.float32)


def _npy_file(path: Path, shape: tuple[int, int]) -> Array:
    return np.lib.format.open_memmap(path, "w+", np.float32, shape)


def _unnamed_file(file: Any, shape: tuple[int, int]) -> Array:
    return np.memmap(file, np.float32, "w+", shape=shape)


class _Table:
    """Float32 `(num_texts, dim)`, made when the first rows say `dim`."""

    def __init__(self, num_texts: int, allocate: Allocate) -> None:
        self._num_texts = num_texts
        self._allocate = allocate
        self.values = np.empty((0, 0), np.float32)

    def put(self, rows: Array, values: Array) -> None:
        """Checks and stores the embeddings `(len(rows), dim)`."""
        if not len(self.values) and values.ndim == 2:
            self.values = self._allocate((self._num_texts, values.shape[1]))
        check_values(values, (len(rows), self.values.shape[1]))
        self.values[rows] = values


def _fill(
    table: _Table,
    encoder: Callable[[tf.Tensor], Any],
    texts: Array,
    cache: Cache | None,
    batch_size: int | None,
    progress: bool,
) -> None:
    """Puts in what the cache knows, then what the encoder says."""
    missing = np.ones(len(texts), bool)
    keys = None if cache is None else text_keys(texts)
    if cache is not None and keys is not None:
        for rows, values in cache.find(keys):
            table.put(rows, values)
            missing[rows] = False
    left = np.flatnonzero(missing)
    batches = encode_batches(
        encoder,
        texts[left],
        batch_size=batch_size,
        known=len(texts) - len(left),
        progress=progress,
    )
    with cache or nullcontext():
        for batch, values in batches:
            rows = left[batch]
            table.put(rows, values)
            if cache is not None and keys is not None:
                cache.add(keys[rows], values)


def _assemble(
    table: Array, codes: Array, mode: str, allocate: Allocate
) -> Array:
    """Returns float32 `(num_samples, dim)`, combined block by block."""
    count = codes.shape[1]
    result = np.empty((0, 0), np.float32)
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        columns = [table[code[rows]] for code in codes]
        values = columns[0]
        if mode != "join":
            values = combine_embeddings(columns, mode).numpy()
        if start == 0:
            result = allocate((count, values.shape[1]))
        result[rows] = values
    return result
