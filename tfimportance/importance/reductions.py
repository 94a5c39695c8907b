"""How the similarities of one sample to a target set become one number.

A reduction is a fold over tiles of targets: `start`, `update` for each tile,
`finish`. It sees the clipped argument `z` of sinh, `(targets, samples)`, and
the weight of each target, zero for one that does not count, as `(targets, 1)`
or `(targets, samples)`. States accumulate in float64, so that nothing drifts
however many tiles there are.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from tfimportance._checks import check_choice, check_count, check_number

Kernel = Callable[[Any], Any]

_STRIPS = 8


class Reduction(Hashable, Protocol):
    """A fold over tiles; the state is `(parts, samples)` float64."""

    def start(self, num_samples: int) -> Any:
        """Returns the state before any target."""

    def update(self, state: Any, z: Any, weight: Any, kernel: Kernel) -> Any:
        """Returns the state after one more tile of targets."""

    def finish(self, state: Any, kernel: Kernel) -> Any:
        """Returns `(samples,)` float64; 0 where no target counted."""

    def share(self, z: Any, weight: Any) -> Any:
        """Returns what part each of all targets has in the reduced value.

        Args:
            z: `(targets, samples)` float64.
            weight: As broad as `z`.

        Returns:
            `(targets, samples)` shares that sum to 1 over the targets that
            count, so that the reduced value is `sum(share * sinh(z))`.
        """


@dataclass(frozen=True)
class Mean:
    """Weighted mean of `sinh(z)`."""

    def start(self, num_samples: int) -> Any:
        """Returns sum of weighted values, sum of weights."""
        return tf.zeros((2, num_samples), tf.float64)

    def update(self, state: Any, z: Any, weight: Any, kernel: Kernel) -> Any:
        """Adds the tile to both sums."""
        total = _double(_sum(weight * kernel(z)))
        mass = _double(tf.reduce_sum(weight, axis=0))
        return state + tf.stack([total, tf.broadcast_to(mass, tf.shape(total))])

    def finish(self, state: Any, kernel: Kernel) -> Any:
        """Returns sum / weight."""
        return tf.math.divide_no_nan(state[0], state[1])

    def share(self, z: Any, weight: Any) -> Any:
        """Returns the share of the weight."""
        return _normalized(weight)


@dataclass(frozen=True)
class Max:
    """`sinh` of the largest z: the nearest target decides alone."""

    def start(self, num_samples: int) -> Any:
        """Returns the largest z so far."""
        return tf.fill((1, num_samples), _double(-float("inf")))

    def update(self, state: Any, z: Any, weight: Any, kernel: Kernel) -> Any:
        """Keeps the larger."""
        return tf.maximum(state, _double(tf.reduce_max(_counted(z, weight), 0)))

    def finish(self, state: Any, kernel: Kernel) -> Any:
        """Returns its sinh."""
        return _mean_of_counted(state, kernel)

    def share(self, z: Any, weight: Any) -> Any:
        """Returns 1 for the nearest."""
        return TopM(1).share(z, weight)


@dataclass(frozen=True)
class TopM:
    """Mean of `sinh(z)` over the `m` nearest targets (all, if fewer)."""

    m: int = 10

    def __post_init__(self) -> None:
        check_count("m", self.m)

    def start(self, num_samples: int) -> Any:
        """Returns the `m` largest z so far."""
        return tf.fill((self.m, num_samples), _double(-float("inf")))

    def update(self, state: Any, z: Any, weight: Any, kernel: Kernel) -> Any:
        """Keeps the `m` largest of state and tile."""
        candidates = tf.concat(
            [tf.cast(state, z.dtype), _counted(z, weight)], axis=0
        )
        best = tf.math.top_k(tf.transpose(candidates), self.m, sorted=False)
        return _double(tf.transpose(best.values))

    def finish(self, state: Any, kernel: Kernel) -> Any:
        """Returns the mean of their sinh."""
        return _mean_of_counted(state, kernel)

    def share(self, z: Any, weight: Any) -> Any:
        """Returns the same for each of the `m` nearest."""
        nearest_first = tf.argsort(-_counted(z, weight), axis=0, stable=True)
        place = tf.argsort(nearest_first, axis=0)
        return _normalized(tf.cast((place < self.m) & (weight > 0), z.dtype))


@dataclass(frozen=True)
class Attention:
    """Mean of `sinh(z)` under `softmax(z / temperature)` over the targets.

    A low temperature nears `Max`, a high one `Mean`.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0)

    def start(self, num_samples: int) -> Any:
        """Returns the peak logit and, relative to it, both sums."""
        zero = tf.zeros(num_samples, tf.float64)
        return tf.stack([zero - float("inf"), zero, zero])

    def update(self, state: Any, z: Any, weight: Any, kernel: Kernel) -> Any:
        """Rescales both sums to the new peak and adds the tile."""
        logits = _counted(z, weight) / self.temperature
        tile_peak = tf.reduce_max(logits, axis=0)
        peak = tf.maximum(state[0], _double(tile_peak))
        # While nothing counted, the peak is -inf and 0 stands in for it.
        level = tf.where(tf.math.is_inf(peak), tf.zeros_like(peak), peak)
        share = weight * tf.exp(logits - tf.cast(level, z.dtype))
        fade = tf.exp(state[0] - level)
        total = _double(_sum(share * kernel(z)))
        mass = _double(tf.reduce_sum(share, axis=0))
        return tf.stack([peak, fade * state[1] + total, fade * state[2] + mass])

    def finish(self, state: Any, kernel: Kernel) -> Any:
        """Returns sum / weight."""
        return tf.math.divide_no_nan(state[1], state[2])

    def share(self, z: Any, weight: Any) -> Any:
        """Returns the softmax."""
        logits = z / self.temperature
        peak = tf.reduce_max(_counted(logits, weight), axis=0)
        return _normalized(weight * tf.exp(tf.minimum(logits - peak, 0.0)))


REDUCTIONS: dict[str, Reduction] = {
    "mean": Mean(),
    "max": Max(),
    "top_m": TopM(),
    "attention": Attention(),
}
NAMES = (*REDUCTIONS, "round_robin")


def as_reduction(reduction: str | Reduction) -> Reduction:
    """Returns the reduction of this name, or the given one unchanged."""
    if not isinstance(reduction, str):
        return reduction
    check_choice("reduction", reduction, NAMES)
    return REDUCTIONS[reduction]


def _double(value: Any) -> Any:
    return tf.cast(value, tf.float64)


def _sum(values: Any) -> Any:
    """Returns the sums of the columns of a tile.

    XLA computes elementwise what it adds up in strips, without writing it
    down; a plain sum over many rows it keeps apart. Adding in stages also
    rounds less.
    """
    rows = values.shape[0] or 1
    strips = math.gcd(rows, _STRIPS)
    parts = tf.reshape(values, (strips, rows // strips, -1))
    return tf.reduce_sum(tf.add_n(tf.unstack(parts)), axis=0)


def _counted(z: Any, weight: Any) -> Any:
    """Returns z, and -inf for the targets that do not count."""
    return tf.where(weight > 0, z, tf.constant(-float("inf"), z.dtype))


def _normalized(part: Any) -> Any:
    return tf.math.divide_no_nan(part, tf.reduce_sum(part, axis=0))


def _mean_of_counted(z: Any, kernel: Kernel) -> Any:
    counted = tf.math.is_finite(z)
    values = kernel(tf.where(counted, z, tf.zeros_like(z)))  # kernel(0) is 0
    number = tf.reduce_sum(_double(counted), axis=0)
    return tf.math.divide_no_nan(tf.reduce_sum(values, axis=0), number)
