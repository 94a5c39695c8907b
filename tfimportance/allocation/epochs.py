"""What is settled before an epoch is trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tfimportance._checks import (
    Array,
    InputError,
    check_length,
    check_number,
    fail,
)

# With fewer effective rows a weighted mean varies ten times as much as the
# plain mean of all rows.
FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Epoch:
    """The rows that come in one epoch, and the weight each comes with.

    An allocation takes an epoch and returns it with other `rows` and
    `row_weight`. The rows are shuffled afterwards, so their order is free.

    Attributes:
        number: Counted from 0.
        generator: The only source of chance: it is seeded by the run's seed
            and this number.
        label: `(num_samples,)` of 0 and 1.
        sample_weight: `(num_samples,)` float64, not negative, or None.
        rows: `(n,)` numbers of samples; one that comes twice is there twice.
        row_weight: `(n,)` weights in the loss, or None for none.
    """

    number: int
    generator: np.random.Generator
    label: Array
    sample_weight: Array | None
    rows: Array
    row_weight: Array | None = None

    @property
    def given_weight(self) -> Array:
        """The sample weights; an error where there are none."""
        if self.sample_weight is None:
            raise fail(
                "`sample_weight` must be given with this `allocation`.",
                "sample_weight=None",
            )
        return self.sample_weight

    def without_zeros(self, per_label: bool) -> "Epoch":
        """Returns the epoch without rows of weight zero.

        Raises:
            InputError: No row is left or, with `per_label`, none of a class.
        """
        if self.sample_weight is None:
            return self
        rows = self.rows[self.sample_weight[self.rows] > 0]
        left = replace(self, rows=rows)
        if per_label and len(rows) < len(self.rows):
            classes = {value for _, value in left.parts(per_label)}
            for places, value in self.parts(per_label):
                if value not in classes:
                    raise no_weight(len(places), value)
        if not len(rows):
            raise no_weight(len(self.rows))
        return left

    @property
    def floor_rows(self) -> int:
        """All samples that have a weight: what a floor is a share of."""
        if self.sample_weight is None:
            return len(self.label)
        return int(np.count_nonzero(self.sample_weight))

    def parts(self, per_label: bool) -> Iterator[tuple[Array, int]]:
        """Yields the places in `rows` of each class, and the class."""
        if not per_label:
            yield np.arange(len(self.rows)), -1
            return
        label = self.label[self.rows]
        for value in np.unique(label):
            yield np.flatnonzero(label == value), int(value)


class Allocation(Protocol):
    """How weights become training; write your own with this one method."""

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the epoch with the rows that come, and their weights.

        Every epoch must have as many rows as the first: Keras counts the
        steps of an epoch once.
        """


def check_plan(epoch: Epoch, by: Allocation) -> Epoch:
    """Returns what an allocation planned; raises if it cannot be trained."""
    rows, weight = np.asarray(epoch.rows), epoch.row_weight
    is_numbers = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.size > 0
    if not is_numbers or rows.min() < 0 or rows.max() >= len(epoch.label):
        raise fail(
            "`allocation` must plan one or more rows, by their numbers from 0 "
            f"to {len(epoch.label) - 1}.",
            f"rows of type {rows.dtype} and shape {rows.shape} from "
            f"{type(by).__name__}",
        )
    if weight is not None:
        weight = np.asarray(weight, np.float64)
        check_length("allocation's row_weight", weight, len(rows), "rows")
    return replace(epoch, rows=rows, row_weight=weight)


def no_weight(count: int, label: int = -1) -> InputError:
    """Returns the error of rows, of a class or of all, without any weight."""
    rows = "the rows" if label < 0 else f"the rows of label {label}"
    return fail(
        f"`sample_weight` must be positive somewhere among {rows}.",
        f"sample_weight with {count} zeros there",
        "Say per_label=False to let a class go." if label >= 0 else "",
    )


def check_floor(floor: object) -> None:
    """Raises unless `floor` is a share of the rows."""
    check_number("floor", floor, at_least=0, at_most=1)


@dataclass(frozen=True)
class Combination:
    """Several allocations, one after the other.

    Those that select (`TopK`, `Curriculum`) say which rows come; at most one
    that spends (`Weight`, `Repeat`, `LearningRate`) says how their weights
    act. `Combination((TopK(0.5), Weight()))` trains on the more important half
    of the rows, each with its weight.

    Attributes:
        parts: The first acts on all rows, the next on what it leaves.
    """

    parts: tuple[Allocation, ...]

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the epoch that all parts together leave."""
        for part in self.parts:
            epoch = part.plan(epoch)
        return epoch
