"""One importance score for each training sample."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfimportance._arrays import ClippedArray
from tfimportance._checks import Array, check_choice, check_number, fail
from tfimportance.importance.compression import CompressedTargets
from tfimportance.importance.modes import Ballot, Question
from tfimportance.importance.reductions import Mean, Reduction, as_reduction
from tfimportance.importance.sources import (
    read_all,
    read_blocks,
    survey,
    take_rows,
)
from tfimportance.importance.streaming import Settings, fold_blocks
from tfimportance.importance.tiles import TargetTiles, tile_targets
from tfimportance.similarity import LARGEST_CLIP, check_same_dim


class Importance(ClippedArray):
    """Scores `(num_samples,)` in float32; higher is more important."""


def importance_scores(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: ArrayLike | None = None,
    target_labels: ArrayLike | None = None,
    target_groups: ArrayLike | None = None,
    mode: str = "auto",
    reference: str = "auto",
    reduction: str | Reduction = "mean",
    scale: float = 4.0,
    clip: float = 20.0,
    normalize: bool = True,
    center: bool = True,
    product: str = "float32",
    pool_size: int = 2048,
    seed: int = 0,
) -> Importance:
    """Returns how much each sample matters for the traffic of the target set.

    With `s_it = sinh(clip(scale * <v_i, v_t>))`, reduced over targets t:

        similarity:    score_i = reduce_t(s_it)
        label_signed:  score_i = y_i / 2 * (reduce over positive t (s_it)
                                            - reduce over negative t (s_it))
        density_ratio: score_i = log(mean_t exp(z_it) / mean_p exp(z_ip))

    with y in {-1, +1}: agreement with like-labelled targets counts for a
    sample, agreement with unlike-labelled ones against it, and both classes
    have the same say however rare one is. The reference `"pool"` lets a
    class-balanced random sample of the training samples vote in place of the
    target, each row's own vote left out; `"both"` adds the two, each divided
    by its standard deviation. The density ratio sets the targets t against a
    random sample p of the pool (z is the argument of sinh).

    The samples are read a block at a time and no matrix of all similarities
    exists, so they may be larger than memory; the targets are held in memory.

    Args:
        embeddings: `(num_samples, embedding_dim)` real numbers: an array,
            memory-mapped array or tensor, a `tf.data.Dataset` of rows, or a
            `ParquetColumn`.
        target_embeddings: `(num_targets, embedding_dim)`, likewise, or the
            `CompressedTargets` of many.
        labels: `(num_samples,)` of 0 and 1.
        target_labels: `(num_targets,)` of 0 and 1, both present.
        target_groups: `(num_targets,)` of any values, for `"round_robin"`.
        mode: `"similarity"`, `"label_signed"`, `"density_ratio"`, or
            `"auto"`: label-signed when both sets have labels.
        reference: `"target"`, `"pool"`, `"both"`, or `"auto"`: both when
            label-signed, otherwise the target.
        reduction: `"mean"`, `"max"`, `"top_m"`, `"attention"`, an instance
            such as `TopM(20)`, or `"round_robin"`: target groups pick samples
            in turn by their mean, and the score falls from 1 with the turn.
        scale: Above 0; 4 to 8 is the useful range for cosines.
        clip: Above 0, the largest size of the argument of sinh.
        normalize: Whether vectors are brought to length 1.
        center: Whether the mean sample is subtracted from both sides first:
            text embeddings share one direction, which says nothing. The
            textbook form is
            `scale=1.0, normalize=False, center=False`.
        product: `"float32"`, or `"bfloat16"` for machines that multiply it
            faster: a cosine moves by up to 2^-8.
        pool_size: Most samples in the reference `"pool"`.
        seed: Chooses the pool reference; equal seeds give equal scores.

    Returns:
        `(num_samples,)` float32 scores; higher is more important.

    Raises:
        InputError: Where shapes, labels or settings do not fit.

    Example:
        >>> import tfimportance as tfi
        >>> samples = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        >>> scores = tfi.importance_scores(samples, [[1.0, 0.1]], center=False)
        >>> print(scores.argsort()[::-1])  # nearest first
        [0 2 1]
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
    _check_settings(settings)
    pool = survey("embeddings", embeddings)
    offset = pool.mean if center else np.zeros_like(pool.mean)
    target: Array | CompressedTargets
    if isinstance(target_embeddings, CompressedTargets):
        target, offset = target_embeddings, target_embeddings.offset
        question = replace(question, target_labels=target.labels)
    else:
        target = read_all("target_embeddings", target_embeddings)
    check_same_dim((pool.num_samples, len(offset)), target.shape)
    ballot = question.ballot(pool.num_samples, len(target))
    settings = replace(settings, kernel=ballot.kernel)
    _check_sums(target, fold, settings, len(ballot.group))
    values, clipped = fold_blocks(
        read_blocks("embeddings", embeddings),
        _voters(embeddings, target, offset, ballot, settings),
        fold,
        settings,
        offset,
        pool.num_samples,
    )
    result = ballot.combine(values).astype(np.float32).view(Importance)
    result.clipped_fraction = clipped / (len(values) * len(ballot.group))
    return result


def _voters(
    embeddings: Any,
    target: Array | CompressedTargets,
    offset: Array,
    ballot: Ballot,
    settings: Settings,
) -> TargetTiles:
    """Returns the targets and the rows of the pool that vote, as tiles."""
    if isinstance(target, CompressedTargets):
        vectors, weight = target.vectors, target.weight
    else:
        vectors = _direction(target - offset, settings)
        weight = np.ones(len(target))
    own = take_rows("embeddings", embeddings, ballot.pool_rows)
    own = _direction(own - offset, settings)
    return tile_targets(
        settings.scale * np.concatenate([vectors, own]),
        weight=np.concatenate([weight, np.ones(len(own))]),
        row=np.concatenate([np.full(len(vectors), -1), ballot.pool_rows]),
        group=ballot.group,
    )


def _direction(vectors: Array, settings: Settings) -> Array:
    tensor = settings.direction(tf.constant(vectors, tf.float32))
    return np.asarray(tensor)


def _check_settings(settings: Settings) -> None:
    check_number("scale", settings.scale, above=0)
    check_choice("product", settings.product, ("float32", "bfloat16"))


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
