"""A table of word-piece vectors: embeddings without running a model."""

import json
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import tensorflow as tf
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from tfimportance._checks import Array, fail
from tfimportance._files import staged_file, write_json
from tfimportance.encoding.tokens import word_pieces

CONFIG, TABLE, VOCABULARY = "config.json", "model.safetensors", "vocab.txt"
FORMAT = 1


class StaticEncoder(tf.Module):
    """Embeds text as the weighted mean of its word pieces, unit length.

    The weights lie in the table, as the lengths of its rows. All of it happens
    in the graph: the tokenizer, and a segment sum that reads the rows in place.
    (The mean is the sum but for its length, which is normalised away.)

    A text without any word piece, e.g. "", becomes the zero vector.

    Attributes:
        dim: Length of an embedding.
        name: The folder's name as an identifier.
    """

    batch_size = 4096

    def __init__(
        self, table: Array, vocabulary: list[str], *, lowercase: bool, name: str
    ) -> None:
        super().__init__(name=name)
        self.dim = int(table.shape[1])
        self._table = tf.Variable(
            table, trainable=False, dtype=tf.float32, name="table"
        )
        self._tokenizer = word_pieces(vocabulary, lowercase=lowercase)
        self._identity = f"{lowercase}\n" + "\n".join(vocabulary)
        self._encode = tf.function(
            self._embed, input_signature=[tf.TensorSpec([None], tf.string)]
        )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 unit vectors of `(batch,)` strings."""
        return self._encode(texts)

    def _embed(self, texts: tf.Tensor) -> tf.Tensor:
        pieces = self._tokenizer.tokenize(texts)
        total = tf.sparse.segment_sum(
            self._table,
            pieces.flat_values,
            pieces.value_rowids(),
            num_segments=pieces.nrows(),
        )
        return tf.math.l2_normalize(total, axis=1)

    @cached_property
    def fingerprint(self) -> str:
        """What changes the embeddings: the table and its word pieces."""
        digest = blake2b(self._identity.encode(), digest_size=16)
        digest.update(self._table.numpy().tobytes())
        return f"static {FORMAT}, {digest.hexdigest()}"


def load_static(folder: Path, name: str) -> StaticEncoder:
    """Returns the encoder that `save_static` wrote to `folder`.

    Raises:
        InputError: Its files are damaged, do not belong together, or are of
            another version.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config["static_format"] != FORMAT:
        raise fail(
            f"`source` must be a static encoder of format {FORMAT}.",
            f"source={str(folder)!r} of format {config['static_format']}",
            "Distil the checkpoint again.",
        )
    vocabulary = (folder / VOCABULARY).read_text(encoding="utf-8")
    tokens = vocabulary.removesuffix("\n").split("\n")
    return StaticEncoder(
        _read_table(folder / TABLE, len(tokens)),
        tokens,
        lowercase=config["lowercase"],
        name=name,
    )


def _read_table(path: Path, rows: int) -> Array:
    """Returns the float32 table `(rows, dim)`."""
    try:
        tensors = load_file(path)
        table, scale = tensors["table"], tensors["scale"]
    except (SafetensorError, KeyError) as error:
        raise fail(
            "`source` must hold a whole table.",
            f"{str(path)!r}: {error}",
            "Copy the folder again.",
        ) from error
    if table.ndim != 2 or len(table) != rows or scale.shape != (rows,):
        raise fail(
            f"`source` must hold one row in {TABLE} for each line of "
            f"{VOCABULARY}.",
            f"{rows} lines, table.shape={table.shape}",
            "Copy both files from the same folder.",
        )
    return table.astype(np.float32) * scale.astype(np.float32)[:, None]


def save_static(
    folder: Path, table: Array, vocabulary: list[str], *, lowercase: bool
) -> None:
    """Writes the float table `(len(vocabulary), dim)` with 8 bits a number."""
    scale = (np.abs(table).max(axis=1) / 127).astype(np.float16)
    divisor = np.maximum(scale, np.finfo(np.float16).tiny).astype(table.dtype)
    whole = np.clip(np.rint(table / divisor[:, None]), -127, 127)
    with staged_file(folder / TABLE) as path:
        path.write_bytes(save({"table": whole.astype(np.int8), "scale": scale}))
    with staged_file(folder / VOCABULARY) as path:
        path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    with staged_file(folder / CONFIG) as path:
        config = {
            "static_format": FORMAT,
            "dim": int(table.shape[1]),
            "lowercase": lowercase,
        }
        write_json(path, config)
