"""Embeddings made elsewhere, looked up by their text."""

import os
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from tfimportance._checks import Array, check_finite, fail
from tfimportance._files import check_output, staged_file
from tfimportance.encoding.batching import encode
from tfimportance.encoding.fields import field_mode
from tfimportance.encoding.texts import distinct_texts, joined, text_columns

TEXT, EMBEDDING = "text", "embedding"


class PrecomputedEncoder(tf.Module):
    """Looks texts up in a table; it can embed no others.

    Attributes:
        dim: Length of an embedding.
        name: The file's name as an identifier.
    """

    batch_size = 65536

    def __init__(self, texts: list[str], table: Array, *, name: str) -> None:
        super().__init__(name=name)
        self.dim = int(table.shape[1])
        self._table = table
        self._rows = {text.encode(): row for row, text in enumerate(texts)}

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 of `(batch,)` strings.

        Raises:
            InputError: A text is not in the file, or a graph is traced.
        """
        if not hasattr(texts, "numpy"):
            raise fail(
                "`encoder` must be able to embed new texts to be exported.",
                f"the file of embeddings {self.name!r}",
                "Export with the encoder that made the file.",
            )
        asked = texts.numpy().tolist()
        missing = [text for text in asked if text not in self._rows]
        if missing:
            raise fail(
                "`examples` must hold texts of the file of embeddings.",
                f"{len(missing)} of {len(asked)} texts without one, such as "
                f"{missing[0].decode()[:60]!r}",
                "They are of rows of another file, or made with another "
                "`fields`: encode all files together, with these `fields`.",
            )
        rows = [self._rows[text] for text in asked]
        return tf.constant(self._table[rows])

    @cached_property
    def fingerprint(self) -> str:
        """What changes the embeddings: the texts and the table."""
        digest = blake2b(b"\n".join(self._rows), digest_size=16)
        digest.update(self._table.tobytes())
        return f"precomputed 1, {digest.hexdigest()}"


def load_embeddings(argument: str, path: Path, name: str) -> PrecomputedEncoder:
    """Returns the encoder of a Parquet file with texts and their embeddings.

    Args:
        argument: What errors call the file.
        path: Columns `text`, strings, and `embedding`, lists of numbers, all
            of one length. Where a text comes twice, the last row counts.
        name: Name of the encoder.

    Raises:
        InputError: The file is no such Parquet file, or holds a NaN.
    """
    try:
        frame = pq.read_table(path, columns=[TEXT, EMBEDDING])
        texts = frame[TEXT].to_pylist()
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{TEXT} with values that are no strings")
        table = _matrix(frame[EMBEDDING].combine_chunks(), len(texts))
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise fail(
            f"`{argument}` must be a Parquet file with the columns {TEXT!r} "
            f"(strings) and {EMBEDDING!r} (lists of numbers, one length).",
            f"{argument}={str(path)!r}: {reason}",
            "`tfimportance encode` writes one.",
        ) from error
    check_finite(argument, table)
    return PrecomputedEncoder(texts, table, name=name)


def _matrix(column: Any, rows: int) -> Array:
    """Returns float32 `(rows, dim)` of a list column."""
    lengths = {*pc.list_value_length(column).to_pylist()}
    if len(lengths) != 1 or not lengths - {0, None}:
        raise ValueError(f"{rows} embeddings of lengths {lengths or None}")
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float32).reshape(rows, -1)


def encode_distinct(
    encoder: Any,
    examples: Any,
    output: str | os.PathLike[str],
    *,
    fields: str = "auto",
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> tuple[int, int]:
    """Writes the embedding of each different text, for `load_encoder`.

    Args:
        encoder: What `load_encoder` returned, without `prefixes`.
        examples: As in `encode`; so are the texts that are written: those of
            each column, or with `join` the columns joined.
        output: .parquet file; an older one is replaced when all is written.
        fields: As in `encode`, which finds the texts with the same `fields`.
        cache: As in `encode`.
        progress: As in `encode`.

    Returns:
        How many texts there are, and the length of an embedding.

    Raises:
        InputError: As in `encode`, or the encoder has prefixes: a text would
            have two embeddings.
    """
    if any(getattr(encoder, "prefixes", ())):
        raise fail(
            "`encoder` must have no prefixes.", f"prefixes={encoder.prefixes!r}"
        )
    path = Path(output)
    check_output("output", path, [".parquet"])
    columns = text_columns(examples)
    if field_mode(fields, len(columns)) == "join":
        columns = [joined(columns)]
    _, texts = distinct_texts(columns)
    values = encode(encoder, texts, cache=cache, progress=progress)
    save_embeddings(path, texts, values)
    return values.shape[0], values.shape[1]


def save_embeddings(path: Path, texts: Any, embeddings: Array) -> None:
    """Writes what `load_embeddings` reads.

    Args:
        path: Parquet file; an older one is replaced when all is written.
        texts: `(num_texts,)` different strings.
        embeddings: Float32 `(num_texts, dim)`.
    """
    flat = pa.array(np.ascontiguousarray(embeddings, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    table = pa.table({TEXT: pa.array(texts, pa.string()), EMBEDDING: column})
    with staged_file(path) as stage:
        pq.write_table(table, stage)
