"""Batches of texts of like length, run through an encoder.

An encoder may say what suits it by these attributes: `batch_size`, the texts
in a batch; `batch_tokens`, the tokens in a batch with their padding, which
takes the place of `batch_size`; `token_counts(texts)`, int64 `(batch,)`; and
`threads`, how many batches it may embed at the same time.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfimportance._checks import Array, fail
from tfimportance._threads import in_order

# Texts whose tokens are counted at a time.
_COUNTED = 8192


def encode_batches(
    encoder: Callable[[tf.Tensor], Any],
    texts: Array,
    *,
    batch_size: int | None,
    known: int,
    progress: bool,
) -> Iterator[tuple[Array, Array]]:
    """Yields the rows of a batch and its embeddings, the longest texts first.

    The batches depend on the texts and their order only. Where whole batches
    are taken out of `texts`, the others stay as they are: the first text of a
    batch determines how many follow.

    Args:
        encoder: What `load_encoder` returned.
        texts: Object array of str, all different.
        batch_size: Texts in a batch; None takes what suits the encoder.
        known: How many more texts there are, already embedded, for the bar.
        progress: Whether to show a bar where the output is a terminal.

    Yields:
        Int64 `(batch,)` and float32, which should be `(batch, dim)`.
    """
    costs = text_costs(encoder, texts)
    batches = plan_batches(costs, **batch_limits(encoder, batch_size))
    done, started = known, time.monotonic()
    with tqdm(
        total=int(costs.sum()),
        # The time left goes by the amount of text: long texts come first.
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
        disable=None if progress else True,
    ) as bar:
        for rows, values in in_order(
            lambda rows: (rows, _embed(encoder, texts[rows])),
            batches,
            int(getattr(encoder, "threads", 1)),
        ):
            yield rows, values
            done += len(rows)
            speed = (done - known) / (time.monotonic() - started)
            bar.set_description_str(
                f"encode {done:,}/{known + len(texts):,} texts, {speed:,.0f}/s",
                refresh=False,
            )
            bar.update(int(costs[rows].sum()))


def _embed(encoder: Callable[[tf.Tensor], Any], texts: Array) -> Array:
    return np.asarray(encoder(tf.constant(texts)), np.float32)


def text_costs(encoder: Any, texts: Array) -> Array:
    """Returns int64 `(len(texts),)`, how long each text is for `encoder`.

    Tokens for an encoder with `batch_tokens`, estimated at four characters
    each if it cannot count them; else characters, and one more.
    """
    characters = np.fromiter(map(len, texts), np.int64, len(texts))
    if not hasattr(encoder, "batch_tokens"):
        return characters + 1
    if not hasattr(encoder, "token_counts"):
        return 2 + characters // 4
    starts = range(0, len(texts), _COUNTED)
    counts = [
        np.asarray(encoder.token_counts(tf.constant(texts[i : i + _COUNTED])))
        for i in starts
    ]
    return np.concatenate([characters[:0], *counts])


def batch_limits(encoder: Any, batch_size: int | None) -> dict[str, Any]:
    """Returns the arguments of `plan_batches` that say how much fits."""
    tokens = getattr(encoder, "batch_tokens", None)
    if batch_size is None and tokens is None:
        batch_size = int(getattr(encoder, "batch_size", 256))
    return {"batch_size": batch_size, "batch_tokens": tokens}


def plan_batches(
    costs: Array, *, batch_size: int | None, batch_tokens: int | None
) -> Iterator[Array]:
    """Yields the rows of each batch, by falling cost; equal ones in order.

    Example:
        >>> costs = np.array([2, 9, 5, 4, 2])
        >>> plan = plan_batches(costs, batch_size=None, batch_tokens=10)
        >>> [rows.tolist() for rows in plan]
        [[1], [2, 3], [0, 4]]

    Args:
        costs: Integers `(num_texts,)`, at least 1.
        batch_size: Texts in a batch, or None for `batch_tokens`.
        batch_tokens: The most that a batch costs when each of its texts is
            padded to the longest; a single text may cost more.
    """
    order = np.argsort(-costs, kind="stable")
    start = 0
    while start < len(order):
        size = batch_size or max(1, int(batch_tokens // costs[order[start]]))
        yield order[start : start + size]
        start += size


def check_values(values: Array, shape: tuple[int, int]) -> None:
    """Raises unless `values` has this shape and is finite."""
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
