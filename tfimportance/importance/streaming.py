"""One compiled program over tiles of samples and tiles of targets.

Ragged ends are padded, so that every tile has the same shape and nothing
recompiles.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array
from tfimportance._threads import in_order
from tfimportance.importance.folding import Fold
from tfimportance.importance.reductions import Reduction
from tfimportance.importance.settings import Settings
from tfimportance.importance.tiles import (
    SAMPLE_TILE,
    TILES_IN_BLOCK,
    TargetTiles,
)


@functools.lru_cache(maxsize=64)
def _compiled(
    fold: Fold,
    block_shape: tuple[int, int],
    tiles_shape: tuple[int, ...],
    whole: bool,
) -> Callable[..., tuple[Any, Any]]:
    """Returns the program for a block of raw samples from row `start` on.

    XLA compiles for shapes, so they are part of the key. The last block of
    samples is shorter: only its first `used` tiles are folded, by the same
    program.

    Args:
        fold: The reduction.
        block_shape: `(rows, embedding_dim)`, whole tiles of samples.
        tiles_shape: `(tiles, tile, embedding_dim)` of the targets.
        whole: Whether XLA compiles the program as one. Otherwise it compiles
            all but the product of two tiles, which on CPUs oneDNN does
            faster, by a tenth at 64 dimensions and by a twentieth at 768.
    """
    num_tiles = block_shape[0] // fold.tile
    compile_ = functools.partial(tf.function, jit_compile=True, autograph=False)

    def direct(samples: Any, center: Any) -> Any:
        directions = fold.settings.direction(samples - center)
        return fold.settings.factor(directions)

    parts = (direct, fold.update)
    direction, update = parts if whole else map(compile_, parts)

    def program(
        block: Any, center: Any, start: Any, used: Any, *targets: Any
    ) -> Any:
        within = tf.range(fold.tile, dtype=tf.int64)

        def fold_tile(k: Any, values: Any, clipped: Any) -> tuple[Any, ...]:
            first = fold.tile * k
            samples = tf.slice(block, (first, 0), (fold.tile, block_shape[1]))
            value, number = fold.fold_targets(
                direction(samples, center),
                start + tf.cast(first, tf.int64) + within,
                targets,
                update,
            )
            return k + 1, values.write(k, value), clipped.write(k, number)

        outputs = (
            tf.TensorArray(tf.float64, num_tiles, element_shape=shape)
            for shape in ((fold.tile, fold.num_groups), (fold.tile,))
        )
        _, values, clipped = tf.while_loop(
            lambda k, *_: k < used,
            fold_tile,
            (0, *outputs),
            parallel_iterations=1,
        )
        return values.concat(), clipped.concat()

    compiled = (
        compile_(program) if whole else tf.function(program, autograph=False)
    )
    concrete: Callable[..., tuple[Any, Any]] = compiled.get_concrete_function(
        tf.TensorSpec(block_shape, tf.float32),
        tf.TensorSpec(block_shape[1:], tf.float32),
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec(tiles_shape, fold.settings.product),
        tf.TensorSpec(tiles_shape[:2], tf.float32),
        tf.TensorSpec(tiles_shape[:2], tf.int64),
        tf.TensorSpec(tiles_shape[:1], tf.int32),
    )
    return concrete


def fold_blocks(
    blocks: Iterable[Array],
    targets: TargetTiles,
    reduction: Reduction,
    settings: Settings,
    center: Array,
    num_samples: int,
    tile: int = SAMPLE_TILE,
) -> tuple[Array, int]:
    """Returns the reduced similarities and how many arguments were clipped.

    Args:
        blocks: Matrices of samples in order, `(rows, embedding_dim)`.
        targets: The targets: centred, normalized if that is wanted, times
            the scale.
        reduction: The fold over the targets of one group.
        settings: What the similarity is.
        center: Subtracted from every sample.
        num_samples: Rows in all blocks.
        tile: Samples in one tile.

    Returns:
        `(num_samples, num_groups)` float64, and the number of clipped
        arguments among all pairs that counted.
    """
    has_own = bool((targets.row >= 0).any())
    fold = Fold(reduction, settings, targets.num_groups, has_own, tile)
    constants = (
        settings.factor(tf.constant(targets.vectors, tf.float32)),
        tf.constant(targets.weight, tf.float32),
        tf.constant(targets.row, tf.int64),
        tf.constant(targets.group),
    )
    middle = tf.constant(center, tf.float32)
    on_cpu = "CPU" in middle.device
    values = np.empty((num_samples, targets.num_groups))

    def prepare() -> Iterator[tuple[Any, Array, slice]]:
        start = 0
        for block in blocks:
            samples = _pad_rows(block, tile * TILES_IN_BLOCK)
            program = _compiled(
                fold, samples.shape, targets.vectors.shape, not on_cpu
            )
            yield program, samples, slice(start, start + len(block))
            start += len(block)

    def fold_block(block: tuple[Any, Array, slice]) -> float:
        """Fills the values of one block and returns how many it clipped."""
        program, samples, rows = block
        count = rows.stop - rows.start
        value, clipped = program(
            tf.constant(samples),
            middle,
            tf.constant(rows.start, tf.int64),
            tf.constant(-(-count // tile)),
            *constants,
        )
        values[rows] = value.numpy()[:count]
        return float(clipped.numpy()[:count].sum())

    # One core folds a tile while the others multiply the next one, and
    # reading goes on meanwhile.
    return values, int(sum(in_order(fold_block, prepare(), 2)))


def _pad_rows(block: Array, multiple: int) -> Array:
    """Returns the block in float32, zero rows added up to a multiple."""
    block = np.asarray(block, np.float32)
    missing = -len(block) % multiple
    return np.pad(block, ((0, missing), (0, 0))) if missing else block
