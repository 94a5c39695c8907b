"""What each voter adds to the importance of a sample."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from tfimportance._checks import Array
from tfimportance.importance.polls import Poll
from tfimportance.importance.sources import take_rows

# Pairs of samples and voters that are looked at together: 32 MiB.
_PAIRS = 2**22


def contributions(
    numbers: Array, embeddings: Any, poll: Poll, spread: Array, top: int | None
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yields each sample's sums and the table of its strongest voters."""
    distinct, place = np.unique(numbers, return_inverse=True)
    samples = poll.direction(take_rows("embeddings", embeddings, distinct))
    voters = poll.voters(embeddings)
    num_targets = len(poll.target)
    size = max(1, _PAIRS // len(voters))
    for start in range(0, len(numbers), size):
        rows = numbers[start : start + size]
        directions = samples[place[start : start + size]]
        dot = directions.astype(float) @ voters.T.astype(float)
        similarity = poll.similarity(dot)
        factors = poll.ballot.group_factors(rows, spread)
        share = _shares(similarity, rows, poll)
        contribution = factors[:, poll.ballot.group] * share * similarity
        for row, s, c in zip(rows, similarity, contribution, strict=True):
            shown = _strongest(c, num_targets, top)
            yield (
                _sums(row, c, num_targets, poll),
                pd.DataFrame(
                    {
                        "row": row,
                        "voter": shown,
                        "similarity": s[shown],
                        "contribution": c[shown],
                    }
                ),
            )


def _strongest(contribution: Array, num_targets: int, top: int | None) -> Array:
    """Returns the voters to show: supporting, then opposing, by reference."""
    shown = []
    for sign in (1, -1):
        for first, last in ((0, num_targets), (num_targets, None)):
            size = sign * contribution[first:last]
            order = np.argsort(-size, kind="stable")
            shown.append(first + order[size[order] > 0][:top])
    return np.concatenate(shown)


def _sums(
    row: int, contribution: Array, num_targets: int, poll: Poll
) -> dict[str, Any]:
    """Returns the importance of a sample and what it is made of."""
    sums = {
        "row": row,
        "importance": contribution.sum(),
        "supporting": contribution[contribution > 0].sum(),
        "opposing": contribution[contribution < 0].sum(),
    }
    if poll.ballot.reference == "both":
        sums["from_target"] = contribution[:num_targets].sum()
        sums["from_pool"] = contribution[num_targets:].sum()
    return sums


def _shares(similarity: Array, rows: Array, poll: Poll) -> Array:
    """Returns `(rows, voters)` shares in the value of each voter's group."""
    ballot = poll.ballot
    num_targets = len(poll.target)
    weight = np.ones_like(similarity)
    weight[:, num_targets:] = rows[:, None] != ballot.pool_rows
    share = np.empty_like(similarity)
    for g in np.unique(ballot.group):
        members = np.flatnonzero(ballot.group == g)
        z = tf.constant(np.arcsinh(similarity[:, members].T))
        counts = tf.constant(weight[:, members].T)
        share[:, members] = poll.fold.share(z, counts).numpy().T
    return share
