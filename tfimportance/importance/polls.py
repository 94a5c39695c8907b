"""All that is settled before the first sample is scored."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array, check_choice, check_number, fail
from tfimportance.importance.compression import CompressedTargets
from tfimportance.importance.modes import Ballot, Question
from tfimportance.importance.reductions import Mean, Reduction, as_reduction
from tfimportance.importance.settings import Settings
from tfimportance.importance.sources import (
    Survey,
    read_all,
    survey,
    take_rows,
)
from tfimportance.importance.tiles import TargetTiles, tile_targets
from tfimportance.similarity import LARGEST_CLIP, check_same_dim


@dataclass(frozen=True)
class Poll:
    """Who votes on the samples, and how.

    Attributes:
        pool: Facts of all samples.
        offset: `(embedding_dim,)`, subtracted from samples and voters.
        target: `(num_targets, embedding_dim)` float32, not yet centred.
        ballot: The voters and the use of their votes.
        fold: How the similarities to one group of voters become one value.
        settings: What the similarity is.
    """

    pool: Survey
    offset: Array
    target: Array | CompressedTargets
    ballot: Ballot
    fold: Reduction
    settings: Settings

    @property
    def num_samples(self) -> int:
        """Rows of the pool."""
        return self.pool.num_samples

    def direction(self, vectors: Array) -> Array:
        """Returns `(n, embedding_dim)` vectors as they are multiplied."""
        centred = tf.constant(vectors - self.offset, tf.float32)
        return np.asarray(self.settings.direction(centred))

    def similarity(self, dot: Array) -> Array:
        """Returns the similarities, float64, of dot products of directions."""
        clip = self.settings.clip
        z = np.clip(self.settings.scale * np.float64(dot), -clip, clip)
        return np.asarray(np.sinh(z))

    def voters(self, embeddings: Any) -> Array:
        """Returns the `(num_voters, embedding_dim)` targets and pool rows."""
        if isinstance(self.target, CompressedTargets):
            target = self.target.vectors
        else:
            target = self.direction(self.target)
        own = take_rows("embeddings", embeddings, self.ballot.pool_rows)
        return np.concatenate([target, self.direction(own)])

    def tiles(self, embeddings: Any) -> TargetTiles:
        """Returns the voters for the fold."""
        rows = self.ballot.pool_rows
        weight = np.ones(len(self.target))
        if isinstance(self.target, CompressedTargets):
            weight = self.target.weight
        return tile_targets(
            self.settings.scale * self.voters(embeddings),
            weight=np.concatenate([weight, np.ones(len(rows))]),
            row=np.concatenate([np.full(len(weight), -1), rows]),
            group=self.ballot.group,
        )


def open_poll(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: Any,
    target_labels: Any,
    target_groups: Any,
    mode: str,
    reference: str,
    reduction: str | Reduction,
    scale: float,
    clip: float,
    normalize: bool,
    center: bool,
    product: str,
    pool_size: int,
    seed: int,
) -> Poll:
    """Returns what `importance_scores` means by its arguments.

    Reads the embeddings once, for their number and their mean.

    Raises:
        InputError: Where shapes, labels or settings do not fit.
    """
    takes_turns = isinstance(reduction, str) and reduction == "round_robin"
    fold = as_reduction("mean" if takes_turns else reduction)
    question = Question(
        mode,
        reference,
        labels,
        target_labels,
        target_groups,
        takes_turns,
        pool_size,
        seed,
    )
    settings = Settings(scale, clip, normalize, product=product)
    check_number("scale", scale, above=0)
    check_choice("product", product, ("float32", "bfloat16"))
    pool = survey("embeddings", embeddings)
    offset = pool.mean if center else np.zeros_like(pool.mean)
    target: Array | CompressedTargets
    if isinstance(target_embeddings, CompressedTargets):
        target, offset = target_embeddings, target_embeddings.offset
        _check_beside(target, target_labels, center)
        question = replace(question, target_labels=target.labels)
    else:
        target = read_all("target_embeddings", target_embeddings)
    check_same_dim((pool.num_samples, len(pool.mean)), target.shape)
    ballot = question.ballot(pool.num_samples, len(target))
    settings = replace(settings, kernel=ballot.kernel)
    _check_sums(target, fold, settings, len(ballot.group))
    return Poll(pool, offset, target, ballot, fold, settings)


def _check_beside(
    target: CompressedTargets, target_labels: Any, center: bool
) -> None:
    """Raises for what compressed targets have settled already."""
    if target_labels is not None:
        raise fail(
            "`target_labels` must be left out with compressed targets.",
            "target_labels beside CompressedTargets",
            "Give the labels to `compress_targets`.",
        )
    if center != target.center:
        raise fail(
            f"`center` must be {target.center}, as the targets were "
            "compressed.",
            f"center={center!r}",
        )


def _check_sums(
    target: Array | CompressedTargets,
    fold: Reduction,
    settings: Settings,
    num_voters: int,
) -> None:
    """Raises for sums that float32 cannot hold or that mean nothing."""
    largest = float(LARGEST_CLIP - np.log(num_voters))
    check_number("clip", settings.clip, above=0, at_most=largest)
    if settings.kernel == "exp" and fold != Mean():
        raise fail(
            "`reduction` must be 'mean' with mode='density_ratio'.",
            f"reduction={fold}",
            "Leave `reduction` out.",
        )
    if isinstance(target, CompressedTargets):
        expected = Settings(target.scale, settings.clip, normalize=True)
        if fold != Mean() or replace(settings, product="float32") != expected:
            raise fail(
                "`reduction`, `scale`, `normalize` and `mode` must fit "
                "compressed targets: the mean of normalized sinh similarities "
                f"at scale {target.scale:g}.",
                f"reduction={fold}, {settings}",
                "Compress with this scale, or score against all targets.",
            )
        if settings.can_clip:
            raise fail(
                f"`clip` must be at least the scale {target.scale:g} with "
                "compressed targets.",
                f"clip={settings.clip!r}",
                "Leave `clip` out, or score against all targets.",
            )
