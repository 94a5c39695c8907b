"""One compiled program over tiles of samples and tiles of targets.

The matrix of all similarities never exists: one tile of it does, and folds at
once into the state of the reduction. Ragged ends are padded, so that every
tile has the same shape and nothing recompiles.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array
from tfimportance.importance.reductions import Kernel, Reduction
from tfimportance.importance.tiles import (
    SAMPLE_TILE,
    TILES_IN_BLOCK,
    TargetTiles,
)
from tfimportance.similarity import sinh, unit


@dataclass(frozen=True)
class Settings:
    """What the similarity is; hashable, one compiled program for each.

    Attributes:
        scale: Factor on the dot product.
        clip: Largest size of the argument of the kernel.
        normalize: Whether vectors are brought to length 1.
        kernel: `"sinh"`, or `"exp"` for density ratios.
        product: Type in which dot products are multiplied; `"bfloat16"`
            rounds both vectors to 8 bits, which moves a cosine by up to 2^-8.
    """

    scale: float
    clip: float
    normalize: bool
    kernel: str = "sinh"
    product: str = "float32"

    @property
    def can_clip(self) -> bool:
        """Whether an argument can lie beyond the clip at all."""
        return not self.normalize or self.scale > self.clip

    def kernel_function(self) -> Kernel:
        """Returns the kernel, made for the arguments that can occur."""
        if self.kernel == "exp":
            return tf.exp
        bound = self.clip if self.can_clip else self.scale
        return functools.partial(sinh, bound=bound)

    def direction(self, vectors: Any) -> Any:
        """Returns the vectors, at length 1 if that is wanted."""
        return unit(vectors) if self.normalize else vectors

    def dot(self, left: Any, right: Any) -> Any:
        """Returns all dot products of two sets of rows."""
        if self.product == "float32":
            return tf.matmul(left, right, transpose_b=True)
        return tf.raw_ops.BatchMatMulV3(
            x=tf.cast(left, tf.bfloat16),
            y=tf.cast(right, tf.bfloat16),
            Tout=tf.float32,
            adj_y=True,
        )


@dataclass(frozen=True)
class Fold:
    """The whole reduction of one block of samples; hashable, without state.

    Attributes:
        reduction: The fold over the targets of one group.
        settings: What the similarity is.
        num_groups: Groups of targets, each reduced on its own.
        leave_out_own: Whether some targets are samples, whose own vote does
            not count.
        tile: Samples in one tile.
    """

    reduction: Reduction
    settings: Settings
    num_groups: int = 1
    leave_out_own: bool = False
    tile: int = SAMPLE_TILE

    def __call__(
        self,
        samples: Any,
        rows: Any,
        vectors: Any,
        weight: Any,
        target_row: Any,
        group: Any,
    ) -> tuple[Any, Any]:
        """Returns the reduced similarities and the clipped arguments.

        Args:
            samples: `(num_samples, embedding_dim)`, whole tiles of them.
            rows: `(num_samples,)` int64 numbers of the samples.
            vectors: As in `TargetTiles`; so are the rest.
            weight: `(tiles, tile)`.
            target_row: `(tiles, tile)`.
            group: `(tiles,)`.

        Returns:
            `(num_samples, num_groups)` float64 values and `(num_samples,)`
            float64 numbers of clipped arguments.
        """
        samples = self.settings.direction(samples)
        targets = (vectors, weight, target_row, group)
        values, clipped = tf.map_fn(
            lambda part: self.fold_targets(part[0], part[1], targets),
            (
                tf.reshape(samples, (-1, self.tile, samples.shape[-1])),
                tf.reshape(rows, (-1, self.tile)),
            ),
            fn_output_signature=(tf.float64, tf.float64),
        )
        values = tf.reshape(values, (-1, self.num_groups))
        return values, tf.reshape(clipped, (-1,))

    def fold_targets(self, samples: Any, rows: Any, targets: Any) -> Any:
        """Folds one tile of samples, as directions, over all targets."""
        start = self.reduction.start(self.tile)
        states = tf.repeat(start[None], self.num_groups, axis=0)
        clipped = tf.zeros(self.tile, tf.float64)
        num_tiles = targets[0].shape[0]

        def fold_tile(k: Any, *state: Any) -> tuple[Any, ...]:
            # Backwards, a tile is computed again rather than kept.
            step = tf.recompute_grad(
                functools.partial(self._fold_tile, k, rows, *targets[2:])
            )
            return k + 1, *step(*state, samples, *targets[:2])

        _, states, clipped = tf.while_loop(
            lambda k, *_: k < num_tiles,
            fold_tile,
            (0, states, clipped),
            maximum_iterations=num_tiles,
        )
        kernel = self.settings.kernel_function()
        values = [self.reduction.finish(s, kernel) for s in tf.unstack(states)]
        return tf.stack(values, axis=1), clipped

    def _fold_tile(
        self,
        k: Any,
        rows: Any,
        target_row: Any,
        group: Any,
        states: Any,
        clipped: Any,
        samples: Any,
        vectors: Any,
        weight: Any,
    ) -> tuple[Any, Any]:
        """Folds the similarities of one tile into the state of its group."""
        # Targets run down and samples along, so that sums over targets are
        # sums of whole vectors.
        z = self.settings.dot(vectors[k], samples)
        counts = weight[k][:, None]
        if self.leave_out_own:
            is_own = target_row[k][:, None] == rows
            counts = tf.where(is_own, tf.zeros_like(counts), counts)
        if self.settings.can_clip:
            beyond = (tf.abs(z) > self.settings.clip) & (counts > 0)
            number = tf.reduce_sum(tf.cast(beyond, tf.int32), axis=0)
            clipped += tf.cast(number, tf.float64)
            z = tf.clip_by_value(z, -self.settings.clip, self.settings.clip)
        kernel = self.settings.kernel_function()
        state = self.reduction.update(states[group[k]], z, counts, kernel)
        is_group = tf.range(self.num_groups) == group[k]
        return tf.where(is_group[:, None, None], state, states), clipped


@functools.lru_cache(maxsize=64)
def _compiled(
    fold: Fold, block_shape: tuple[int, int], tiles_shape: tuple[int, ...]
) -> Callable[..., tuple[Any, Any]]:
    """Returns the program for a block of raw samples from row `start` on.

    XLA compiles for shapes, so they are part of the key. The last block of
    samples is shorter: only its first `used` tiles are folded, by the same
    program.
    """
    num_tiles = block_shape[0] // fold.tile

    def program(
        block: Any, center: Any, start: Any, used: Any, *targets: Any
    ) -> Any:
        within = tf.range(fold.tile, dtype=tf.int64)

        def fold_tile(k: Any, values: Any, clipped: Any) -> tuple[Any, ...]:
            first = fold.tile * k
            samples = tf.slice(block, (first, 0), (fold.tile, block_shape[1]))
            value, number = fold.fold_targets(
                fold.settings.direction(samples - center),
                start + tf.cast(first, tf.int64) + within,
                targets,
            )
            return k + 1, values.write(k, value), clipped.write(k, number)

        outputs = (
            tf.TensorArray(tf.float64, num_tiles, element_shape=shape)
            for shape in ((fold.tile, fold.num_groups), (fold.tile,))
        )
        _, values, clipped = tf.while_loop(
            lambda k, *_: k < used, fold_tile, (0, *outputs)
        )
        return values.concat(), clipped.concat()

    compiled = tf.function(program, jit_compile=True, autograph=False)
    concrete: Callable[..., tuple[Any, Any]] = compiled.get_concrete_function(
        tf.TensorSpec(block_shape, tf.float32),
        tf.TensorSpec(block_shape[1:], tf.float32),
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec(tiles_shape, tf.float32),
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
        tf.constant(targets.vectors, tf.float32),
        tf.constant(targets.weight, tf.float32),
        tf.constant(targets.row, tf.int64),
        tf.constant(targets.group),
    )
    middle = tf.constant(center, tf.float32)
    values = np.empty((num_samples, targets.num_groups))

    def prepare() -> Iterator[tuple[Any, Array, slice]]:
        start = 0
        for block in blocks:
            samples = _pad_rows(block, tile * TILES_IN_BLOCK)
            program = _compiled(fold, samples.shape, targets.vectors.shape)
            yield program, samples, slice(start, start + len(block))
            start += len(block)

    def fold_block(program: Any, samples: Array, rows: slice) -> float:
        """Fills the values of one block and returns how many it clipped."""
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

    return values, int(sum(_two_at_a_time(fold_block, prepare())))


def _two_at_a_time(
    call: Callable[..., float], items: Iterable[tuple[Any, ...]]
) -> Iterator[float]:
    """Yields the results in order while two calls run and one waits.

    One core folds a tile while the others multiply the next one, and reading
    goes on meanwhile.
    """
    pending: deque[Future[float]] = deque()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for item in items:
            pending.append(pool.submit(call, *item))
            if len(pending) == 3:
                yield pending.popleft().result()
        for each in pending:
            yield each.result()


def _pad_rows(block: Array, multiple: int) -> Array:
    """Returns the block in float32, zero rows added up to a multiple."""
    missing = -len(block) % multiple
    return np.pad(np.float32(block), ((0, missing), (0, 0)))
