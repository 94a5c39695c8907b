"""Who votes on a sample, and how the votes become its score.

Every mode is the same fold over groups of voters; they differ in who the
voters are, how they are grouped, and how the values of the groups combine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfimportance._checks import (
    Array,
    check_binary,
    check_choice,
    check_count,
    check_length,
    fail,
)

MODES = ("auto", "similarity", "label_signed", "density_ratio")
REFERENCES = ("auto", "target", "pool", "both")
_NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Ballot:
    """The voters of a mode and the use of their votes.

    Attributes:
        pool_rows: Ascending rows of the training samples that vote.
        group: `(num_targets + len(pool_rows),)` group of each voter, targets
            first. With `label`, groups come in pairs: the negative voters,
            then the positive ones.
        label: `(num_samples,)` of 0 and 1, or `None` where the reduced
            similarities themselves are the votes.
        reference: Whose votes are summed: `"target"`, `"pool"` or `"both"`.
        combine: `(num_samples, num_references)` votes to `(num_samples,)`
            scores, where the scores are no sum of the votes.
        kernel: `"sinh"` or `"exp"`.
    """

    pool_rows: Array
    group: Array
    label: Array | None = None
    reference: str = "target"
    combine: Callable[[Array], Array] | None = None
    kernel: str = "sinh"

    def votes(self, values: Array) -> Array:
        """Returns the votes of each reference from the values of its groups.

        Args:
            values: `(num_samples, num_groups)` reduced similarities.

        Returns:
            `(num_samples, num_references)`; voters of the own class speak
            for a sample, the others against.
        """
        if self.label is None:
            return values
        agreement = values[:, 1::2] - values[:, 0::2]
        return (self.label - 0.5)[:, None] * agreement

    def factors(self, spread: Array) -> Array:
        """Returns by what each reference's votes are multiplied in the sum.

        Args:
            spread: `(num_references,)` standard deviation of the votes.
        """
        if self.reference == "both":
            return 1 / np.where(spread > 0, spread, 1)
        chosen = 1 if self.reference == "pool" else 0
        return np.eye(len(spread))[chosen]

    def group_factors(self, rows: Array, spread: Array) -> Array:
        """Returns `(len(rows), num_groups)` parts of the values in the score.

        The same as `votes`, then `factors`, as one weighted sum over groups.

        Args:
            rows: Numbers of samples.
            spread: `(num_references,)` standard deviation of the votes.
        """
        factors = self.factors(spread)
        if self.label is None:
            return np.tile(factors, (len(rows), 1))
        side = np.tile([-1.0, 1.0], len(factors)) * np.repeat(factors, 2)
        return (self.label[rows] - 0.5)[:, None] * side

    def scores(self, votes: Array) -> Array:
        """Returns the `(num_samples,)` scores."""
        if self.combine is not None:
            return self.combine(votes)
        return (votes * self.factors(votes.std(axis=0))).sum(axis=1)


@dataclass(frozen=True)
class Question:
    """What the caller of `importance_scores` asks about labels and voters."""

    mode: str
    reference: str
    labels: Any
    target_labels: Any
    target_groups: Any
    takes_turns: bool
    pool_size: int
    seed: int

    def ballot(self, num_samples: int, num_targets: int) -> Ballot:
        """Returns the voters; raises where the question makes no sense."""
        mode, reference = self._choose()
        group = self._target_group(num_targets)
        check_count("pool_size", self.pool_size, at_least=2)
        if mode == "similarity":
            return Ballot(_NOBODY, group, combine=self._combine)
        if mode == "density_ratio":
            return self._density_ratio(num_samples, num_targets)
        label = as_labels(
            "labels", self.labels, num_samples, both=reference != "target"
        )
        target_label = as_labels(
            "target_labels", self.target_labels, num_targets, both=True
        )
        return self._label_signed(reference, label, target_label, group)

    def _choose(self) -> tuple[str, str]:
        """Returns the mode and the reference that `"auto"` stands for."""
        mode, reference = self.mode, self.reference
        check_choice("mode", mode, MODES)
        check_choice("reference", reference, REFERENCES)
        given = [each is not None for each in (self.labels, self.target_labels)]
        if mode == "auto":
            mode = "label_signed" if all(given) else "similarity"
        if mode == "label_signed" and not all(given):
            missing = ("labels", "target_labels")[given.index(False)]
            raise fail(
                f"`{missing}` must be given with mode='label_signed'.",
                f"{missing}=None",
                "Give both label arrays, or choose mode='similarity'.",
            )
        only_target = self.takes_turns or mode != "label_signed"
        if reference == "auto":
            reference = "target" if only_target else "both"
        if only_target and reference != "target":
            raise fail(
                "`reference` must be 'target' without labels and with "
                "reduction='round_robin'.",
                f"reference={reference!r}",
                "Leave `reference` out.",
            )
        return mode, reference

    def _target_group(self, num_targets: int) -> Array:
        """Returns the number of each target's group, 0 for all by default."""
        groups = self.target_groups
        if self.takes_turns != (groups is not None):
            raise fail(
                "`target_groups` and reduction='round_robin' go together.",
                f"target_groups={'None' if groups is None else 'given'}",
                "Give both or neither.",
            )
        if groups is None:
            return np.zeros(num_targets, np.int64)
        values = np.asarray(groups)
        check_length("target_groups", values, num_targets, "target_embeddings")
        return np.unique(values, return_inverse=True)[1]

    def _label_signed(
        self, reference: str, label: Array, target_label: Array, group: Array
    ) -> Ballot:
        """The voters are grouped by their class as well."""
        count = 2 * (group.max() + 1)
        group = 2 * group + target_label
        if len(np.unique(group)) < count:
            raise fail(
                "`target_groups` must hold both classes in each group.",
                f"{count // 2} target_groups, some with one class",
                "Join small groups, or choose mode='similarity'.",
            )
        rows = _NOBODY
        if reference != "target":
            rows = self._balanced_rows(label)
            group = np.concatenate([group, 2 + label[rows]])
        return Ballot(rows, group, label, reference, self._combine)

    @property
    def _combine(self) -> Callable[[Array], Array] | None:
        return round_robin if self.takes_turns else None

    def _density_ratio(self, num_samples: int, num_targets: int) -> Ballot:
        """Targets vote for a sample, a random part of the pool against it."""
        shuffled = np.random.default_rng(self.seed).permutation(num_samples)
        rows = np.sort(shuffled[: self.pool_size])
        group = np.repeat([0, 1], [num_targets, len(rows)])
        return Ballot(rows, group, combine=_log_ratio, kernel="exp")

    def _balanced_rows(self, label: Array) -> Array:
        """Returns at most `pool_size` rows, as many of each class."""
        shuffled = np.random.default_rng(self.seed).permutation(len(label))
        half = self.pool_size // 2
        halves = [shuffled[label[shuffled] == c][:half] for c in (0, 1)]
        return np.sort(np.concatenate(halves))


def round_robin(votes: Array) -> Array:
    """Returns 1 for what a group would pick first, down to 1/n.

    The groups pick in turn, each its best; a sample counts by the earliest
    turn in which some group would have it.
    """
    order = np.argsort(-votes, axis=0, kind="stable")
    turn = np.empty_like(order)
    np.put_along_axis(turn, order, np.arange(len(votes))[:, None], axis=0)
    return np.asarray(1 - turn.min(axis=1) / len(votes))


def as_labels(name: str, labels: Any, count: int, *, both: bool) -> Array:
    """Returns `count` labels as integers 0 and 1; raises for others."""
    values = np.asarray(labels)
    check_binary(name, values, both=both)
    other = "target_embeddings" if name == "target_labels" else "embeddings"
    check_length(name, values, count, other)
    return values.astype(np.int64)


def _log_ratio(values: Array) -> Array:
    # A lone sample has no pool but itself; its ratio is 1.
    pool = np.where(values[:, 1] > 0, values[:, 1], values[:, 0])
    return np.asarray(np.log(values[:, 0] / pool))
