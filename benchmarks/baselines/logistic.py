"""Logistic regression as several baselines need it."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from baselines.problem import Array

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 5


def out_of_fold(features: Array, label: Array, seed: int) -> Array:
    """Returns the probability of label 1 from models that never saw the row.

    Five stratified folds. The inverse strength of the regularisation is that
    of `STRENGTHS` with the least out-of-fold log-loss. (num_rows,) float64,
    within [1e-7, 1 - 1e-7].
    """
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    probability = np.empty((len(STRENGTHS), len(label)))
    for train, test in folds.split(features, label):
        for row, strength in zip(probability, STRENGTHS, strict=True):
            model = classifier(strength).fit(features[train], label[train])
            row[test] = model.predict_proba(features[test])[:, 1]
    probability = np.clip(probability, 1e-7, 1 - 1e-7)
    own = np.where(label == 1, probability, 1 - probability)
    return probability[np.argmax(np.log(own).mean(axis=1))]


def classifier(strength: float) -> Pipeline:
    """Returns standardising and an L2 logistic regression, unfitted."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=200)
    )


def sigmoid(logit: Array) -> Array:
    """Returns 1 / (1 + exp(-logit)), without overflow."""
    return (1 + np.tanh(logit / 2)) / 2


def standardized(features: Array, target_features: Array) -> tuple[Array, ...]:
    """Returns both, with a column of ones, for plain gradient descent.

    The pool has mean 0 and standard deviation 1 / sqrt(dim) in each column,
    so that rows have length about 1 in any dimension.
    """
    middle = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, 1) * np.sqrt(features.shape[1])
    return tuple(
        np.column_stack([(each - middle) / spread, np.ones(len(each))])
        for each in (features, target_features)
    )
