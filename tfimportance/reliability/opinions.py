"""Three opinions on the label of a row, none of which has seen that label."""

import numpy as np
from scipy.stats import rankdata

from tfimportance._checks import Array
from tfimportance.evaluation import roc_auc
from tfimportance.importance import importance_scores
from tfimportance.reliability.learners import folds, out_of_fold

NAMES = ("target", "pool", "model")
SCALES = (4.0, 8.0)  # of sinh; the data choose
ALL = slice(None)  # rows of the pool


class Opinions:
    """What speaks for label 1 of pool rows and of target rows.

    In columns, higher for label 1 and in units of no meaning:

    - target: the balanced sinh agreement with the labelled targets;
    - pool: the same with a balanced sample of the pool;
    - model: the log-odds of a model of the pool, out of fold (`out_of_fold`).

    A row's own label has no say in any of them, nor have the labels of its
    group in the model or, among targets, in the target's agreement; all labels
    of the pool together choose the kind of model, all targets the scale of
    sinh at which both agreements, by rank, tell their labels best.

    The matrices given become its own: they are centred where they lie, for a
    pool may be too large to hold twice.

    Attributes:
        scale: The one given or chosen.
    """

    def __init__(
        self,
        pool: Array,
        label: Array,
        target: Array,
        target_label: Array,
        *,
        group: Array | None,
        target_group: Array | None,
        scale: float | None,
        pool_size: int,
        seed: int,
    ) -> None:
        middle = pool.mean(axis=0, dtype=np.float64).astype(np.float32)
        pool -= middle
        target -= middle
        self.pool, self.label = pool, label
        self.target, self.target_label = target, target_label
        self.target_group, self._seed = target_group, seed
        rng = np.random.default_rng(seed)
        some = _balanced(label, pool_size, rng)
        voters = self.pool[some], label[some]
        self.scale = scale if scale is not None else self._best_scale(voters)
        self._by_pool = _agreement_within(
            self.pool, label, pool_size, self.scale, seed
        )
        self._on_target_by_pool = _agreement(self.target, *voters, self.scale)
        models = out_of_fold(self.pool, label, group, seed)
        self._by_model = models.log_odds
        self._on_target_by_model = models.asked(self.target)

    def given(self, known: Array, rows: Array | slice) -> tuple[Array, Array]:
        """Returns the opinions where only the `known` targets vote.

        Args:
            known: Numbers of target rows, of both classes.
            rows: Numbers of pool rows, or `ALL`, which copies none.

        Returns:
            `(num_rows, 3)` on these pool rows, and `(num_targets, 3)`.
        """
        voters, label = self.target[known], self.target_label[known]
        on_target = _agreement(self.target, voters, label, self.scale)
        on_target[known] = self._agreement_among(known, self.scale)
        on_pool = _agreement(self.pool[rows], voters, label, self.scale)
        return (
            np.stack(
                [on_pool, self._by_pool[rows], self._by_model[rows]], axis=1
            ),
            np.stack(
                [on_target, self._on_target_by_pool, self._on_target_by_model],
                axis=1,
            ),
        )

    def _best_scale(self, voters: tuple[Array, Array]) -> float:
        """The scale at which both agreements tell the targets' labels best."""
        everybody = np.arange(len(self.target))

        def auc(scale: float) -> float:
            among = self._agreement_among(everybody, scale)
            by_pool = _agreement(self.target, *voters, scale)
            ranks = rankdata(among) + rankdata(by_pool)
            return roc_auc(self.target_label, ranks)

        return max(SCALES, key=auc)

    def _agreement_among(self, known: Array, scale: float) -> Array:
        """The known targets among themselves, groups not among their own."""
        rows, label = self.target[known], self.target_label[known]
        if self.target_group is None:
            return _agreement_within(rows, label, 2 * len(known), scale, 0)
        fold = folds(label, self.target_group[known], self._seed)
        agreement = np.zeros(len(known))
        for number in np.unique(fold):
            asked, voters = fold == number, fold != number
            if len(np.unique(label[voters])) == 2:
                agreement[asked] = _agreement(
                    rows[asked], rows[voters], label[voters], scale
                )
        return agreement


def _agreement(rows: Array, voters: Array, label: Array, scale: float) -> Array:
    """Agreement with the voters of class 1 less that with class 0."""
    return np.asarray(
        importance_scores(
            rows,
            voters,
            labels=np.ones(len(rows), np.int8),
            target_labels=label,
            reference="target",
            scale=scale,
            center=False,
        ),
        np.float64,
    )


def _agreement_within(
    rows: Array, label: Array, size: int, scale: float, seed: int
) -> Array:
    """The same with rows among themselves, each one's own vote left out."""
    one_of_each = [int(np.flatnonzero(label == c)[0]) for c in (0, 1)]
    signed = importance_scores(
        rows,
        rows[one_of_each],  # asked for, but without a vote
        labels=label,
        target_labels=label[one_of_each],
        reference="pool",
        pool_size=size,
        seed=seed,
        scale=scale,
        center=False,
    )
    return np.where(label == 1, 1, -1) * np.float64(signed)


def _balanced(label: Array, size: int, rng: np.random.Generator) -> Array:
    """Returns at most `size` rows, as many of each class."""
    rows = [rng.permutation(np.flatnonzero(label == c)) for c in (0, 1)]
    return np.concatenate([each[: size // 2] for each in rows])
