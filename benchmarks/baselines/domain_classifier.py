"""Density ratio by telling the target from the pool."""

import numpy as np

from baselines.logistic import out_of_fold
from baselines.problem import Array, Problem


def domain_classifier(problem: Problem) -> Array:
    """Returns p(target | x) / p(pool | x), over the ratio of their sizes.

    The probability is that of a logistic regression which never saw the
    sample; an estimate of the ratio of densities p_target(x) / p_pool(x).
    Bickel, Brueckner and Scheffer 2009, JMLR 10.
    """
    both = np.concatenate([problem.features, problem.target_features])
    is_target = np.repeat([0, 1], [len(problem), len(problem.target_features)])
    probability = out_of_fold(both, is_target, problem.seed)[: len(problem)]
    prior = len(problem.target_features) / len(problem)
    return probability / (1 - probability) / prior
