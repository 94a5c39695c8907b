"""LAVA: by how much a sample's mass moves the pool away from the target."""

import numpy as np

from baselines.kernels import squared_distances
from baselines.problem import Array, Problem


def lava(problem: Problem, *, entropy: float = 0.1) -> Array:
    """Returns minus the calibrated gradient of the transport cost.

    Carrying sample i to target t costs |x_i - x_t|^2 / 2 + W(y_i, y_t) / 2,
    with W the transport cost between the samples of the first label and the
    targets of the second. With f the dual potential of the pool, the cost
    changes by f_i - mean_{j != i} f_j if mass moves from the others to i. Just
    et al. 2023, ICLR, arXiv:2305.00054; costs and entropy as in OpenDataVal.
    """
    features = squared_distances(problem.features, problem.target_features) / 2
    label, target_label = (
        np.asarray(each).astype(int)
        for each in (problem.label, problem.target_label)
    )
    between = label_distances(features, label, target_label, entropy)
    cost = features + between[label][:, target_label] / 2
    potential, _ = sinkhorn(cost, entropy)
    others = (potential.sum() - potential) / (len(potential) - 1)
    return others - potential


def label_distances(
    cost: Array, label: Array, target_label: Array, entropy: float
) -> Array:
    """Returns the transport cost from each label to each target label, (2, 2).

    0 where a label has no rows: then nothing refers to it.
    """
    distances = np.zeros((2, 2))
    for given in np.unique(label):
        for wanted in np.unique(target_label):
            part = cost[label == given][:, target_label == wanted]
            potential, target_potential = sinkhorn(part, entropy)
            distances[given, wanted] = (
                potential.mean() + target_potential.mean()
            )
    return distances


def sinkhorn(
    cost: Array, entropy: float, *, steps: int = 100, tolerance: float = 1e-3
) -> tuple[Array, Array]:
    """Returns the dual potentials of transport between uniform masses.

    f and g maximise mean f + mean g - entropy * (mean of exp((f_i + g_t -
    cost_it) / entropy) - 1), by alternate maximisation in the log domain. The
    entropy falls from the largest cost by halves to the one asked for, where
    it goes on until no potential moves by `tolerance` * entropy.
    """
    g = np.zeros(cost.shape[1])
    f = np.zeros(cost.shape[0])
    level = max(float(cost.max()), entropy)
    for _ in range(steps):
        previous = f
        f = soft_min(cost - g, level, axis=1)
        g = soft_min(cost - f[:, None], level, axis=0)
        moved = np.abs(f - previous).max()
        if level == entropy and moved < tolerance * entropy:
            break
        level = max(level / 2, entropy)
    return f, g


def soft_min(cost: Array, level: float, axis: int) -> Array:
    """Returns -level * log(mean(exp(-cost / level))) along the axis."""
    least = cost.min(axis=axis, keepdims=True)
    share = least - cost
    share /= level
    mean = np.exp(share, out=share).mean(axis=axis)
    return least.squeeze(axis) - level * np.log(mean)
