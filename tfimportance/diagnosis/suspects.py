"""The rows whose labels are most likely wrong, for a person to review."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_choice,
    check_count,
    check_finite,
    check_length,
)
from tfimportance.diagnosis.common import (
    complete_settings,
    described,
    described_voters,
    poll_of,
)
from tfimportance.importance import importance_scores
from tfimportance.importance.modes import as_labels
from tfimportance.importance.nearest import nearest_rows
from tfimportance.importance.polls import Poll
from tfimportance.importance.sources import (
    read_again,
    read_blocks,
    take_rows,
)
from tfimportance.reliability import LabelReliability, label_reliability


def label_errors(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: ArrayLike,
    target_labels: ArrayLike,
    group: ArrayLike | None = None,
    target_group: ArrayLike | None = None,
    top: int = 20,
    by: str = "suspicion",
    importance: ArrayLike | None = None,
    reliability: LabelReliability | None = None,
    texts: Any = None,
    target_texts: Any = None,
    **settings: Any,
) -> pd.DataFrame:
    """Returns the rows whose labels are most likely wrong, to review.

    The suspicion is the probability that the label is wrong, judged by the
    target, by the pool and by models that have not seen the row; see
    `label_reliability`, which holds the embeddings in memory. The lowest
    label-signed importance, `by="importance"`, says less, but reads a pool of
    any size block by block. It does not compare classes: where one is rare, its
    rows have the lower importance, right or wrong.

    Args:
        embeddings: As in `importance_scores`; so are the next three.
        target_embeddings: `(num_targets, embedding_dim)`.
        labels: `(num_samples,)` of 0 and 1.
        target_labels: `(num_targets,)` of 0 and 1, both present.
        group: `(num_samples,)` such as the query of each row, or None; as in
            `label_reliability`.
        target_group: `(num_targets,)`, likewise.
        top: Rows to return (all, if there are fewer).
        by: `"suspicion"`, the largest first, or `"importance"`, the lowest
            first, whatever the class.
        importance: `(num_samples,)` label-signed scores, where they are there
            already; otherwise they are computed.
        reliability: What `label_reliability` said of the pool, where that is
            known already.
        texts: `(num_samples,)` strings or the pool's `Examples`.
        target_texts: `(num_targets,)` strings or the target's `Examples`.
        **settings: Further arguments of `importance_scores`, for the importance
            and the evidence; `label_reliability` chooses a scale of its own.

    Returns:
        A row for each suspect, the most suspected first and the earlier row
        where two tie: `row`, `id` and `text` if known, `label`,
        `importance`, `suspicion` in [0, 1] (unless by importance), and the
        most similar target or pool row that has the other label:
        `evidence_reference` (`"target"`, `"pool"`), `evidence_position`,
        `evidence_similarity`, and `evidence_id` and `evidence_text` if known.

    Raises:
        InputError: Where shapes, labels or settings do not fit.

    Example:
        >>> import tfimportance as tfi
        >>> samples = [[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]]
        >>> errors = tfi.label_errors(samples, [[1, 0.1], [0.1, 1]],
        ...     labels=[1, 0, 1, 0, 0, 0], target_labels=[1, 0], top=1)
        >>> errors[["row", "label", "evidence_reference"]]
           row  label evidence_reference
        0    1      0             target
    """
    check_count("top", top)
    check_choice("by", by, ("suspicion", "importance"))
    settings = complete_settings(
        {**settings, "labels": labels, "target_labels": target_labels},
        without=("mode", "target_groups"),
    )
    settings["mode"] = "label_signed"
    poll = poll_of(embeddings, target_embeddings, settings)
    if importance is None:
        importance = importance_scores(
            embeddings, target_embeddings, **settings
        )
    scores = np.asarray(importance, np.float64)
    check_length("importance", scores, poll.num_samples, "embeddings")
    check_finite("importance", scores)
    label = as_labels("labels", labels, poll.num_samples, both=True)
    order = scores
    if by == "suspicion":
        if reliability is None:
            reliability = label_reliability(
                embeddings,
                target_embeddings,
                labels=label,
                target_labels=target_labels,
                group=group,
                target_group=target_group,
                pool_size=settings["pool_size"],
                seed=settings["seed"],
            )
        order = reliability.probability
        check_length("reliability", order, poll.num_samples, "embeddings")
    rows = np.argsort(order, kind="stable")[:top]
    known = described("texts", texts, poll.num_samples, rows)
    columns = {
        "row": rows,
        **({"id": known.pop("id")} if "id" in known else {}),
        "label": label[rows],
        **known,
        "importance": scores[rows],
    }
    if by == "suspicion":
        columns["suspicion"] = 1 - order[rows]
    place = _evidence(rows, label, np.asarray(target_labels), embeddings, poll)
    is_target, position, similarity = place
    columns |= {
        "evidence_reference": np.where(is_target, "target", "pool"),
        "evidence_position": position,
        "evidence_similarity": similarity,
    }
    evidence = described_voters(is_target, position, poll, texts, target_texts)
    columns |= {f"evidence_{name}": each for name, each in evidence.items()}
    return pd.DataFrame(columns)


def _evidence(
    rows: Array, label: Array, target_label: Array, embeddings: Any, poll: Poll
) -> tuple[Array, Array, Array]:
    """Returns the nearest voter of the other label for each row.

    Returns:
        `(len(rows),)` each: whether it is a target, its row number there,
        and its similarity.
    """
    ascending, order = np.unique(rows, return_inverse=True)
    taken = take_rows("embeddings", embeddings, ascending)
    own = label[ascending]
    # Logs repeat themselves: rows alike in vector and label are asked once.
    first, place = _distinct(taken, own)
    place = place[order]
    queries = poll.direction(taken[first])
    found = [
        nearest_rows(
            queries,
            blocks,
            poll.direction,
            keys=(own[first], labels),
        )
        for blocks, labels in (
            (read_blocks("target_embeddings", poll.target), target_label),
            (read_again("embeddings", embeddings, poll.pool), label),
        )
    ]
    (target, target_dot), (pool, pool_dot) = found
    is_target = target_dot >= pool_dot
    position = np.where(is_target, target, pool)
    similarity = poll.similarity(np.maximum(target_dot, pool_dot))
    return (
        is_target[place, 0],
        position[place, 0],
        similarity[place, 0],
    )


def _distinct(vectors: Array, label: Array) -> tuple[Array, Array]:
    """Returns the first rows of each kind, and the number of each row's kind.

    Rows are of one kind where vector and label are the same.
    """
    kinds = [
        row.tobytes() + bytes([y])
        for row, y in zip(vectors, label, strict=True)
    ]
    number, _ = pd.factorize(np.array(kinds, object))
    return np.unique(number, return_index=True)[1], number
