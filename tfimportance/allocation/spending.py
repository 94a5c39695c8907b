"""How a weight acts: in the loss, as repetitions, as a step size."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from tfimportance._checks import Array
from tfimportance.allocation.epochs import (
    FLOOR,
    Epoch,
    check_floor,
    no_weight,
)
from tfimportance.weighting import effective_sample_size, raise_effective_size


@dataclass(frozen=True)
class Weight:
    """Every row comes once an epoch; its loss is multiplied by its weight.

    The gradient of a batch is `mean(w_i * g_i)`. Under plain SGD a row of
    weight 2 moves the parameters twice as far as one of weight 1. Under Adam
    it does not: see `LearningRate`.

    The class mix is that of the weights: `to_sample_weight(labels=...)` keeps
    the data's. The weights are used as they are, unless they break the floor
    or some rows were left out before: those that remain keep the mean of all.

    Example:
        >>> import tfimportance as tfi
        >>> rows, label = [[1.0], [2.0], [3.0]], [0, 1, 1]
        >>> import numpy as np
        >>> result = tfi.fit(tfi.dense_head(1), np.array(rows), label,
        ...     sample_weight=[0.5, 1, 1.5], allocation=tfi.Weight(), epochs=1)

    Attributes:
        per_label: Whether the weights of each class are rescaled so that it
            has the share of all weight that it has of the rows.
        floor: In [0, 1]. The least effective sample size of the rows that
            come, as a share of all samples of positive weight. Weights that
            fall below are tempered, with a warning: `w ** gamma` with the
            largest `gamma` in [0, 1] that reaches it.
    """

    per_label: bool = False
    floor: float = FLOOR

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the same rows with their weights."""
        given = epoch.sample_weight
        if given is None:
            return epoch
        weight = spent_weight(epoch, self.floor)
        goal = given.mean()
        if self.per_label:
            for places, value in epoch.parts(per_label=True):
                weight[places] *= goal / _mean(weight[places], value)
        elif not np.bincount(epoch.rows, minlength=len(given)).all():
            weight *= goal / _mean(weight)
        return replace(epoch, row_weight=weight)


@dataclass(frozen=True)
class LearningRate(Weight):
    """A step size of its own for every row, right also under Adam.

    A row of weight 2 moves the parameters twice as far. Under SGD, with or
    without momentum, the step is linear in the gradient, so a weight in the
    loss is a step size and nothing more is to be done. Adam divides by the
    root of the second moment,

        m <- b1 * m + (1 - b1) * g          g = mean(w_i * g_i)
        v <- b2 * v + (1 - b2) * g^2
        step = rate * m / (sqrt(v) + epsilon)

    and with `g` in both, a weight in the loss is divided out again: if all
    weights double, so do `m` and `sqrt(v)`, and the step stays as it was. Here
    the weighted gradient drives `m` and the unweighted one, `mean(g_i)`,
    drives `v`. The step is then linear in the weights: the divisor knows
    nothing of them.

    One bound keeps this safe. Of Adam's own gradients each is at most
    `sqrt(v / (1 - b2))`, since `v` contains it; the weighted gradient is held
    elementwise within the batch's largest weight (at least 1) times that.
    Without it the first steps, whose `v` is the square of one gradient that may
    be near zero by chance, would be unbounded. With equal weights it never acts
    on the gradient of the data, and after some steps hardly ever. In it no
    weight counts for more than 1,000, which is as far as float32 goes.

    It costs a second backward pass. For a model with Keras' own `train_step`,
    compiled with SGD, RMSprop, Adam, AdamW or Nadam, without gradient clipping
    (which would take back what a large weight gives) and accumulation.

    Source: Adam as in D. P. Kingma and J. Ba, 2015.

    Attributes:
        per_label: As in `Weight`.
        floor: As in `Weight`.
    """


@dataclass(frozen=True)
class Repeat:
    """A row comes in an epoch as often as its weight says: more epochs.

    Of an epoch of n rows, sample i has on average

        n_label * w_i / sum(w_j of its label)

    places; in each epoch it has that number rounded down or up, by systematic
    resampling in an order of chance, so the epoch has exactly n rows and the
    exact class mix. Every row counts the same in the loss, so what is true of
    one row in expectation is true under every optimizer, Adam included: a row
    of weight 2 is seen twice as often.

    Attributes:
        per_label: Whether each class keeps its number of rows.
        floor: As in `Weight`, of the expected repetitions.

    Source: J. Carpenter, P. Clifford and P. Fearnhead, Improved particle
    filter for nonlinear problems, 1999.
    """

    per_label: bool = True
    floor: float = FLOOR

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the rows, each as often as it is due in this epoch."""
        epoch.given_weight  # noqa: B018  raises where there are none
        weight = spent_weight(epoch, self.floor)
        drawn = []
        for places, value in epoch.parts(self.per_label):
            places = epoch.generator.permutation(places)
            expected = weight[places] / _mean(weight[places], value)
            times = systematic_counts(expected, epoch.generator.random())
            drawn.append(np.repeat(epoch.rows[places], times))
        return replace(epoch, rows=np.concatenate(drawn))


def systematic_counts(expected: Array, offset: float) -> Array:
    """Returns `(n,)` integers, each `expected` rounded down or up.

    They sum to the rounded sum of `expected`, and over offsets uniform in
    [0, 1) each has its expected value as mean.

    Args:
        expected: `(n,)` float64, not negative.
        offset: In [0, 1).
    """
    total = np.cumsum(expected)
    # The last edge is exact, whatever the rounding of the sum.
    total[-1] = np.rint(total[-1])
    edges = np.floor(total + offset).astype(np.int64)
    return np.diff(edges, prepend=0)


def spent_weight(epoch: Epoch, floor: float) -> Array:
    """Returns `(n,)` float64 weights of the epoch's rows, not below the floor.

    Warns:
        UserWarning: The weights were tempered.
    """
    weight = epoch.given_weight
    comes = np.zeros(len(weight), bool)
    comes[epoch.rows] = True
    weight = np.where(comes, weight, 0.0)
    goal = min(floor * epoch.floor_rows, float(np.count_nonzero(weight)))
    if effective_sample_size(weight) < goal:
        warnings.warn(
            "The effective sample size of `sample_weight` is below the floor "
            f"of {floor:.0%} of the rows; the weights are tempered to it.",
            stacklevel=2,
        )
        weight = raise_effective_size(weight, goal)
    return weight[epoch.rows]


def _mean(weight: Array, label: int = -1) -> float:
    mean = float(weight.mean())
    if mean > 0:
        return mean
    raise no_weight(len(weight), label)
