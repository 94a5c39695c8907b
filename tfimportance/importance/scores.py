"""One importance score for each training sample."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._arrays import ClippedArray
from tfimportance._checks import Array
from tfimportance.importance.polls import open_poll
from tfimportance.importance.reductions import Reduction
from tfimportance.importance.sources import read_again
from tfimportance.importance.streaming import fold_blocks


class Importance(ClippedArray):
    """Scores `(num_samples,)` in float32; higher is more important.

    Attributes:
        spread: `(num_references,)` standard deviation of the votes of the
            target (and of the pool), by which the reference `"both"` divides
            them; `None` for scores from elsewhere.
    """

    spread: Array | None

    def __array_finalize__(self, source: Any) -> None:
        super().__array_finalize__(source)
        self.spread = getattr(source, "spread", None)


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
            memory-mapped array or tensor, a `tf.data.Dataset` of rows that
            gives the same ones in the same order each time, or a
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
        clip: The largest size of the argument of sinh: above 0, and at most
            88 less the logarithm of the number of voters, whose sum float32
            has to hold.
        normalize: Whether vectors are brought to length 1.
        center: Whether the mean sample is subtracted from both sides first:
            text embeddings share one direction, which says nothing. The
            textbook form is
            `scale=1.0, normalize=False, center=False`.
        product: `"float32"`, or `"bfloat16"` for machines that multiply it
            faster: a cosine moves by up to 2^-7.
        pool_size: Most samples in the reference `"pool"`.
        seed: Chooses the pool reference; equal seeds give equal scores.

    Returns:
        `(num_samples,)` float32 scores; higher is more important.

    Raises:
        InputError: Where shapes, labels or settings do not fit, or a
            data set has changed between two reads.

    Example:
        >>> import tfimportance as tfi
        >>> samples = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        >>> scores = tfi.importance_scores(samples, [[1.0, 0.1]], center=False)
        >>> print(scores.argsort()[::-1])  # nearest first
        [0 2 1]
    """
    poll = open_poll(
        embeddings,
        target_embeddings,
        labels=labels,
        target_labels=target_labels,
        target_groups=target_groups,
        mode=mode,
        reference=reference,
        reduction=reduction,
        scale=scale,
        clip=clip,
        normalize=normalize,
        center=center,
        product=product,
        pool_size=pool_size,
        seed=seed,
    )
    values, clipped = fold_blocks(
        read_again("embeddings", embeddings, poll.pool),
        poll.tiles(embeddings),
        poll.fold,
        poll.settings,
        poll.offset,
        poll.num_samples,
    )
    votes = poll.ballot.votes(values)
    result = poll.ballot.scores(votes).astype(np.float32).view(Importance)
    result.clipped_fraction = clipped / (len(values) * len(poll.ballot.group))
    result.spread = votes.std(axis=0)
    return result
