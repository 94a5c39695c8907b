"""TracIn on the last layer: agreement of gradients along the training."""

import numpy as np

from baselines.logistic import sigmoid, standardized
from baselines.problem import Array, Problem


def tracin(problem: Problem, *, steps: int = 50, rate: float = 1.0) -> Array:
    """Returns the sum over the steps of <gradient, mean target gradient>.

    The last layer over frozen embeddings is a logistic regression, trained by
    gradient descent on the whole pool from w_0 = 0; with its log-loss l:

        sum_k rate * <grad l(w_k, sample), mean_t grad l(w_k, t)>

    Every step is a checkpoint, so that this is the paper's ideal: to first
    order, by how much the steps on the sample lowered the target's loss (times
    num_samples). Pruthi et al. 2020, NeurIPS, arXiv:2002.08484.
    """
    x, t = standardized(problem.features, problem.target_features)
    weights, total = np.zeros(x.shape[1]), np.zeros(len(x))
    for _ in range(steps):
        toward = mean_gradient(weights, t, problem.target_label)
        residual = sigmoid(x @ weights) - problem.label
        total += rate * residual * (x @ toward)
        weights -= rate * residual @ x / len(x)
    return total


def mean_gradient(weights: Array, x: Array, label: Array) -> Array:
    """Returns the gradient of the mean log-loss at `weights`, (dim,)."""
    return (sigmoid(x @ weights) - label) @ x / len(x)
