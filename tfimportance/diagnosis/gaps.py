"""Targets that no training sample is similar to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, check_count, check_number, fail
from tfimportance.diagnosis.common import (
    complete_settings,
    described,
    poll_of,
    shorten,
)
from tfimportance.importance.nearest import nearest_rows
from tfimportance.importance.polls import Poll
from tfimportance.importance.sources import read_again, take_rows

# Training samples whose own nearest neighbours set the threshold.
_YARDSTICK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class Coverage:
    """How well the training samples cover the targets.

    Attributes:
        targets: A row for each target, in their order: `target` (row
            number), `id` and `text` if known, `nearest_similarity` (to the
            nearest training sample), `mean_similarity` (mean over the m
            nearest), `nearest_row` (number of the nearest) and `is_covered`.
        threshold: The nearest similarity from which a target is covered.
        rare: The share of the training samples, in (0, 1), that are less
            similar than this to their own nearest neighbour.
    """

    targets: pd.DataFrame
    threshold: float
    rare: float

    @property
    def uncovered_share(self) -> float:
        """The share of the targets, in [0, 1], that are not covered.

        About `rare` where the targets are like the training samples.
        """
        return float(1 - self.targets["is_covered"].mean())

    def to_frame(self) -> pd.DataFrame:
        """Returns the targets, the least covered first."""
        return self.targets.sort_values(
            "nearest_similarity", kind="stable", ignore_index=True
        )

    def __str__(self) -> str:
        number = int((~self.targets["is_covered"]).sum())
        lines = [
            f"{number} of {len(self.targets)} targets "
            f"({self.uncovered_share:.1%}) have no similar training sample;",
            f"{self.rare:.1%} would be usual. The least covered "
            f"(threshold {self.threshold:.4g}):",
        ]
        for target in self.to_frame().head(10).to_dict("records"):
            text = shorten(target["text"]) if "text" in target else ""
            similarity = f"{target['nearest_similarity']:8.4g}"
            line = f"  {similarity}  target {target['target']}  {text}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def coverage(
    embeddings: Any,
    target_embeddings: Any,
    *,
    target_texts: Any = None,
    m: int = 10,
    rare: float = 0.05,
    scale: float = 4.0,
    clip: float = 20.0,
    normalize: bool = True,
    center: bool = True,
    seed: int = 0,
) -> Coverage:
    """Returns which targets have no similar training sample.

    A target is covered when its nearest training sample is at least as
    similar to it as training samples usually are to each other: the threshold
    is the `rare` quantile of the similarity of 1024 random training samples
    to their own nearest neighbour. Many exact copies in the pool raise it.

    The pool is read twice, a block at a time: for its mean, and for the
    neighbours.

    Args:
        embeddings: `(num_samples, embedding_dim)`, as in `importance_scores`.
        target_embeddings: `(num_targets, embedding_dim)`, likewise.
        target_texts: `(num_targets,)` strings or the target's `Examples`.
        m: Nearest training samples in `mean_similarity` (all, if fewer).
        rare: In (0, 1).
        scale: As in `importance_scores`; so are the rest.
        clip: The largest size of the argument of sinh.
        normalize: Whether vectors are brought to length 1.
        center: Whether the mean sample is subtracted first.
        seed: Chooses the samples that set the threshold.

    Raises:
        InputError: Where shapes or settings do not fit, or where there is
            only one training sample.

    Example:
        >>> import tfimportance as tfi
        >>> samples = [[1.0, 0.0], [1.0, 0.1], [0.9, 0.0]]
        >>> tfi.coverage(samples, [[1, 0.05], [0, 1]], center=False,
        ...     target_texts=["soft", "wool"])
        1 of 2 targets (50.0%) have no similar training sample;
        5.0% would be usual. The least covered (threshold 26.81):
            0.4086  target 1  "wool"
             27.16  target 0  "soft"
    """
    check_count("m", m)
    check_number("rare", rare, above=0, at_most=np.nextafter(1, 0))
    given = {"scale": scale, "clip": clip, "normalize": normalize}
    settings = complete_settings(
        {**given, "center": center, "mode": "similarity"}
    )
    poll = poll_of(embeddings, target_embeddings, settings)
    if poll.num_samples < 2:
        raise fail("`embeddings` must have two rows or more.", "1 row")
    number, dot, own_dot = _neighbours(embeddings, poll, m, seed)
    threshold = float(np.quantile(poll.similarity(own_dot), rare))
    similarity = poll.similarity(dot)
    rows = np.arange(len(number))
    targets = {
        "target": rows,
        **described("target_texts", target_texts, len(rows), rows),
        "nearest_similarity": similarity[:, 0],
        "mean_similarity": similarity.mean(axis=1),
        "nearest_row": number[:, 0],
        "is_covered": similarity[:, 0] >= threshold,
    }
    return Coverage(pd.DataFrame(targets), threshold, rare)


def _neighbours(
    embeddings: Any, poll: Poll, m: int, seed: int
) -> tuple[Array, Array, Array]:
    """Returns the nearest samples of the targets and of some samples.

    Returns:
        `(num_targets, m)` row numbers and their dot products with the
        target, nearest first; and the dot products of some random samples
        with their nearest other sample.
    """
    shuffled = np.random.default_rng(seed).permutation(poll.num_samples)
    rows = np.sort(shuffled[:_YARDSTICK])
    samples = poll.direction(take_rows("embeddings", embeddings, rows))
    targets = poll.voters(embeddings)
    count = len(targets)
    number, dot = nearest_rows(
        np.concatenate([targets, samples]),
        read_again("embeddings", embeddings, poll.pool),
        poll.direction,
        m=min(m, poll.num_samples),
        keys=(
            np.concatenate([np.full(count, -1), rows]),
            np.arange(poll.num_samples),
        ),
    )
    return number[:count], dot[:count], dot[count:, 0]
