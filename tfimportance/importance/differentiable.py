"""The same fold as a differentiable tensor operation."""

from typing import Any

import tensorflow as tf

from tfimportance.importance.folding import Fold
from tfimportance.importance.reductions import Reduction, as_reduction
from tfimportance.importance.settings import Settings
from tfimportance.importance.tiles import TARGET_TILE
from tfimportance.similarity import as_pair, check_settings


def reduced_similarity(
    embeddings: Any,
    target_embeddings: Any,
    *,
    reduction: str | Reduction = "mean",
    scale: float = 4.0,
    clip: float = 20.0,
    normalize: bool = True,
    tile: int = TARGET_TILE,
) -> Any:
    """Returns `reduce_t(sinh(clip(scale * <v_i, v_t>)))`, differentiable.

    For losses and regularizers: gradients reach both sides, and the backward
    pass computes each tile again rather than keep all similarities. Beyond
    the clip the gradient is zero. Call it inside `tf.function`, best with
    `jit_compile=True`; shapes must be static there.

    Args:
        embeddings: `(num_samples, embedding_dim)` tensor.
        target_embeddings: `(num_targets, embedding_dim)` tensor.
        reduction: `"mean"`, `"max"`, `"top_m"`, `"attention"` or an instance.
        scale: As in `clipped_sinh_similarity`.
        clip: As in `clipped_sinh_similarity`.
        normalize: As in `clipped_sinh_similarity`.
        tile: Samples and targets in one tile.

    Returns:
        `(num_samples,)` tensor, float32 (float64 where an input is).

    Raises:
        InputError: Where shapes or settings do not fit.

    Example:
        >>> from tfimportance.importance import reduced_similarity
        >>> s = reduced_similarity([[1.0, 0.0]], [[2.0, 0.0], [-1.0, 0.0]])
        >>> print(s.numpy())  # (sinh(4) + sinh(-4)) / 2
        [0.]
    """
    check_settings(scale, clip)
    embeddings, targets = as_pair(embeddings, target_embeddings)
    settings = Settings(scale, clip, normalize)
    count = embeddings.shape[0]
    vectors = _tiles(scale * settings.direction(targets), tile)
    weight = _tiles(tf.ones_like(targets[:, :1]), tile)[..., 0]
    samples = tf.reshape(_tiles(embeddings, tile), (-1, embeddings.shape[1]))
    fold = Fold(as_reduction(reduction), settings, tile=tile)
    values = fold(samples, vectors, weight)
    return tf.cast(values[:count], embeddings.dtype)


def _tiles(rows: Any, tile: int) -> Any:
    """Returns the rows as whole tiles, the last one padded with zeros."""
    padded = tf.pad(rows, ((0, -rows.shape[0] % tile), (0, 0)))
    return tf.reshape(padded, (-1, tile, rows.shape[1]))
