"""One importance score for each training sample."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_binary,
    check_choice,
    check_count,
    check_length,
    check_number,
    fail,
)
from tfimportance.importance.reductions import Reduction, as_reduction
from tfimportance.importance.sources import read_all, read_blocks, survey
from tfimportance.importance.streaming import Settings, fold_blocks
from tfimportance.importance.tiles import tile_targets
from tfimportance.similarity import LARGEST_CLIP, check_same_dim

MODES = ("auto", "similarity", "label_signed")
REFERENCES = ("auto", "target", "pool", "both")


class Importance(np.ndarray[Any, np.dtype[np.float32]]):
    """A float32 array `(num_samples,)` that knows how much was clipped.

    It plots and sorts like any array; slices carry the attribute, arithmetic
    gives plain arrays.

    Attributes:
        clipped_fraction: Share in [0, 1] of the similarities whose sinh
            argument was clipped. Clipped similarities are ties, and their
            gradient is zero.
    """

    clipped_fraction: float

    def __array_finalize__(self, source: Any) -> None:
        self.clipped_fraction = getattr(source, "clipped_fraction", 0.0)

    def __array_wrap__(
        self,
        array: Array,
        context: Any = None,
        return_scalar: bool = False,
    ) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain


def importance_scores(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: ArrayLike | None = None,
    target_labels: ArrayLike | None = None,
    mode: str = "auto",
    reference: str = "auto",
    reduction: str | Reduction = "mean",
    scale: float = 4.0,
    clip: float = 20.0,
    normalize: bool = True,
    center: bool = True,
    pool_size: int = 2048,
    seed: int = 0,
) -> Importance:
    """Returns how much each sample matters for the traffic of the target set.

    With `s_it = sinh(clip(scale * <v_i, v_t>))`, reduced over targets t:

        similarity:    score_i = reduce_t(s_it)
        label_signed:  score_i = y_i / 2 * (reduce over positive t (s_it)
                                            - reduce over negative t (s_it))

    with y in {-1, +1}: agreement with like-labelled targets counts for a
    sample, agreement with unlike-labelled ones against it, and both classes
    have the same say however rare one is. The reference `"pool"` lets a
    class-balanced random sample of the training samples vote in place of the
    target, each row's own vote left out; `"both"` adds the two, each divided
    by its standard deviation.

    The samples are read a block at a time and no matrix of all similarities
    exists, so they may be larger than memory.

    Args:
        embeddings: `(num_samples, embedding_dim)` real numbers: an array,
            memory-mapped array or tensor, a `tf.data.Dataset` of rows, or a
            `ParquetColumn`.
        target_embeddings: `(num_targets, embedding_dim)`, likewise.
        labels: `(num_samples,)` of 0 and 1.
        target_labels: `(num_targets,)` of 0 and 1, both present.
        mode: `"similarity"`, `"label_signed"`, or `"auto"`: label-signed when
            both sets have labels.
        reference: `"target"`, `"pool"`, `"both"`, or `"auto"`: both when
            label-signed, otherwise the target.
        reduction: `"mean"`, `"max"`, `"top_m"`, `"attention"`, or an instance
            such as `TopM(20)`.
        scale: Above 0; 4 to 8 is the useful range for cosines.
        clip: Above 0, the largest size of the argument of sinh.
        normalize: Whether vectors are brought to length 1.
        center: Whether the mean sample is subtracted from both sides first.
            The textbook form is `scale=1.0, normalize=False, center=False`.
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
    mode, reference = _choose(mode, reference, labels, target_labels)
    fold = as_reduction(reduction)
    target = read_all("target_embeddings", target_embeddings)
    label, own, group = None, _NO_ROWS, np.zeros(len(target), np.int64)
    if mode == "label_signed":
        label = _as_labels("labels", labels, both=reference != "target")
        group = _as_labels("target_labels", target_labels, both=True)
        check_length("target_labels", group, len(target), "target_embeddings")
        if reference != "target":
            own = _balanced_rows(label, pool_size, seed)
            group = np.concatenate([group, 2 + label[own]])
    check_clip(clip, len(group))
    check_number("scale", scale, above=0)
    pool = survey("embeddings", embeddings, own)
    check_same_dim(pool.taken.shape, target.shape)
    if label is not None:
        check_length("labels", label, pool.num_samples, "embeddings")
    offset = pool.mean if center else np.zeros_like(pool.mean)
    values, clipped = fold_blocks(
        read_blocks("embeddings", embeddings),
        tile_targets(
            np.concatenate([target, pool.taken]) - offset,
            row=np.concatenate([np.full(len(target), -1), own]),
            group=group,
        ),
        fold,
        Settings(scale, clip, normalize),
        offset,
    )
    score = values[:, 0] if label is None else _signed(values, label, reference)
    result = score.astype(np.float32).view(Importance)
    result.clipped_fraction = clipped / (len(values) * len(group))
    return result


_NO_ROWS = np.zeros(0, np.int64)


def check_clip(clip: object, num_targets: int) -> None:
    """Raises where a sum over the targets could overflow float32."""
    largest = LARGEST_CLIP - np.log(num_targets)
    check_number("clip", clip, above=0, at_most=largest)


def _choose(
    mode: str, reference: str, labels: Any, target_labels: Any
) -> tuple[str, str]:
    """Returns the mode and the reference that `"auto"` stands for."""
    check_choice("mode", mode, MODES)
    check_choice("reference", reference, REFERENCES)
    given = [each is not None for each in (labels, target_labels)]
    if mode == "auto":
        mode = "label_signed" if all(given) else "similarity"
    if mode == "label_signed" and not all(given):
        missing = ("labels", "target_labels")[given.index(False)]
        raise fail(
            f"`{missing}` must be given with mode='label_signed'.",
            f"{missing}=None",
            "Give both label arrays, or choose mode='similarity'.",
        )
    if reference == "auto":
        reference = "both" if mode == "label_signed" else "target"
    if mode == "similarity" and reference != "target":
        raise fail(
            "`reference` must be 'target' with mode='similarity', because "
            "only labels let a pool vote.",
            f"reference={reference!r}",
            "Give `labels` and `target_labels`, or leave `reference` out.",
        )
    return mode, reference


def _as_labels(name: str, labels: Any, *, both: bool) -> Array:
    values = np.asarray(labels)
    check_binary(name, values, both=both)
    return values.astype(np.int64)


def _balanced_rows(label: Array, size: int, seed: int) -> Array:
    """Returns at most `size` rows in order, half of them of each class."""
    check_count("pool_size", size, at_least=2)
    shuffled = np.random.default_rng(seed).permutation(len(label))
    halves = [shuffled[label[shuffled] == c][: size // 2] for c in (0, 1)]
    return np.sort(np.concatenate(halves))


def _signed(values: Array, label: Array, reference: str) -> Array:
    """Returns the label-signed score from the reduced value of each class."""
    agreement = values[:, 1::2] - values[:, 0::2]
    votes = (label - 0.5)[:, None] * agreement
    if reference == "both":
        spread = votes.std(axis=0)
        votes = votes / np.where(spread > 0, spread, 1)
        return np.asarray(votes.sum(axis=1))
    return np.asarray(votes[:, {"target": 0, "pool": 1}[reference]])
