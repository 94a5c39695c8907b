"""Embeddings of behaviour: of id sequences with a model, of texts without."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.sparse import csr_array

from tfimportance._arrays import with_text_tensors
from tfimportance._checks import (
    Array,
    check_choice,
    check_count,
    check_length,
    check_number,
    fail,
)
from tfimportance.encoding.attention import SequenceEncoder
from tfimportance.encoding.batching import encode
from tfimportance.encoding.fields import column_prefix, without_prefixes
from tfimportance.encoding.texts import with_prefix

POOLINGS = ("mean", "recency", "attention", "none")

# Items compared with their query at a time.
_ITEMS = 65536


def sequence_model(
    vocabulary_size: int,
    *,
    dim: int = 32,
    positions: int = 50,
    candidate: bool = False,
    dropout: float = 0.2,
    learning_rate: float = 1e-2,
) -> keras.Model:
    """Returns a compiled model from item ids to the probability of the label.

    `SequenceEncoder`, dropout and one sigmoid unit; Adam on binary
    cross-entropy. Its layer `"embedding"` is what `model_embeddings` reads.
    With a candidate item, the embedding relates the user u to the item c as
    `[u * c, |u - c|]`, `2 * dim` numbers: whether this user clicks this item
    shows in neither of them alone.

    Example:
        >>> history = np.array([[0, 3, 5], [4, 4, 1], [0, 0, 0]], np.int32)
        >>> model = sequence_model(6, dim=4)
        >>> model.predict(history, verbose=0).shape
        (3, 1)
        >>> model_embeddings(model, history).shape
        (3, 4)

    Args:
        vocabulary_size: As in `SequenceEncoder`; ids lie below it.
        dim: Length of a user's embedding.
        positions: As in `AttentionPooling`.
        candidate: Whether there is an item beside the history; the features
            are then `{"history": (batch, length), "item": (batch, 1)}`, both
            of int32 ids, else `(batch, length)` alone.
        dropout: Share of the embedding dropped in training, in [0, 1).
        learning_rate: Adam's step size.
    """
    encoder = SequenceEncoder(
        vocabulary_size,
        dim=dim,
        positions=positions,
        name="encoder" if candidate else "embedding",
    )
    inputs: Any = keras.Input((None,), dtype="int32", name="history")
    x = encoder(inputs)
    if candidate:
        item = keras.Input((1,), dtype="int32", name="item")
        inputs = {"history": inputs, "item": item}
        x = _relation(x, encoder(item))
    x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(x)
    model = keras.Model(inputs, outputs, name="sequence_model")
    model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy")
    return model


def _relation(user: Any, item: Any) -> Any:
    both = [user * item, keras.ops.abs(user - item)]
    return keras.layers.Concatenate(name="embedding")(both)


def model_embeddings(
    model: keras.Model,
    features: Any,
    *,
    layer: str = "embedding",
    batch_size: int = 1024,
) -> Array:
    """Returns what a layer of a trained model says of each row.

    This makes any Keras model an encoder: of sequences, of columns, of both.

    Args:
        model: A functional or sequential model.
        features: What the model takes, `num_samples` rows.
        layer: Name of a layer with output `(batch, dim)`; where it is used
            more than once, the first use counts.
        batch_size: Rows in one batch.

    Returns:
        Float32 `(num_samples, dim)`.

    Raises:
        InputError: There is no such layer, its output is no matrix, or the
            model is of another kind.
    """
    check_count("batch_size", batch_size)
    check_choice("layer", layer, [each.name for each in model.layers])
    try:
        output = model.get_layer(layer).output
        is_plain = isinstance(model, keras.Sequential)
        inputs = model.inputs[0] if is_plain else model.input
    except (AttributeError, ValueError) as error:
        raise fail(
            "`model` must be a functional or sequential model with inputs.",
            f"model={model.name!r} of type {type(model).__name__}",
            "Call such a model on the features yourself.",
        ) from error
    if len(output.shape) != 2:
        raise fail(
            "`layer` must give one vector (batch, dim) for each row.",
            f"layer={layer!r} with output {tuple(output.shape)}",
        )
    part = keras.Model(inputs, output)
    values = part.predict(
        with_text_tensors(features), batch_size=batch_size, verbose=0
    )
    return np.ascontiguousarray(values, np.float32)


def encode_sequences(
    encoder: Callable[[tf.Tensor], Any],
    sequences: Sequence[Sequence[str]] | Array,
    *,
    pooling: str = "mean",
    queries: Sequence[str] | Array | None = None,
    half_life: float = 5.0,
    scale: float = 4.0,
    length: int | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> Array:
    """Returns the embeddings of sequences of texts, such as a user's items.

    Each different text is encoded once. With x_l the embedding of text l and
    r_l the number of texts after it, the result is `sum_l a_l * x_l`, where a
    adds up to 1 and

        mean:       a_l ~ 1
        recency:    a_l ~ 2^(-r_l / half_life)
        attention:  a_l ~ exp(scale * cos(query, x_l))

    Nothing is trained here. With `"none"` the embeddings of all texts come
    back, for a trainable `Masking` and `AttentionPooling` on top.

    Example:
        >>> from tfimportance.encoding import load_encoder
        >>> bought = [["a red dress", "red shoes"], [], ["a desk"]]
        >>> encode_sequences(load_encoder("static"), bought).shape
        (3, 256)

    Args:
        encoder: What `load_encoder` returned. For its `prefixes` the items
            are the first column and the queries the second.
        sequences: `num_samples` lists of texts, the latest last. An empty one
            gives the zero vector.
        pooling: `"mean"`, `"recency"`, `"attention"` or `"none"`.
        queries: `(num_samples,)` texts that the attention looks for, such as
            the title of the candidate item; None takes the latest text.
        half_life: Number of texts after which the recency halves.
        scale: Strength of the attention, above 0.
        length: The most texts of a sequence that count, the latest; None
            takes all.
        batch_size: As in `encode`.
        progress: As in `encode`.

    Returns:
        Float32 `(num_samples, dim)`; with `"none"` `(num_samples, length,
        dim)`, zeros in front of shorter sequences and `length` at most that
        of the longest.

    Raises:
        InputError: There is no text at all, something is no list of texts,
            or an option does not fit.
    """
    check_choice("pooling", pooling, POOLINGS)
    check_number("half_life", half_life, above=0)
    check_number("scale", scale, above=0)
    texts, counts = _flatten(sequences, length)
    wanted = _queries(queries, pooling, len(counts))
    texts = with_prefix(column_prefix(encoder, 0), texts)
    wanted = with_prefix(column_prefix(encoder, 1), wanted)
    codes, distinct = pd.factorize(np.concatenate([texts, wanted]))
    table = encode(
        without_prefixes(encoder),
        distinct,
        batch_size=batch_size,
        progress=progress,
    )
    codes, queried = codes[: len(texts)], codes[len(texts) :]
    if pooling == "none":
        return _pad(table, codes, counts)
    rows = np.repeat(np.arange(len(counts)), counts)
    later = np.cumsum(counts)[rows] - 1 - np.arange(len(rows))
    if pooling == "mean":
        score = np.zeros(len(rows))
    elif pooling == "recency":
        score = -later * (np.log(2) / half_life)
    else:
        if queries is None:
            queried = np.zeros(len(counts), np.intp)
            queried[rows[later == 0]] = codes[later == 0]
        score = scale * _cosine(table, codes, queried[rows])
    starts = np.concatenate([[0], np.cumsum(counts)])
    share = _softmax(score, rows, len(counts)).astype(np.float32)
    return csr_array((share, codes, starts), (len(counts), len(table))) @ table


def _flatten(sequences: Any, length: int | None) -> tuple[Array, Array]:
    """Returns all texts in one object array, and how many each row has."""
    if length is not None:
        check_count("length", length)
    for row, each in enumerate(sequences):
        if not isinstance(each, (list, tuple, np.ndarray)):
            raise fail(
                "`sequences` must hold lists of texts.",
                f"{each!r} in row {row}",
                "Put a single text into a list; use [] for none.",
            )
    cut = [list(each)[-length:] if length else [*each] for each in sequences]
    texts = np.empty(sum(map(len, cut)), object)
    texts[:] = [text for each in cut for text in each]
    if not len(texts):
        raise fail("`sequences` must hold at least one text.", "none")
    _check_texts("sequences", texts)
    return texts, np.array([len(each) for each in cut])


def _queries(queries: Any, pooling: str, number: int) -> Array:
    if queries is None:
        return np.empty(0, object)
    if pooling != "attention":
        raise fail(
            "`queries` needs `pooling` 'attention'.", f"pooling={pooling!r}"
        )
    texts = np.asarray(queries, object)
    check_length("queries", texts, number, "sequences")
    _check_texts("queries", texts)
    return texts


def _check_texts(name: str, texts: Array) -> None:
    if pd.api.types.infer_dtype(texts, skipna=False) != "string":
        wrong = next(text for text in texts if not isinstance(text, str))
        raise fail(
            f"`{name}` must hold strings.",
            f"{wrong!r} among {len(texts)} texts",
            'Leave missing texts out, or replace them by "".',
        )


def _pad(table: Array, codes: Array, counts: Array) -> Array:
    """Returns `(num_samples, longest, dim)`, the padding in front."""
    longest = counts.max()
    padded = np.zeros((len(counts), longest, table.shape[1]), np.float32)
    padded[np.arange(longest) >= longest - counts[:, None]] = table[codes]
    return padded


def _cosine(table: Array, left: Array, right: Array) -> Array:
    """Returns the cosines of the rows named pairwise; 0 with a zero row."""
    norm = np.linalg.norm(table.astype(np.float64), axis=1, keepdims=True)
    unit = (table / np.where(norm > 0, norm, 1)).astype(np.float32)
    blocks = [slice(i, i + _ITEMS) for i in range(0, len(left), _ITEMS)]
    dots = [
        np.einsum("nd,nd->n", unit[left[rows]], unit[right[rows]])
        for rows in blocks
    ]
    return np.concatenate(dots).astype(np.float64)


def _softmax(score: Array, rows: Array, number: int) -> Array:
    """Returns the softmax among the items of each row."""
    highest = np.full(number, -np.inf)
    np.maximum.at(highest, rows, score)
    power = np.exp(score - highest[rows])
    return power / np.bincount(rows, power, number)[rows]
