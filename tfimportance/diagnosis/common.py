"""Settings and texts, as every diagnosis takes them."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, check_choice, check_length, fail
from tfimportance.importance import CompressedTargets, importance_scores
from tfimportance.importance.polls import Poll, open_poll

_SHOWN_CHARACTERS = 60


def complete_settings(
    settings: dict[str, Any], without: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the options of `importance_scores`, defaults filled in.

    Args:
        settings: Those that were given.
        without: Options that make no sense here.
    """
    defaults: Any = importance_scores.__kwdefaults__
    for name in settings:
        check_choice("settings", name, sorted({*defaults} - {*without}))
    return {**defaults, **settings}


def poll_of(
    embeddings: Any, target_embeddings: Any, settings: dict[str, Any]
) -> Poll:
    """Returns who votes with these complete settings."""
    if isinstance(target_embeddings, CompressedTargets):
        raise fail(
            "`target_embeddings` must be the targets themselves: centroids "
            "have no text and no row.",
            f"{len(target_embeddings)} compressed targets",
            "Give the embeddings that were compressed.",
        )
    return open_poll(embeddings, target_embeddings, **settings)


def described(
    name: str, source: Any, count: int, rows: Array
) -> dict[str, Any]:
    """Returns the columns `id` and `text` of some rows, as far as known.

    Args:
        name: The argument's name, for errors.
        source: `(count,)` strings, `Examples`, or `None`.
        count: Rows that the source must have.
        rows: Numbers of the rows to describe.
    """
    if source is None:
        return {}
    fields: Any = getattr(source, "text", None)
    is_examples = isinstance(fields, dict)
    values = np.arange(len(source)) if is_examples else _objects(source)
    other = name.replace("texts", "embeddings")
    check_length(name, values, count, other)
    if not is_examples:
        return {"text": _plain(values[rows])}
    known = {} if source.id is None else {"id": source.id[rows]}
    parts = [_plain(field[rows]) for field in fields.values()]
    if parts:
        pairs = zip(*parts, strict=True)
        known["text"] = [" | ".join(filter(None, pair)) for pair in pairs]
    return known


def id_or_position(row: Mapping[Any, Any], prefix: str = "") -> Any:
    """Returns what names a voter to a person: its id, where it is known."""
    known = row.get(f"{prefix}id")
    # Beside ids that are texts, pandas turns None to NaN.
    return row[f"{prefix}position"] if pd.isna(known) else known


def described_voters(
    is_target: Array, position: Array, poll: Poll, texts: Any, target_texts: Any
) -> dict[str, Array]:
    """Returns the columns `id` and `text` of targets and pool rows.

    Args:
        is_target: `(count,)` whether each is a target, else a row of the pool.
        position: `(count,)` row numbers there.
        poll: Who votes.
        texts: As the pool's `source` of `described`.
        target_texts: As the target's.

    Returns:
        Object arrays `(count,)` of each column that one of the sources has:
        an id that is unknown is None, a text "".
    """
    found: dict[str, Array] = {}
    for name, source, count, side in (
        ("target_texts", target_texts, len(poll.target), is_target),
        ("texts", texts, poll.num_samples, ~is_target),
    ):
        known = described(name, source, count, position[side])
        for column, values in known.items():
            nothing = None if column == "id" else ""
            blank = np.full(len(position), nothing, object)
            found.setdefault(column, blank)[side] = values
    return found


def shorten(text: str) -> str:
    """Returns the text on one short line, in quotes; "" stays so."""
    if not text:
        return ""
    short = textwrap.shorten(text, _SHOWN_CHARACTERS, placeholder=" ...")
    return f'"{short}"'


def _objects(source: Any) -> Array:
    # NumPy's own strings are all as long as the longest.
    return np.asarray(source, object)


def _plain(texts: Array) -> list[str]:
    return ["" if pd.isna(text) else str(text) for text in texts]
