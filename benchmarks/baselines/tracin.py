"""TracIn on the last layer: gradient agreement along the training."""

from collections.abc import Iterator

import numpy as np

from baselines.logistic import sigmoid, standardized
from baselines.problem import Array, Problem


def tracin(problem: Problem, *, epochs: int = 10) -> Array:
    """Returns the sum over checkpoints of <gradient, mean target gradient>.

    With the loss l of a logistic regression (the last layer over frozen
    embeddings) and the weights w_k after each epoch:

        sum_k rate_k <grad l(w_k, sample), mean_t grad l(w_k, t)>

    Pruthi et al. 2020, NeurIPS, arXiv:2002.08484 (TracInCP).
    """
    x, t = standardized(problem.features, problem.target_features)
    total = np.zeros(len(x))
    for weights, rate in checkpoints(x, problem.label, epochs, problem.rng()):
        toward = target_gradient(weights, t, problem.target_label)
        residual = sigmoid(x @ weights) - problem.label
        total += rate * residual * (x @ toward)
    return total


def target_gradient(weights: Array, t: Array, target_label: Array) -> Array:
    """Returns the gradient of the mean log-loss on the target, (dim,)."""
    return (sigmoid(t @ weights) - target_label) @ t / len(t)


def checkpoints(
    x: Array,
    label: Array,
    epochs: int,
    rng: np.random.Generator,
    *,
    rate: float = 1.0,
    batch_size: int = 64,
) -> Iterator[tuple[Array, float]]:
    """Yields the weights after each epoch of SGD from zero, and the rate."""
    weights = np.zeros(x.shape[1])
    for _ in range(epochs):
        for batch in batches(len(x), batch_size, rng):
            residual = sigmoid(x[batch] @ weights) - label[batch]
            weights = weights - rate * residual @ x[batch] / len(batch)
        yield weights, rate


def batches(num_rows: int, size: int, rng: np.random.Generator) -> list[Array]:
    """Returns all rows in random order, `size` at a time."""
    order = rng.permutation(num_rows)
    return [order[i : i + size] for i in range(0, num_rows, size)]
