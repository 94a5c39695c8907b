"""How likely each training label is the one that the target would give.

Three opinions are heard on every row (see `opinions`). Which of them can be
trusted differs from data to data, so it is measured: a logistic regression on
the target rows, whose labels are trusted, turns them into `q`, the probability
of label 1 in the target. How often the labels of the pool are wrong is then a
matter of two numbers, and how much its class mix differs from the target's of a
third, all found from the pool rows (see `noise`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tfimportance._checks import Array, check_count, check_length
from tfimportance.importance.modes import as_labels
from tfimportance.importance.sources import read_all
from tfimportance.reliability.noise import (
    class_shift,
    flip_rates,
    shifted,
    true_label,
)
from tfimportance.reliability.opinions import ALL, NAMES, Opinions
from tfimportance.similarity import check_same_dim

# Inverse regularisation of the regression on three standardised opinions.
_TRUST = 0.3
_DOUBT = 1e-4
# Standard errors of the target's own class mix that a shift must exceed.
_BEYOND_CHANCE = 3.0


@dataclass(frozen=True)
class LabelReliability:
    """What is known about the labels of the pool.

    Attributes:
        plausibility: `(num_samples,)` float64 in (0, 1): the probability that
            the target would give a row the label it has, before the label
            itself is taken as evidence.
        probability: `(num_samples,)` float64 in [0, 1]: that the label is
            right, the label and the rate of wrong ones taken into account.
        flip_rate: The share of the rows of true class 0, and of true class 1,
            whose label is wrong.
        opinion_weight: How much each opinion counts, `target`, `pool` and
            `model`: the log-odds that one standard deviation of it is worth.
        scale: The factor before sinh of the agreements.
        class_shift: Log-odds of class 1 in the pool less those in the target;
            0 where chance explains the difference. `probability` takes it into
            account, `plausibility`, which speaks of the target, does not.
    """

    plausibility: Array
    probability: Array
    flip_rate: tuple[float, float]
    opinion_weight: dict[str, float]
    scale: float
    class_shift: float


def label_reliability(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: ArrayLike,
    target_labels: ArrayLike,
    group: ArrayLike | None = None,
    target_group: ArrayLike | None = None,
    scale: float | None = None,
    pool_size: int = 2048,
    seed: int = 0,
) -> LabelReliability:
    """Returns how likely each label is right, judged by trusted target rows.

    A class that is rarer in the pool than in the target may be so by itself or
    by wrong labels of one kind. Which of them, the labels tell only as far as
    the opinions are sure of some rows. A shift of the class mix explains what
    it can if it is larger than chance would make it, by three standard errors
    of the target's log-odds; flips explain the rest. With opinions that say
    little, few targets or another kind of rows in the pool, both are uncertain,
    and a target with the pool's class mix is the safer one.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, t = rng.normal(size=(600, 5)), rng.normal(size=(200, 5))
        >>> y, target_y = x[:, 0] > 0, t[:, 0] > 0
        >>> y[:60] = ~y[:60]  # wrong labels
        >>> found = label_reliability(x, t, labels=y, target_labels=target_y)
        >>> wrong, right = found.probability[:60], found.probability[60:]
        >>> bool(wrong.mean() < 0.6 and right.mean() > 0.9)
        True

    Args:
        embeddings: `(num_samples, embedding_dim)` of the training rows, as
            `importance_scores` takes them; held in memory.
        target_embeddings: `(num_targets, embedding_dim)`, likewise.
        labels: `(num_samples,)` of 0 and 1, both present.
        target_labels: `(num_targets,)` of 0 and 1, both present; trusted.
        group: `(num_samples,)` of any values, such as the query of each row,
            or None: no row is judged by a model that knows its group. Copies
            of a row belong to one group, or they vouch for each other's label.
        target_group: `(num_targets,)`, likewise: the targets of one group do
            not vouch for each other.
        scale: As in `importance_scores`; None takes 4 or 8, whichever tells the
            labels of the targets better.
        pool_size: Most rows of the pool that vote.
        seed: Fixes folds and samples.

    Raises:
        InputError: Where shapes, labels or settings do not fit.

    Source: calibration of a committee by logistic regression, J. Platt, 1999;
    class-conditional label noise, N. Natarajan et al., NIPS 2013; other class
    mixes, M. Saerens et al., Neural Computation 14, 2002.
    """
    opinions = open_opinions(
        embeddings,
        target_embeddings,
        labels=labels,
        target_labels=target_labels,
        group=group,
        target_group=target_group,
        scale=scale,
        pool_size=pool_size,
        seed=seed,
    )
    everybody = np.arange(len(opinions.target))
    return judge(opinions, everybody, ALL)


def open_opinions(
    embeddings: Any,
    target_embeddings: Any,
    *,
    labels: ArrayLike,
    target_labels: ArrayLike,
    group: ArrayLike | None,
    target_group: ArrayLike | None,
    scale: float | None,
    pool_size: int,
    seed: int,
) -> Opinions:
    """Returns the opinions on checked rows; see `label_reliability`."""
    check_count("seed", seed, at_least=0)
    check_count("pool_size", pool_size, at_least=2)
    pool, target = (
        read_all(name, rows)
        for name, rows in (
            ("embeddings", embeddings),
            ("target_embeddings", target_embeddings),
        )
    )
    check_same_dim(pool.shape, target.shape)
    label = as_labels("labels", labels, len(pool), both=True)
    target_label = as_labels(
        "target_labels", target_labels, len(target), both=True
    )
    groups = _groups("group", group, len(pool), "embeddings")
    target_groups = _groups(
        "target_group", target_group, len(target), "target_embeddings"
    )
    return Opinions(
        pool,
        label,
        target,
        target_label,
        group=groups,
        target_group=target_groups,
        scale=scale,
        pool_size=pool_size,
        seed=seed,
    )


def _groups(
    name: str, group: ArrayLike | None, count: int, rows: str
) -> Array | None:
    if group is None:
        return None
    groups = np.asarray(group)
    check_length(name, groups, count, rows)
    # Numbered once, in the order of their values: texts are slow to compare.
    return pd.factorize(groups, sort=True, use_na_sentinel=False)[0]


def judge(
    opinions: Opinions, known: Array, rows: Array | slice
) -> LabelReliability:
    """Returns the reliability of the pool's `rows` by the `known` targets."""
    on_pool, on_target = opinions.given(known, rows)
    scaler = StandardScaler().fit(on_pool)
    committee = LogisticRegression(C=_TRUST).fit(
        scaler.transform(on_target[known]), opinions.target_label[known]
    )
    positive = committee.predict_proba(scaler.transform(on_pool))[:, 1]
    # No opinion is beyond doubt, and no logarithm of it infinite.
    positive = np.clip(positive, _DOUBT, 1 - _DOUBT)
    label = opinions.label[rows]
    shift = _shift(positive, label, opinions.target_label[known])
    moved = shifted(positive, shift) if shift else positive
    rates = flip_rates(moved, label)
    truth = true_label(moved, label, rates)
    return LabelReliability(
        np.where(label == 1, positive, 1 - positive),
        np.where(label == 1, truth, 1 - truth),
        rates,
        dict(zip(NAMES, committee.coef_[0].tolist(), strict=True)),
        opinions.scale,
        shift,
    )


def _shift(positive: Array, label: Array, target_label: Array) -> float:
    """Returns the shift of the classes, 0 if chance explains it."""
    share = target_label.mean()
    error = 1 / np.sqrt(len(target_label) * share * (1 - share))
    shift = class_shift(positive, label)
    return shift if abs(shift) > _BEYOND_CHANCE * error else 0.0
