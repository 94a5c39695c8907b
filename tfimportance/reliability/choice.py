"""Which weights serve the target best: measured, not assumed.

The candidates say differently how much to believe the labels, and whether to
prefer rows that look like the target; uniform weights are one of them. Each is
judged on target rows whose labels had no say in its weights, by the AUC of
weighted logistic regressions, and counts as much as the evidence for it. (One
number is chosen on all of them beforehand: which of two scales sinh has.) The
best of a few close candidates is a matter of luck; their average is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, softmax

from tfimportance._checks import Array
from tfimportance.evaluation import auc_difference
from tfimportance.reliability.labels import (
    LabelReliability,
    judge,
    open_opinions,
)
from tfimportance.reliability.learners import (
    Stacked,
    folds,
    linear,
    out_of_fold,
    some,
)
from tfimportance.reliability.opinions import ALL, Opinions
from tfimportance.weighting import SampleWeight, to_sample_weight

UNIFORM = "uniform"
_JUDGED_ROWS = 5_000  # of the pool, that a candidate is tried on
# Effective share of the rows of the boldest candidates.
_SHARP, _SHARPEST = 0.6, 0.3
_LEAST = 1e-3  # no row is lost altogether
# Weights help a loosely regularised model most, and may harm a firm one. Which
# of them the model to be trained is like, nobody says: both judge.
_STRENGTHS = (1e-3, 1e-2)
_BELIEF = 2.0  # log of the odds that a gain of one standard error is worth


@dataclass(frozen=True)
class Candidate:
    """How weights did on target rows whose labels had no say in them.

    Attributes:
        name: What the weights are made of.
        gain: ROC AUC less that of uniform weights, mean of two models.
        error: Standard error of a gain, over target rows or their groups.
        share: Its part in the average, in [0, 1]; they sum to 1.
    """

    name: str
    gain: float
    error: float
    share: float


@dataclass(frozen=True)
class Choice:
    """The weights that the target speaks for, and how it came to that.

    Attributes:
        sample_weight: `(num_samples,)`, mean 1.
        candidates: What was judged, uniform weights first.
        reliability: What is known about the labels.
        relevance: `(num_samples,)` in (0, 1): the probability that a row is
            one of the target and not of the pool, were both as frequent.
    """

    sample_weight: SampleWeight
    candidates: tuple[Candidate, ...]
    reliability: LabelReliability
    relevance: Array

    @property
    def score(self) -> Array:
        """`(num_samples,)` float64, the log of the weights."""
        return np.log(np.float64(self.sample_weight))

    def to_frame(self) -> pd.DataFrame:
        """Returns a row for each candidate: name, gain, error, share."""
        return pd.DataFrame([vars(each) for each in self.candidates])


def choose_weights(
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
) -> Choice:
    """Returns the sample weights that serve the target best, if any do.

    With the plausibility q of a label and the probability p that it is right
    (`label_reliability`), and the relevance r of a row, the candidates are

        uniform     1
        plausible   q
        reliable    q * max(2 p - 1, 0)
        sharp       q^beta, worth 60% of the rows (Kish)
        sharpest    q^beta, worth 30% of the rows

    and each of them times r. `2 p - 1` is what a label of a row is worth to a
    model that must not learn wrong ones: a coin toss is worth nothing. Nothing
    here has a strength to set: where the labels are right and the rows alike,
    q, p and r say so, and the weights are close to uniform by themselves.

    Each fifth of the target (of its groups) judges weights that the labels of
    the other four fifths made, by logistic regressions of a firm and of a loose
    regularisation. A candidate's share in the average grows with its gain g as
    exp(2 g / standard error); uniform weights have half of the belief
    beforehand. The target rows given here choose, so measure the final model on
    others.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, t = rng.normal(size=(900, 9)), rng.normal(size=(300, 9))
        >>> y, target_y = x[:, 0] > 0, t[:, 0] > 0
        >>> y[:360] = ~y[:360]  # wrong labels
        >>> choice = choose_weights(x, t, labels=y, target_labels=target_y)
        >>> wrong, right = np.split(np.asarray(choice.sample_weight), [360])
        >>> bool(right.mean() > 2 * wrong.mean())
        True

    Args:
        embeddings: As in `label_reliability`.
        target_embeddings: Likewise.
        labels: `(num_samples,)` of 0 and 1, both present.
        target_labels: `(num_targets,)` of 0 and 1, both present; trusted.
        group: `(num_samples,)` such as queries, or None.
        target_group: `(num_targets,)` such as queries, or None; a group does
            not judge weights that it had a say in.
        scale: As in `label_reliability`.
        pool_size: Most rows of the pool that vote.
        seed: Fixes folds and samples.

    Raises:
        InputError: Where shapes, labels or settings do not fit.
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
    relevance = _relevance(opinions, seed)
    tried = _tried(opinions, relevance, seed)
    candidates = _judged(opinions, tried)
    everybody = np.arange(len(opinions.target))
    found = judge(opinions, everybody, ALL)
    weights = _weights(found, relevance)
    mixed = sum(each.share * weights[each.name] for each in candidates)
    weight = np.asarray(mixed, np.float32).view(SampleWeight)
    return Choice(weight, candidates, found, relevance)


def _weights(
    reliability: LabelReliability, relevance: Array
) -> Mapping[str, Array]:
    """Returns the weights of every candidate, mean 1."""
    plausible = reliability.plausibility
    worth = np.maximum(2 * reliability.probability - 1, _LEAST)
    sharp, sharpest = (
        np.float64(to_sample_weight(np.log(plausible), effective_fraction=each))
        for each in (_SHARP, _SHARPEST)
    )
    believed = {
        UNIFORM: np.ones(len(plausible)),
        "plausible": plausible,
        "reliable": plausible * worth,
        "sharp": sharp,
        "sharpest": sharpest,
    }
    near = np.maximum(relevance, _LEAST)
    preferred = {f"{name}, relevant": w * near for name, w in believed.items()}
    return {
        name: weight / weight.mean()
        for name, weight in {**believed, **preferred}.items()
    }


def _relevance(opinions: Opinions, seed: int) -> Array:
    """Returns how much each pool row looks like the target, out of fold."""
    rows = Stacked(opinions.pool, opinions.target)
    count = len(opinions.pool)
    is_target = np.repeat([0, 1], [count, len(opinions.target)])
    models = out_of_fold(rows, is_target, None, seed, balanced=True)
    return expit(models.log_odds[:count])


def _tried(opinions: Opinions, relevance: Array, seed: int) -> dict[str, Array]:
    """Returns what models trained by each candidate say of the target rows.

    By name `(num_strengths, num_targets)`; no row is judged by weights that
    it had a say in.
    """
    rows = some(opinions.label, np.random.default_rng(seed), _JUDGED_ROWS)
    pool, pool_label = opinions.pool[rows], opinions.label[rows]
    fold = folds(opinions.target_label, opinions.target_group, seed)
    scores: dict[str, Array] = {}
    for number in np.unique(fold):
        known, unseen = np.flatnonzero(fold != number), fold == number
        if len(np.unique(opinions.target_label[known])) < 2:
            continue
        found = judge(opinions, known, rows)
        asked = opinions.target[unseen]
        for name, weight in _weights(found, relevance[rows]).items():
            score = scores.setdefault(
                name, np.zeros((len(_STRENGTHS), len(fold)))
            )
            for k, strength in enumerate(_STRENGTHS):
                model = linear(pool, pool_label, weight, strength=strength)
                score[k, unseen] = model(asked)
    return scores


def _judged(
    opinions: Opinions, scores: Mapping[str, Array]
) -> tuple[Candidate, ...]:
    """Returns what each candidate gains, and its share by that evidence."""
    if not scores:  # too few target rows to judge by
        return (Candidate(UNIFORM, 0.0, 0.0, 1.0),)
    base = scores[UNIFORM]
    found = [
        [_gain(opinions, *pair) for pair in zip(each, base, strict=True)]
        for each in scores.values()
    ]
    gain, error = np.mean(found, axis=1).T  # of all strengths
    evidence = _BELIEF * gain / max(error[1:].mean(), _LEAST)
    evidence[0] += np.log(len(gain) - 1)  # uniform: half of the belief before
    shares = softmax(evidence)
    return tuple(
        Candidate(name, *map(float, each))
        for name, *each in zip(scores, gain, error, shares, strict=True)
    )


def _gain(
    opinions: Opinions, score: Array, baseline: Array
) -> tuple[float, float]:
    """Returns the gain in AUC and its standard error."""
    found = auc_difference(
        opinions.target_label,
        [score],
        [baseline],
        group=opinions.target_group,
    )
    return found.mean, found.error
