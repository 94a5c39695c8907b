"""Learning to reweight: weights that the target's gradient asks for."""

import numpy as np

from baselines.logistic import sigmoid, standardized
from baselines.problem import Array, Problem
from baselines.tracin import mean_gradient

BATCH = 100


def learning_to_reweight(
    problem: Problem, *, epochs: int = 10, rate: float = 0.1
) -> Array:
    """Returns the weights of a meta-trained linear head, mean over training.

    Online, as Ren et al. 2018 (ICML, arXiv:1803.09050): for each batch the
    weights are those with which one step of SGD would lower the target's
    loss, negative ones set to 0, scaled to mean 1; then the head takes that
    weighted step. Each sample's weight is its mean over the epochs.
    """
    x, t = standardized(problem.features, problem.target_features)
    rng = problem.rng()
    head = np.zeros(x.shape[1])
    total = np.zeros(len(x))
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            batch = order[start : start + BATCH]
            toward = mean_gradient(head, t, problem.target_label)
            residual = sigmoid(x[batch] @ head) - problem.label[batch]
            weight = meta_weights(residual, x[batch], toward)
            total[batch] += weight
            head -= rate * (weight * residual) @ x[batch] / len(batch)
    return total / epochs


def meta_weights(residual: Array, x: Array, toward: Array) -> Array:
    """Returns the weights of one batch: mean 1, or all 0 if none helps.

    From weights of zero the virtual step stays where it is, so that the
    derivative of the target's loss by a sample's weight is minus the learning
    rate times the inner product of both gradients: no second derivatives.
    """
    weight = np.maximum(residual * (x @ toward), 0)
    total = weight.sum()
    return weight * len(weight) / total if total else weight
