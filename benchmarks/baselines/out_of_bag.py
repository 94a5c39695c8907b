"""Data-OOB: how often trees that never saw a sample agree with its label."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from baselines.problem import Array, Problem


def data_oob(problem: Problem, *, num_trees: int | None = None) -> Array:
    """Returns the share of its out-of-bag trees that give the label, in [0, 1].

    Of a random forest on the pool; the target is not used. Kwon and Zou 2023,
    ICML, arXiv:2304.07718, with 800 trees. That many take minutes beyond some
    thousand samples, and each sample is out of bag for one tree in three:
    without `num_trees`, 1,000,000 / num_samples of them, within [100, 800]. 0
    for a sample that is in every bag.
    """
    n = len(problem)
    forest = RandomForestClassifier(
        num_trees or int(np.clip(1_000_000 // n, 100, 800)),
        random_state=problem.seed,
        n_jobs=-1,
    )
    forest.fit(problem.features, problem.label)
    correct, votes = np.zeros(n), np.zeros(n)
    for tree, in_bag in zip(
        forest.estimators_, forest.estimators_samples_, strict=True
    ):
        out = np.setdiff1d(np.arange(n), in_bag)
        vote = forest.classes_[tree.predict(problem.features[out]).astype(int)]
        correct[out] += vote == problem.label[out]
        votes[out] += 1
    return correct / np.maximum(votes, 1)
