"""Which rows come: the most important ones, or one after the other."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_choice,
    check_count,
    check_finite,
    check_length,
    check_number,
    fail,
)
from tfimportance.allocation.epochs import FLOOR, Epoch, check_floor


@dataclass(frozen=True, eq=False)
class TopK:
    """Only the most important rows come, all with the same weight.

    Each class, and each group where `groups` are given, keeps its share of
    the rows of positive weight, rounded so that the total is right: where two
    have the same remainder, the more important next row decides. Where rows
    tie, chance does, anew in each epoch.

    An epoch has only the rows that are left, so it is shorter.

    Example:
        >>> import numpy as np
        >>> from tfimportance.allocation import Epoch
        >>> epoch = Epoch(0, np.random.default_rng(0), np.array([0, 0, 1, 1]),
        ...     np.array([4.0, 3.0, 2.0, 1.0]), rows=np.arange(4))
        >>> sorted(TopK(0.5).plan(epoch).rows.tolist())
        [0, 2]
        >>> sorted(TopK(2, per_label=False).plan(epoch).rows.tolist())
        [0, 1]

    Attributes:
        keep: Their number, an int, or their share of the rows of positive
            weight, a float in (0, 1].
        per_label: Whether each class keeps its share.
        groups: `(num_samples,)` of any values, such as queries, each of which
            keeps its share; or None.
        floor: In [0, 1]. Fewer rows than this share of all samples of
            positive weight are refused.
    """

    keep: int | float
    per_label: bool = True
    groups: ArrayLike | None = None
    floor: float = FLOOR

    def __post_init__(self) -> None:
        check_floor(self.floor)
        if isinstance(self.keep, (float, np.floating)):
            check_number("keep", self.keep, above=0, at_most=1)
        else:
            check_count("keep", self.keep)

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the most important rows."""
        weight = epoch.given_weight
        rows = epoch.without_zeros(self.per_label).rows
        keep = self._number(len(rows), epoch.floor_rows)
        # By weight, ties by chance; then, in that order, by stratum.
        chance = epoch.generator.permutation(len(rows))
        rows = rows[np.lexsort((chance, -weight[rows]))]
        stratum = self._strata(rows, epoch)
        order = np.argsort(stratum, kind="stable")
        rows, stratum = rows[order], stratum[order]
        size = np.bincount(stratum)
        rank = np.arange(len(rows)) - (np.cumsum(size) - size)[stratum]
        quota = _quotas(size, keep, weight[rows])
        return replace(epoch, rows=rows[rank < quota[stratum]])

    def _number(self, num_rows: int, floor_rows: int) -> int:
        share = isinstance(self.keep, (float, np.floating))
        keep = round(self.keep * num_rows) if share else int(self.keep)
        least = max(1, round(self.floor * floor_rows))
        if least <= keep <= num_rows:
            return keep
        raise fail(
            f"`keep` must leave at least {least} rows, the floor, and at most "
            f"the {num_rows} rows of positive weight.",
            f"keep={self.keep!r}, {keep} rows",
            "Choose another number, or another floor.",
        )

    def _strata(self, rows: Array, epoch: Epoch) -> Array:
        """Returns `(len(rows),)` codes of what keeps its share."""
        code = np.zeros(len(rows), np.int64)
        if self.per_label:
            code += epoch.label[rows].astype(np.int64)
        if self.groups is not None:
            groups = np.asarray(self.groups)
            check_length("groups", groups, len(epoch.label), "labels")
            code += 2 * np.unique(groups[rows], return_inverse=True)[1]
        return np.unique(code, return_inverse=True)[1]


def _quotas(size: Array, keep: int, weight: Array) -> Array:
    """Returns how many rows of each stratum come: largest remainders.

    Args:
        size: `(num_strata,)` rows of each.
        keep: Rows of all together.
        weight: `(size.sum(),)`, by stratum, falling in each.
    """
    quota, remainder = np.divmod(keep * size, size.sum())
    start = np.cumsum(size) - size
    following = weight[np.minimum(start + quota, len(weight) - 1)]
    first = np.lexsort((-following, -remainder))
    quota[first[: keep - quota.sum()]] += 1
    return quota


@dataclass(frozen=True, eq=False)
class Curriculum:
    """First the important or the easy rows, then more of them, then all.

    In epoch e, counted from 0, only the first `share(e)` of the rows of each
    class come, in the order chosen, with t = e / until:

        linear:  start + (1 - start) * t
        root:    sqrt(start^2 + (1 - start^2) * t)
        step:    start

    and from epoch `until` on all rows: uniform training. Rows of weight zero
    never come. An epoch always has as many rows: those that are open come
    equally often, as far as that divides, so that a comparison of equal epochs
    is one of equal steps.

    Attributes:
        order: `"important"`: the largest sample weights first; `"easy"`: the
            largest `easiness` first.
        easiness: `(num_samples,)` finite, larger is easier, such as the
            out-of-fold log-probability of each row's label.
        start: The share of the rows that is open in the first epoch.
        until: The first epoch with all rows.
        pace: `"linear"`, `"root"` or `"step"`.
        per_label: Whether each class opens by itself and keeps its share.
        floor: In [0, 1]; `start` must not be below it.

    Source: Y. Bengio et al., Curriculum learning, 2009; the root pace, E. A.
    Platanios et al., Competence-based curriculum learning, 2019; epochs of
    equal size, G. Hacohen and D. Weinshall, On the power of curriculum
    learning, 2019.
    """

    order: str = "important"
    easiness: ArrayLike | None = None
    start: float = 0.5
    until: int = 5
    pace: str = "linear"
    per_label: bool = True
    floor: float = FLOOR

    def __post_init__(self) -> None:
        check_choice("order", self.order, ("important", "easy"))
        check_choice("pace", self.pace, ("linear", "root", "step"))
        check_count("until", self.until)
        check_floor(self.floor)
        check_number("start", self.start, above=0, at_most=1)
        if self.start < self.floor:
            raise fail(
                "`start` must not be below `floor`.",
                f"start={self.start}, floor={self.floor}",
            )
        if (self.order == "easy") != (self.easiness is not None):
            raise fail(
                "`easiness` must be given with order='easy', and only then.",
                f"order={self.order!r}, easiness of type "
                f"{type(self.easiness).__name__}",
                "Give each row's out-of-fold log-probability of its label.",
            )

    def share(self, epoch: int) -> float:
        """Returns the share of the rows that is open, in (0, 1]."""
        if epoch >= self.until:
            return 1.0
        time = epoch / self.until
        if self.pace == "linear":
            return self.start + (1 - self.start) * time
        if self.pace == "root":
            return float(np.sqrt(self.start**2 + (1 - self.start**2) * time))
        return self.start

    def plan(self, epoch: Epoch) -> Epoch:
        """Returns the open rows, repeated to as many as there are."""
        epoch = epoch.without_zeros(self.per_label)
        score = self._score(epoch)
        chosen = []
        for places, _ in epoch.parts(self.per_label):
            rows = epoch.generator.permutation(epoch.rows[places])
            size = int(np.ceil(self.share(epoch.number) * len(rows)))
            first = np.argsort(-score[rows], kind="stable")[:size]
            times, rest = divmod(len(rows), size)
            more = epoch.generator.permutation(first)[:rest]
            chosen.append(rows[np.concatenate([np.tile(first, times), more])])
        return replace(epoch, rows=np.concatenate(chosen))

    def _score(self, epoch: Epoch) -> Array:
        if self.easiness is None:
            return epoch.given_weight
        score = np.asarray(self.easiness, np.float64)
        check_length("easiness", score, len(epoch.label), "labels")
        check_finite("easiness", score)
        return score
