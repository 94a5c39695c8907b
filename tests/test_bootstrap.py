import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tfimportance.evaluation import (
    auc_difference,
    bootstrap_differences,
    holm,
)
from tfimportance.evaluation.bootstrap import Ranked

rng = np.random.default_rng(8)


def bootstrap_difference(label, ours, theirs, **options):
    return bootstrap_differences(label, {"": ours}, theirs, **options)[""]


LABEL = rng.integers(0, 2, 400)
OURS = [LABEL + rng.normal(0, 1.0, 400) for _ in range(3)]
THEIRS = [LABEL + rng.normal(0, 1.6, 400) for _ in range(3)]


def test_weighted_auc_is_the_auc_of_repeated_rows():
    score = np.round(OURS[0], 1)  # with ties
    times = rng.integers(0, 4, (5, 400))
    expected = [
        roc_auc_score(np.repeat(LABEL, t), np.repeat(score, t)) for t in times
    ]
    found = Ranked(LABEL, score).auc(times.T.astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_class_that_was_not_drawn_has_no_auc():
    weight = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    found = Ranked(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])).auc(weight.T)
    assert np.isnan(found[0])
    assert found[1] == 1


def test_agrees_with_delong_for_one_seed_and_independent_rows():
    resampled = bootstrap_difference(LABEL, OURS[:1], THEIRS[:1])
    analytic = auc_difference(LABEL, OURS[:1], THEIRS[:1]).interval
    width = analytic[1] - analytic[0]
    np.testing.assert_allclose(resampled, analytic, atol=0.12 * width)


def test_rows_that_come_in_groups_widen_the_interval():
    label, copies = np.tile(LABEL, 6), np.tile(np.arange(400), 6)
    ours, theirs = [np.tile(OURS[0], 6)], [np.tile(THEIRS[0], 6)]
    grouped = bootstrap_difference(label, ours, theirs, group=copies)
    loose = bootstrap_difference(label, ours, theirs)
    assert np.ptp(grouped) / np.ptp(loose) == pytest.approx(6**0.5, rel=0.15)


def test_the_spread_of_two_seeds_is_that_of_their_mean():
    """The variance of the mean of d1, d2 is (d1 - d2)^2 / 4."""
    label = np.arange(4000) % 2  # so many rows that only the seeds differ
    base = label + rng.normal(0, 0.5, 4000)
    one, two = base + rng.normal(0, 1, 4000), base
    gap = np.diff([roc_auc_score(label, each) for each in (one, two)])
    lower, upper = bootstrap_difference(label, [one, two], [one, one])
    # Of two seeds drawn, a half is one of each, a quarter twice the same.
    reach = abs(gap[0]) / 2 * 2**0.5
    assert (upper - lower) / 2 == pytest.approx(reach, rel=0.1)


def test_strategies_are_resampled_together_as_each_alone():
    both = bootstrap_differences(
        LABEL, {"ours": OURS, "same": THEIRS}, THEIRS, resamples=120
    )
    alone = bootstrap_difference(LABEL, OURS, THEIRS, resamples=120)
    assert both == {"ours": alone, "same": (0, 0)}


def test_equal_seeds_give_equal_intervals():
    first = bootstrap_difference(LABEL, OURS, THEIRS, resamples=120, seed=3)
    again = bootstrap_difference(LABEL, OURS, THEIRS, resamples=120, seed=3)
    other = bootstrap_difference(LABEL, OURS, THEIRS, resamples=120, seed=4)
    assert first == again != other


def test_holm_steps_down_and_never_falls_or_leaves_one():
    # By hand: 4 * .01, then max(.04, 3 * .02), max(.06, 2 * .02), 1 * .9.
    found = holm([0.9, 0.01, 0.02, 0.02])
    np.testing.assert_allclose(found, [0.9, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]).max() == 1
