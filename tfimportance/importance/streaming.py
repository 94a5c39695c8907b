"""One compiled program over tiles of samples and tiles of targets.

The matrix of all similarities never exists: one tile of it does, and folds at
once into the state of the reduction. Ragged ends are padded with zero vectors
of weight 0, so that every tile has the same shape and nothing recompiles.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array
from tfimportance.importance.reductions import Kernel, Reduction
from tfimportance.similarity import sinh, unit

# Rows of one tile of samples, and of targets at most: the product of two such
# tiles (1 MiB) stays in the cache between the multiplication and the fold.
TILE = 512


Program = Callable[..., tuple[Any, Any]]


@dataclass(frozen=True)
class Settings:
    """What the similarity is; hashable, one compiled program for each."""

    scale: float
    clip: float
    normalize: bool
    kernel: str = "sinh"

    @property
    def can_clip(self) -> bool:
        """Whether an argument can lie beyond the clip at all."""
        return not self.normalize or self.scale > self.clip

    def kernel_function(self) -> Kernel:
        """Returns the kernel, made for the arguments that can occur."""
        if self.kernel == "exp":
            return tf.exp  # type: ignore[no-any-return]
        bound = self.clip if self.can_clip else self.scale
        return functools.partial(sinh, bound=bound)


@dataclass(frozen=True)
class TargetTiles:
    """Targets sorted by group and padded to whole tiles.

    Attributes:
        vectors: `(tiles, tile, embedding_dim)`.
        weight: `(tiles, tile)`, 0 for padding.
        row: `(tiles, tile)` int64, the sample that a target is, or -1.
        group: `(tiles,)` int32; a tile belongs to one group.
        num_groups: Number of groups.
    """

    vectors: Array
    weight: Array
    row: Array
    group: Array
    num_groups: int


def tile_targets(
    vectors: Array,
    *,
    weight: Array | None = None,
    row: Array | None = None,
    group: Array | None = None,
    tile: int = TILE,
) -> TargetTiles:
    """Returns `(num_targets, embedding_dim)` vectors as tiles."""
    count = len(vectors)
    weight = np.ones(count) if weight is None else weight
    row = np.full(count, -1) if row is None else row
    group = np.zeros(count, np.int32) if group is None else group
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    # Few targets want a small tile, or most of the work would be padding.
    tile = min(tile, _next_power_of_two(max(map(len, members))))
    padded = [_pad_index(each, tile) for each in members]
    index = np.concatenate(padded).reshape(-1, tile)
    is_padding = index < 0
    return TargetTiles(
        vectors=np.where(is_padding[..., None], 0, vectors[index]),
        weight=np.where(is_padding, 0, weight[index]),
        row=np.where(is_padding, -1, row[index]),
        group=np.repeat(
            np.arange(len(members), dtype=np.int32),
            [len(each) // tile for each in padded],
        ),
        num_groups=len(members),
    )


def fold_blocks(
    blocks: Iterable[Array],
    targets: TargetTiles,
    reduction: Reduction,
    settings: Settings,
    center: Array,
    tile: int = TILE,
) -> tuple[Array, int]:
    """Returns the reduced similarities and how many arguments were clipped.

    Args:
        blocks: Matrices of samples in order, `(rows, embedding_dim)`.
        targets: The targets, already centred.
        reduction: The fold over the targets of one group.
        settings: Scale, clip and kernel.
        center: Subtracted from every sample.
        tile: Samples in one tile.

    Returns:
        `(num_samples, num_groups)` float64, and the number of clipped
        arguments among all pairs that counted.
    """
    leave_out_own = bool((targets.row >= 0).any())
    program = _program(
        reduction, settings, targets.num_groups, tile, leave_out_own
    )
    constants = [
        tf.constant(center, tf.float32),
        tf.constant(targets.vectors, tf.float32),
        tf.constant(targets.weight, tf.float32),
        tf.constant(targets.row, tf.int64),
        tf.constant(targets.group),
    ]
    parts, start = [], 0
    for block in blocks:
        samples = tf.constant(_pad_rows(block, tile), tf.float32)
        part = program(samples, tf.constant(start, tf.int64), *constants)
        parts.append([each[: len(block)] for each in part])
        start += len(block)
    values, clipped = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    return values, int(clipped.sum())


@functools.cache
def _program(
    reduction: Reduction,
    settings: Settings,
    num_groups: int,
    tile: int,
    leave_out_own: bool,
) -> Program:
    """Returns the compiled fold of one block of samples over all targets."""
    kernel = settings.kernel_function()

    def fold_block(samples: Any, start: Any, center: Any, *targets: Any) -> Any:
        vectors, weights, target_rows, groups = targets
        vectors = settings.scale * _direction(vectors, settings)
        samples = _direction(samples - center, settings)
        rows = start + tf.range(samples.shape[0], dtype=tf.int64)

        def fold_samples(part: tuple[Any, Any]) -> tuple[Any, Any]:
            """Folds one tile of samples over all tiles of targets."""
            tile_samples, tile_rows = part

            def fold_tile(k: Any, states: Any, clipped: Any) -> Any:
                product = tf.matmul(vectors[k], tile_samples, transpose_b=True)
                weight = weights[k][:, None]
                if leave_out_own:
                    is_own = target_rows[k][:, None] == tile_rows
                    weight = tf.where(is_own, tf.zeros_like(weight), weight)
                z = product
                if settings.can_clip:
                    z = tf.clip_by_value(z, -settings.clip, settings.clip)
                    is_clipped = (z != product) & (weight > 0)
                    clipped += tf.reduce_sum(tf.cast(is_clipped, tf.int64), 0)
                state = reduction.update(states[groups[k]], z, weight, kernel)
                is_group = tf.range(num_groups) == groups[k]
                states = tf.where(is_group[:, None, None], state, states)
                return k + 1, states, clipped

            state = reduction.start(tile)
            num_tiles = vectors.shape[0]
            _, states, clipped = tf.while_loop(
                lambda k, *_: k < num_tiles,
                fold_tile,
                (
                    0,
                    tf.tile(state[None], (num_groups, 1, 1)),
                    tf.zeros(tile, tf.int64),
                ),
                maximum_iterations=num_tiles,
            )
            values = [
                reduction.finish(each, kernel) for each in tf.unstack(states)
            ]
            return tf.stack(values, axis=1), clipped

        values, clipped = tf.map_fn(
            fold_samples,
            (
                tf.reshape(samples, (-1, tile, samples.shape[-1])),
                tf.reshape(rows, (-1, tile)),
            ),
            fn_output_signature=(tf.float64, tf.int64),
        )
        return tf.reshape(values, (-1, num_groups)), tf.reshape(clipped, (-1,))

    program: Program = tf.function(
        fold_block, jit_compile=True, autograph=False
    )
    return program


def _direction(vectors: Any, settings: Settings) -> Any:
    return unit(vectors) if settings.normalize else vectors


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _pad_index(index: Array, multiple: int) -> Array:
    """Returns `index` followed by -1 up to a whole number of tiles."""
    return np.pad(index, (0, -len(index) % multiple), constant_values=-1)


def _pad_rows(block: Array, tile: int) -> Array:
    """Returns the block with zero rows up to one of a few lengths."""
    rows = max(tile, _next_power_of_two(len(block)))
    return np.pad(block, ((0, rows - len(block)), (0, 0)))
