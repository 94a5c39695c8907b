"""The diagnosis from file to file: reasons, suspected labels, gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, check_binary, fail
from tfimportance._files import check_output, staged_file
from tfimportance.data import Examples, load_pair
from tfimportance.data.columns import to_label
from tfimportance.diagnosis import (
    coverage,
    discovery_curve,
    explain,
    label_errors,
)
from tfimportance.diagnosis.common import id_or_position, shorten
from tfimportance.diagnosis.discovery import Discovery
from tfimportance.diagnosis.explanation import Explanation
from tfimportance.diagnosis.gaps import Coverage
from tfimportance.encoding import encode, load_encoder
from tfimportance.reliability import label_reliability

# Options of the scores that the coverage has too.
_SHARED = ("scale", "clip", "normalize", "center", "seed")
_VOTING = ("pool_size", "seed")  # those that the reliability has too


@dataclass(frozen=True, eq=False)
class Review:
    """What a person should look at in a pool; `print` it to read it.

    Attributes:
        suspects: The rows whose labels are most likely wrong, as
            `label_errors` returns them.
        coverage: Which targets have no similar training sample.
        discovery: How fast the suspicion finds the rows that are known to be
            wrong, or None where that is not known.
    """

    suspects: pd.DataFrame
    coverage: Coverage
    discovery: Discovery | None

    def __str__(self) -> str:
        lines = ["Labels to review, the most suspected first:"]
        for row in self.suspects.to_dict("records"):
            lines.append(
                f"  row {row.get('id', row['row'])}, label {row['label']}, "
                f"suspicion {row['suspicion']:.2f}  {shorten(row['text'])}"
            )
            lines.append(
                f"    as against {row['evidence_reference']} "
                f"{id_or_position(row, 'evidence_')}  "
                f"{shorten(row['evidence_text'])}"
            )
        parts = ["\n".join(lines), str(self.coverage)]
        if self.discovery is not None:
            parts.append(str(self.discovery))
        return "\n\n".join(parts)


def explain_files(
    pool: str,
    target: str,
    rows: Sequence[str],
    *,
    columns: dict[str, Any],
    encoder: str = "static",
    fields: str = "auto",
    top: int = 5,
    **options: Any,
) -> Explanation:
    """Returns why rows of a file are important or not.

    Args:
        pool: The file of training rows.
        target: The file of target rows.
        rows: Their ids where `columns` names an id, else row numbers.
        columns: What `load_examples` takes: `text`, `label`, `id`, ...
        encoder: What `load_encoder` takes.
        fields: How text columns become one embedding; see `encode`.
        top: Targets to show on either side.
        **options: Of `importance_scores`.

    Raises:
        InputError: A row is unknown, or the data or an option cannot be used.
    """
    train, traffic = load_pair(pool, target, columns)
    numbers = _row_numbers(train, rows)
    return explain(
        numbers,
        *_embed(train, traffic, encoder, fields),
        labels=train.label,
        target_labels=traffic.label,
        texts=train,
        target_texts=traffic,
        top=top,
        **options,
    )


def review_files(
    pool: str,
    target: str,
    *,
    columns: dict[str, Any],
    wrong: str | None = None,
    output: str | Path | None = None,
    encoder: str = "static",
    fields: str = "auto",
    top: int = 20,
    **options: Any,
) -> Review:
    """Returns suspected labels and uncovered targets of two files.

    Args:
        pool: The file of training rows.
        target: The file of target rows.
        columns: What `load_examples` takes: `text`, `label`, `id`, ...
        wrong: A column of the pool that says which labels are known to be
            wrong, 0 or 1; the review then says how well they are found.
        output: A CSV file for the `top` suspects, or None.
        encoder: What `load_encoder` takes.
        fields: How text columns become one embedding; see `encode`.
        top: Suspects to show and to write.
        **options: Of `importance_scores`.

    Raises:
        InputError: The data or an option cannot be used; nothing is written.
    """
    if output is not None:
        check_output("output", Path(output), [".csv"])
    keep = () if wrong is None else (wrong,)
    train, traffic = load_pair(pool, target, columns, keep)
    is_wrong = None
    if wrong is not None:
        column = pd.Series(train.columns[wrong], name=wrong)
        is_wrong = to_label(column, argument="wrong")
        check_binary("wrong", is_wrong, both=True)
    embedded, targets = _embed(train, traffic, encoder, fields)
    voting = {name: options[name] for name in _VOTING if name in options}
    reliability = label_reliability(
        embedded,
        targets,
        labels=train.labels,
        target_labels=traffic.labels,
        group=train.group,
        target_group=traffic.group,
        **voting,
    )
    suspects = label_errors(
        embedded,
        targets,
        labels=train.labels,
        target_labels=traffic.labels,
        reliability=reliability,
        texts=train,
        target_texts=traffic,
        top=top,
        **options,
    )
    discovery = None
    if is_wrong is not None:
        discovery = discovery_curve(reliability.probability, is_wrong)
    shared = {name: options[name] for name in _SHARED if name in options}
    gaps = coverage(embedded, targets, target_texts=traffic, **shared)
    if output is not None:
        with staged_file(output) as stage:
            suspects.to_csv(stage, index=False)
    return Review(suspects, gaps, discovery)


def _embed(
    train: Examples, traffic: Examples, encoder: str, fields: str
) -> tuple[Any, Any]:
    model = load_encoder(encoder)
    return (
        encode(model, train, fields=fields),
        encode(model, traffic, fields=fields),
    )


def _row_numbers(examples: Examples, rows: Sequence[str]) -> Array:
    ids = np.arange(len(examples)) if examples.id is None else examples.id
    place = pd.Index(np.asarray(ids).astype(str)).get_indexer(
        [str(row) for row in rows]
    )
    if (place < 0).any():
        unknown = rows[int(np.argmax(place < 0))]
        kind = "row numbers" if examples.id is None else "ids of the pool"
        raise fail(f"`row` must name {kind}.", f"row={unknown!r}")
    return place
