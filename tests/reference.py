"""The mathematics of the package in plain float64 NumPy, sharing no code."""

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    norms = np.sqrt((vectors**2).sum(axis=1))
    return np.array(
        [v / n if n else v for v, n in zip(vectors, norms, strict=True)]
    )


def argument(embeddings, targets, scale=4.0, clip=20.0, normalize=True):
    v = np.asarray(embeddings, np.float64)
    t = np.asarray(targets, np.float64)
    if normalize:
        v, t = unit(v), unit(t)
    return np.clip(scale * (v @ t.T), -clip, clip)


def similarity(embeddings, targets, **settings):
    return np.sinh(argument(embeddings, targets, **settings))


def centered(embeddings, targets):
    middle = np.mean(np.asarray(embeddings, np.float64), axis=0)
    return embeddings - middle, targets - middle


def reduce(z, reduction, m=10, temperature=1.0):
    """One number from the arguments of one sample, a 1-D array."""
    s = np.sinh(z)
    if len(z) == 0:
        return 0.0
    if reduction == "mean":
        return s.mean()
    if reduction == "max":
        return s.max()
    if reduction == "top_m":
        return np.sort(s)[::-1][:m].mean()
    attention = np.exp(z / temperature - (z / temperature).max())
    return (attention * s).sum() / attention.sum()


def signed(z, label, target_label, own=None, **reduction):
    """Label-signed scores; `own[j]` is the sample that target j is."""
    scores = []
    for i, y in enumerate(label):
        others = np.ones(len(target_label), bool)
        if own is not None:
            others = np.asarray(own) != i
        positive, negative = (
            reduce(z[i, others & (np.asarray(target_label) == c)], **reduction)
            for c in (1, 0)
        )
        scores.append((1 if y else -1) * (positive - negative) / 2)
    return np.array(scores)


def log_density_ratio(embeddings, targets, pool_rows, **settings):
    z_target = argument(embeddings, targets, **settings)
    z_pool = argument(embeddings, embeddings[pool_rows], **settings)
    scores = []
    for i in range(len(embeddings)):
        others = np.asarray(pool_rows) != i
        pool = np.exp(z_pool[i, others]).mean()
        scores.append(np.log(np.exp(z_target[i]).mean()) - np.log(pool))
    return np.array(scores)


def out_of_fold(x, y, fold, seed, tol=1e-8):
    """What models of the other folds say: log-odds, and the models.

    Of a logistic regression of one of three strengths, of extremely randomised
    trees and of the mean of both, what ranks the labels best.
    """
    tried = [
        _said(x, y, fold, lambda a, b, c=c: _regression(a, b, c, tol))
        for c in (1e-4, 1e-3, 1e-2)
    ]
    linear = max(tried, key=lambda each: roc_auc_score(y, each[0]))
    trees = _said(x, y, fold, lambda a, b: _trees(a, b, seed))
    mean = (linear[0] + trees[0]) / 2, linear[1] + trees[1]
    return max(linear, trees, mean, key=lambda each: roc_auc_score(y, each[0]))


def _said(x, y, fold, fit):
    log_odds, models = np.zeros(len(y)), []
    for number in np.unique(fold):
        others, asked = fold != number, fold == number
        models.append(fit(x[others], y[others]))
        log_odds[asked] = models[-1](x[asked])
    return log_odds, models


def _regression(x, y, strength, tol):
    model = LogisticRegression(C=strength, max_iter=1000, tol=tol)
    return make_pipeline(StandardScaler(), model).fit(x, y).decision_function


def _trees(x, y, seed):
    model = ExtraTreesClassifier(50, min_samples_leaf=3, random_state=seed)
    model.fit(x, y)

    def log_odds(rows):
        positive = np.clip(model.predict_proba(rows)[:, 1], 0.005, 0.995)
        return np.log(positive) - np.log(1 - positive)

    return log_odds
