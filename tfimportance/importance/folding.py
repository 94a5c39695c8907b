"""The fold of tiles of samples over tiles of targets, as tensor operations.

The matrix of all similarities never exists: one tile of it does, and folds at
once into the state of the reduction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfimportance.importance.reductions import Reduction
from tfimportance.importance.settings import Settings
from tfimportance.importance.tiles import SAMPLE_TILE

# `Fold.update`, which may be compiled.
Update = Callable[..., tuple[Any, Any]]


@dataclass(frozen=True)
class Fold:
    """The whole reduction of samples; hashable, without state.

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

    def __call__(self, samples: Any, vectors: Any, weight: Any) -> Any:
        """Returns the `(num_samples,)` float64 reduced similarities.

        Backwards, a tile is computed again rather than kept.

        Args:
            samples: `(num_samples, embedding_dim)`, whole tiles of them.
            vectors: As in `TargetTiles`; one group.
            weight: `(tiles, tile)`.
        """
        samples = self.settings.direction(samples)
        targets = (
            vectors,
            weight,
            tf.fill(weight.shape, tf.constant(-1, tf.int64)),
            tf.zeros(weight.shape[0], tf.int32),
        )
        nobody = tf.zeros(self.tile, tf.int64)
        values = tf.map_fn(
            lambda part: self.fold_targets(part, nobody, targets)[0],
            tf.reshape(samples, (-1, self.tile, samples.shape[-1])),
            fn_output_signature=tf.float64,
        )
        return tf.reshape(values, (-1,))

    def fold_targets(
        self,
        samples: Any,
        rows: Any,
        targets: tuple[Any, ...],
        update: Update | None = None,
    ) -> tuple[Any, Any]:
        """Folds one tile of samples, as directions, over all targets.

        Args:
            samples: `(tile, embedding_dim)`.
            rows: `(tile,)` int64 numbers of the samples.
            targets: The arrays of `TargetTiles`.
            update: `self.update`, or the same compiled; `None` where
                gradients are wanted.

        Returns:
            `(tile, num_groups)` float64 values and `(tile,)` float64 numbers
            of clipped arguments.
        """
        vectors, *others = targets
        num_tiles = vectors.shape[0]
        chosen: Update = update or self.update

        def fold_tile(k: Any, states: Any, clipped: Any) -> Any:
            def step(states: Any, clipped: Any, left: Any, right: Any) -> Any:
                # Targets run down and samples along, so that sums over
                # targets are sums of whole vectors.
                z = self.settings.dot(left[k], right)
                tile = (each[k] for each in others)
                return chosen(states, clipped, z, rows, *tile)

            fold = tf.recompute_grad(step) if update is None else step
            return k + 1, *fold(states, clipped, vectors, samples)

        start = self.reduction.start(self.tile)
        _, states, clipped = tf.while_loop(
            lambda k, *_: k < num_tiles,
            fold_tile,
            (
                0,
                tf.repeat(start[None], self.num_groups, axis=0),
                tf.zeros(self.tile, tf.float64),
            ),
            maximum_iterations=num_tiles,
            # Products computed ahead would push each other out of the cache.
            parallel_iterations=1,
        )
        kernel = self.settings.kernel_function()
        values = [self.reduction.finish(s, kernel) for s in tf.unstack(states)]
        return tf.stack(values, axis=1), clipped

    def update(
        self,
        states: Any,
        clipped: Any,
        z: Any,
        rows: Any,
        weight: Any,
        target_row: Any,
        group: Any,
    ) -> tuple[Any, Any]:
        """Folds one tile of products into the state of its group.

        Args:
            states: `(num_groups, parts, samples)` float64.
            clipped: `(samples,)` float64 numbers of clipped arguments.
            z: `(targets, samples)` products.
            rows: `(samples,)` int64 numbers of the samples.
            weight: `(targets,)`, 0 for one that does not count.
            target_row: `(targets,)` int64, the sample that a target is, or -1.
            group: The group of the tile.

        Returns:
            `states` and `clipped` with the tile.
        """
        if z.dtype == tf.bfloat16:
            z = tf.cast(z, tf.float32)
        counts = weight[:, None]
        if self.leave_out_own:
            is_own = target_row[:, None] == rows
            counts = tf.where(is_own, tf.zeros_like(counts), counts)
        if self.settings.can_clip:
            beyond = (tf.abs(z) > self.settings.clip) & (counts > 0)
            number = tf.reduce_sum(tf.cast(beyond, tf.int32), axis=0)
            clipped += tf.cast(number, tf.float64)
            z = tf.clip_by_value(z, -self.settings.clip, self.settings.clip)
        kernel = self.settings.kernel_function()
        state = self.reduction.update(states[group], z, counts, kernel)
        is_group = tf.range(self.num_groups) == group
        return tf.where(is_group[:, None, None], state, states), clipped
