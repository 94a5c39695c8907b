"""The mathematics of the package in plain float64 NumPy, sharing no code."""

import numpy as np


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
