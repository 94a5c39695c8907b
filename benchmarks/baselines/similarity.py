"""Label-blind similarity to the target: random, cosine, RDS+."""

import numpy as np

from baselines.problem import Array, Problem


def random(problem: Problem) -> Array:
    """Returns uniform random numbers: what a method has to beat."""
    return problem.rng().random(len(problem))


def cosine_mean(problem: Problem) -> Array:
    """Returns the cosine to the mean of the targets, in [-1, 1]."""
    target = problem.target_features.mean(axis=0, keepdims=True)
    return cosine(problem.features, target)[:, 0]


def cosine_max(problem: Problem) -> Array:
    """Returns the cosine to the nearest target, in [-1, 1]."""
    return cosine(problem.features, problem.target_features).max(axis=1)


def rds_round_robin(problem: Problem) -> Array:
    """Returns when round robin picks each sample, from 1 (first) towards 0.

    The groups of the target take turns; each picks the sample nearest to any
    of its members among those not yet picked. Without groups every target is
    a group of its own. Ivison et al. 2025, arXiv:2503.01807 (RDS+), with the
    embeddings that all methods share in place of the model's hidden states.
    """
    similarity = cosine(problem.features, problem.target_features)
    if problem.target_group is not None:
        _, group = np.unique(problem.target_group, return_inverse=True)
        similarity = np.stack(
            [
                similarity[:, group == g].max(axis=1)
                for g in range(group.max() + 1)
            ],
            axis=1,
        )
    return 1 - round_robin(similarity) / len(problem)


def round_robin(similarity: Array) -> Array:
    """Returns the turn, from 0, in which each row is picked.

    `similarity` is (num_samples, num_groups); column j % num_groups picks in
    turn j. Ties go to the earlier row.
    """
    num_samples, num_groups = similarity.shape
    ranked = np.argsort(-similarity, axis=0, kind="stable")
    rankings = [iter(ranked[:, g].tolist()) for g in range(num_groups)]
    turn_of = np.full(num_samples, -1)
    picked = bytearray(num_samples)  # read a million times: no NumPy scalars
    for turn in range(num_samples):
        ranking = rankings[turn % num_groups]
        pick = next(row for row in ranking if not picked[row])
        picked[pick] = True
        turn_of[pick] = turn
    return turn_of


def cosine(a: Array, b: Array) -> Array:
    """Returns the cosines of all rows of `a` to all of `b`; 0 for zero rows."""
    return unit(a) @ unit(b).T


def unit(vectors: Array) -> Array:
    """Returns the rows at length 1, in float64; zero rows stay zero."""
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
