"""Models on embeddings, asked about rows that they have not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tfimportance._checks import Array
from tfimportance.evaluation import roc_auc

# Inverse regularisation on standardised embeddings, `C` in scikit-learn. Few
# or noisy rows want a small one: it is chosen by what is predicted best.
STRENGTHS = (1e-4, 1e-3, 1e-2)
_FOLDS = 5
_FEW_GROUPS = 5_000  # that scikit-learn spreads in about a second
MOST_ROWS = 20_000  # that a linear model learns from; more change little
_MOST_IN_TREES = 5_000  # which take longer
_ASKED_AT_ONCE = 100_000  # rows, of a pool that may be as large as memory
_STEPS = 200
_TREES, _LEAF = 50, 3
_CERTAIN = 0.005  # no forest is surer than this
Asked = Callable[[Array], Array]  # features to log-odds of label 1


def linear(
    features: Array,
    label: Array,
    sample_weight: Array | None = None,
    *,
    strength: float,
    balanced: bool = False,
) -> Asked:
    """Returns what logistic regression on standardised embeddings learns.

    Args:
        features: `(num_samples, embedding_dim)`.
        label: `(num_samples,)` of 0 and 1.
        sample_weight: `(num_samples,)` of mean 1, or None.
        strength: One of `STRENGTHS`.
        balanced: Whether both classes count the same.
    """
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(
            C=strength,
            class_weight="balanced" if balanced else None,
            max_iter=_STEPS,
            tol=1e-3,
        ),
    )
    settings = {"logisticregression__sample_weight": sample_weight}
    # Products as small as these lose by threads, on a busy machine a lot.
    with threadpool_limits(1, "blas"):
        return model.fit(features, label, **settings).decision_function


def folds(
    label: Array, group: Array | None, seed: int, count: int = _FOLDS
) -> Array:
    """Returns `(num_samples,)` fold numbers, each with both classes if it can.

    Rows of one group, such as those of one query, are in the same fold:
    else a model that knows the query would be asked about it.
    """
    count = min(count, int(np.unique(label, return_counts=True)[1].min()))
    member = None
    if group is not None:
        member, distinct = pd.factorize(group, sort=True, use_na_sentinel=False)
        count = min(count, len(distinct))
        if count > 1 and len(distinct) > _FEW_GROUPS:
            return _folds_of_groups(label, member, seed, count)[member]
    number = np.zeros(len(label), np.int64)
    if count < 2:
        return number
    splitter = StratifiedKFold if group is None else StratifiedGroupKFold
    parts: Any = splitter(count, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(parts.split(label, label, member)):
        number[rows] = fold
    return number


def _folds_of_groups(
    label: Array, member: Array, seed: int, count: int
) -> Array:
    """Returns `(num_groups,)` folds alike in rows and classes, of many groups.

    Groups alike in both classes are dealt out like cards, as many to each fold.
    What is left of each kind goes, largest first, where it is missed most.

    Args:
        label: `(num_samples,)` of 0 and 1.
        member: `(num_samples,)` number of each row's group.
        seed: Fixes which of the groups that are alike go where.
        count: Folds.
    """
    rows = np.stack([np.bincount(member, label == c) for c in (0, 1)], axis=1)
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    order = shuffled[np.lexsort(rows[shuffled].T)]
    is_new = np.any(np.diff(rows[order], axis=0, prepend=-1) != 0, axis=1)
    start = np.flatnonzero(is_new)
    kind = np.cumsum(is_new) - 1
    alike = np.bincount(kind)
    place = np.arange(len(rows)) - start[kind]
    dealt = place < (alike - alike % count)[kind]
    fold = np.empty(len(rows), np.int64)
    fold[order[dealt]] = place[dealt] % count
    share = rows / np.maximum(rows.sum(axis=0), 1)
    left = order[~dealt]
    held = np.tile(share[order[dealt]].sum(axis=0) / count, (count, 1))
    for one in left[np.argsort(-share[left].sum(axis=1), kind="stable")]:
        # The folds' sum of squares grows the least.
        fold[one] = np.argmin(held @ share[one])
        held[fold[one]] += share[one]
    return fold


def forest(
    features: Array, label: Array, *, seed: int, balanced: bool = False
) -> Asked:
    """Returns what extremely randomised trees learn.

    Source: P. Geurts, D. Ernst and L. Wehenkel, Machine Learning 63, 2006.
    """
    trees = ExtraTreesClassifier(
        _TREES,
        min_samples_leaf=_LEAF,
        class_weight="balanced" if balanced else None,
        random_state=seed,
        n_jobs=-1,
    )
    return partial(_log_odds, trees.fit(features, label))


def _log_odds(trees: ExtraTreesClassifier, features: Array) -> Array:
    positive = trees.predict_proba(features)[:, 1]
    return logit(np.clip(positive, _CERTAIN, 1 - _CERTAIN))


@dataclass(frozen=True)
class Stacked:
    """Two matrices, one below the other, of which only rows are copied.

    Attributes:
        upper: `(num_upper, embedding_dim)`.
        lower: `(num_lower, embedding_dim)`.
    """

    upper: Array
    lower: Array

    def __getitem__(self, rows: Array) -> Array:
        """Returns `(len(rows), embedding_dim)` of ascending row numbers."""
        above, below = np.split(rows, [np.searchsorted(rows, len(self.upper))])
        below = below - len(self.upper)
        return np.concatenate([self.upper[above], self.lower[below]])


@dataclass(frozen=True)
class OutOfFold:
    """Models of four fifths of the rows each.

    Attributes:
        log_odds: `(num_samples,)` of label 1, by models that have seen neither
            the row nor its group; 0 where they could learn nothing.
        models: One or more for each fold.
    """

    log_odds: Array
    models: tuple[Asked, ...]

    def asked(self, features: Array) -> Array:
        """Returns the mean log-odds that all models give other rows."""
        said = [model(features) for model in self.models]
        return np.mean(said, axis=0) if said else np.zeros(len(features))


def out_of_fold(
    features: Array | Stacked,
    label: Array,
    group: Array | None,
    seed: int,
    *,
    balanced: bool = False,
) -> OutOfFold:
    """Returns the models with the best out-of-fold AUC.

    Of a linear model, the best of `STRENGTHS`, of a forest, which sees what is
    not linear, and of the mean of both.
    """
    fitted = partial(_fitted, features, label, folds(label, group, seed), seed)

    def auc(found: OutOfFold) -> float:
        return roc_auc(label, found.log_odds)

    learners = [
        partial(linear, strength=each, balanced=balanced) for each in STRENGTHS
    ]
    straight = max((fitted(each, MOST_ROWS) for each in learners), key=auc)
    trees = partial(forest, seed=seed, balanced=balanced)
    bent = fitted(trees, _MOST_IN_TREES)
    both = OutOfFold(
        (straight.log_odds + bent.log_odds) / 2, straight.models + bent.models
    )
    return max((straight, bent, both), key=auc)


def _fitted(
    features: Array | Stacked,
    label: Array,
    fold: Array,
    seed: int,
    learn: Callable[[Array, Array], Asked],
    most: int,
) -> OutOfFold:
    rng = np.random.default_rng(seed)
    log_odds = np.zeros(len(label))
    models = []
    for number in np.unique(fold):
        known = np.flatnonzero(fold != number)
        if len(np.unique(label[known])) < 2:
            continue  # nothing can be learnt: no opinion
        known = known[some(label[known], rng, most)]
        model = learn(features[known], label[known])
        unseen = np.flatnonzero(fold == number)
        for start in range(0, len(unseen), _ASKED_AT_ONCE):
            rows = unseen[start : start + _ASKED_AT_ONCE]
            log_odds[rows] = model(features[rows])
        models.append(model)
    return OutOfFold(log_odds, tuple(models))


def some(
    label: Array, rng: np.random.Generator, most: int = MOST_ROWS
) -> Array:
    """Returns the rows to learn from, ascending: at most half of each class.

    So a rare class keeps its rows.
    """
    if len(label) <= most:
        return np.arange(len(label))
    rows = [rng.permutation(np.flatnonzero(label == c)) for c in (0, 1)]
    return np.sort(np.concatenate([each[: most // 2] for each in rows]))
