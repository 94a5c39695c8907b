"""The baselines against what each is by definition, not by our code."""

import dataclasses
import doctest
import itertools
import math

import baselines
import numpy as np
import pytest
import quality_detection
from baselines import METHODS, Problem, detection
from baselines.domain_classifier import domain_classifier
from baselines.knn_shapley import knn_shapley
from baselines.logistic import out_of_fold
from baselines.out_of_bag import data_oob
from baselines.similarity import cosine_max, cosine_mean, rds_round_robin
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

LABEL_BLIND = {
    "random",
    "cosine mean",
    "cosine max",
    "RDS+",
    "KLIEP",
    "uLSIF",
    "RuLSIF",
    "KMM",
    "domain classifier",
}
WEIGHTS = {
    "KLIEP",
    "uLSIF",
    "RuLSIF",
    "KMM",
    "domain classifier",
    "cleanlab pruned",
    "learning to reweight",
}


def noisy_problem(n=240, dim=6, targets=60, noise=0.2, seed=0):
    """Linearly separable, but for the flipped labels; says which they are."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=dim)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    t = rng.normal(size=(targets, dim)).astype(np.float32)
    flipped = rng.random(n) < noise
    label = (x @ direction > 0) ^ flipped
    target_label = (t @ direction > 0).astype(int)
    return Problem(x, label.astype(int), t, target_label, seed=3), flipped


def gaussians(n=600, targets=300, shift=1.0):
    """Pool N(0, 1), target N(shift, 1) in the first of two dimensions."""
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(n, 2)), rng.normal(size=(targets, 2))
    t[:, 0] += shift
    label, target_label = rng.integers(2, size=n), rng.integers(2, size=targets)
    ratio = np.exp(shift * x[:, 0] - shift**2 / 2)
    return Problem(x, label, t, target_label), ratio


@pytest.fixture(scope="module")
def scored():
    problem, flipped = noisy_problem()
    scores = {n: m(problem) for n, m in METHODS.items() if n != "DVRL"}
    return problem, flipped, scores


def check_scores(scores, again, num_samples):
    assert scores.shape == (num_samples,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, again)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"DVRL"}))
def test_one_finite_number_a_sample_the_same_for_the_same_seed(name, scored):
    problem, _, scores = scored
    check_scores(scores[name], METHODS[name](problem), len(problem))


@pytest.mark.slow
def test_dvrl_selects_right_labels_and_repeats_itself():
    problem, flipped = noisy_problem()
    scores = METHODS["DVRL"](problem)
    assert roc_auc_score(~flipped, scores) > 0.7
    check_scores(scores, METHODS["DVRL"](problem), len(problem))


def test_weights_are_marked_and_not_negative(scored):
    assert {n for n, method in METHODS.items() if method.is_weight} == WEIGHTS
    for name in WEIGHTS:
        assert scored[2][name].min() >= 0
        assert scored[2][name].max() > 0


@pytest.mark.parametrize("name", sorted(LABEL_BLIND))
def test_label_blind_methods_do_not_look_at_labels(name, scored):
    problem, _, scores = scored
    other = dataclasses.replace(
        problem,
        label=1 - problem.label,
        target_label=1 - problem.target_label,
    )
    np.testing.assert_array_equal(METHODS[name](other), scores[name])


@pytest.mark.parametrize(
    "name", sorted(METHODS.keys() - LABEL_BLIND - {"DVRL", "LAVA"})
)
def test_flipped_labels_score_lower(name, scored):
    _, flipped, scores = scored
    assert roc_auc_score(~flipped, scores[name]) > 0.7


def test_lava_finds_flipped_labels_where_classes_are_of_equal_size():
    # Elsewhere the mass that one class has too much of outweighs the flips.
    rng = np.random.default_rng(0)
    true, target_label = np.arange(200) % 2, np.arange(40) % 2
    flipped = np.arange(200) < 40
    problem = Problem(
        rng.normal(size=(200, 4)) + 3 * true[:, None],
        true ^ flipped,
        rng.normal(size=(40, 4)) + 3 * target_label[:, None],
        target_label,
    )
    assert roc_auc_score(~flipped, METHODS["LAVA"](problem)) > 0.9


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("KLIEP", 0.9),
        ("uLSIF", 0.9),
        ("RuLSIF", 0.9),
        ("KMM", 0.7),  # no model: one weight a sample, many of them 0
        ("domain classifier", 0.95),
    ],
)
def test_density_ratios_of_two_gaussians_are_found(name, least):
    problem, ratio = gaussians()
    weight = METHODS[name](problem)
    assert spearmanr(weight, ratio)[0] > least
    # The weighted pool has the target's mean, 1, in place of its own, 0; the
    # relative ratio and the penalties go only part of the way.
    moved = np.average(problem.features[:, 0], weights=weight)
    assert 0.6 < moved < 1.1


def test_kliep_and_kmm_weights_have_mean_one():
    problem, _ = gaussians()
    assert METHODS["KLIEP"](problem).mean() == pytest.approx(1)
    assert METHODS["KMM"](problem).mean() == pytest.approx(1, abs=0.05)


def test_the_domain_classifier_has_the_right_level():
    problem, ratio = gaussians(shift=0.5)
    weight = domain_classifier(problem)
    assert np.abs(np.log(weight) - np.log(ratio)).mean() < 0.15


def test_probabilities_come_from_models_that_did_not_see_the_row():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(200, 150)), np.arange(200) % 2
    # 150 columns of noise fit 200 rows, but say nothing of those left out.
    assert roc_auc_score(label, out_of_fold(x, label, 0)) < 0.65


def test_cosines_by_the_formula():
    x = np.array([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]])
    t = np.array([[1.0, 0.0], [0.0, 3.0]])
    problem = Problem(x, np.zeros(3), t, np.zeros(2))
    np.testing.assert_allclose(cosine_max(problem), [0.8, 1, 0])
    mean = (0.6 * 0.5 + 0.8 * 1.5) / math.hypot(0.5, 1.5)
    np.testing.assert_allclose(
        cosine_mean(problem), [mean, 1.5 / math.hypot(0.5, 1.5), 0]
    )


def on_circle(*degrees):
    angle = np.radians(degrees)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_targets_take_turns_to_pick():
    # To the target at 0: 5, 12, 20, 80. To that at 90: 80, 20, 12, 5.
    problem = Problem(
        on_circle(20, 5, 80, 12), np.zeros(4), on_circle(0, 90), np.zeros(2)
    )
    np.testing.assert_allclose(rds_round_robin(problem), [0.25, 1, 0.75, 0.5])


def test_groups_of_targets_take_turns_by_their_nearest_member():
    # Group b is at 90 and 14: it is nearest to 12, then 20, then 80.
    problem = Problem(
        on_circle(20, 5, 80, 12),
        np.zeros(4),
        on_circle(90, 0, 14),
        np.zeros(3),
        target_group=np.array(["b", "a", "b"]),
    )
    # a picks 5, b picks 12, a picks 20, b is left with 80.
    np.testing.assert_allclose(rds_round_robin(problem), [0.5, 1, 0.25, 0.75])


@pytest.mark.parametrize("neighbors", [1, 3, 8, 11])
def test_knn_shapley_is_the_mean_over_all_orders(neighbors):
    problem, _ = noisy_problem(n=8, dim=2, targets=5)
    distance = np.linalg.norm(
        problem.features[:, None] - problem.target_features, axis=2
    )

    def worth(rows):
        hits = 0
        for j, wanted in enumerate(problem.target_label):
            nearest = sorted(rows, key=lambda i: distance[i, j])[:neighbors]
            hits += sum(problem.label[i] == wanted for i in nearest)
        return hits / neighbors / len(problem.target_label)

    expected = np.zeros(8)
    for size in range(8):
        share = 1 / (8 * math.comb(7, size))
        for i in range(8):
            others = [j for j in range(8) if j != i]
            for rows in itertools.combinations(others, size):
                expected[i] += share * (worth((*rows, i)) - worth(rows))
    values = knn_shapley(problem, neighbors=neighbors)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_data_oob_is_the_share_of_right_out_of_bag_trees():
    problem, _ = noisy_problem(n=100)
    # Leaves of full trees are pure, so that their probability is a vote.
    forest = RandomForestClassifier(90, oob_score=True, random_state=3)
    forest.fit(problem.features, problem.label)
    expected = forest.oob_decision_function_[np.arange(100), problem.label]
    np.testing.assert_allclose(data_oob(problem, num_trees=90), expected)


def test_two_means_are_the_best_of_all_cuts():
    rng = np.random.default_rng(0)
    for size in (2, 3, 7, 20):
        for _ in range(20):
            values = rng.integers(0, 9, size) * rng.choice([1.0, 1e-3, 1e6])
            low = detection.low_cluster(values)
            if np.ptp(values) == 0:
                assert not low.any()
                continue
            cuts = [values <= cut for cut in np.unique(values)[:-1]]
            spreads = [within(values, cut) for cut in cuts]
            assert within(values, low) == pytest.approx(min(spreads))
            assert values[low].max() < values[~low].min()


def within(values, low):
    return sum(
        ((part - part.mean()) ** 2).sum()
        for part in (values[low], values[~low])
    )


def test_detection_f1_by_hand():
    values = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    # Three suspects, two of them among the four noisy: 2 * 2 / (3 + 4).
    noisy = np.array([1, 1, 0, 1, 1, 0], bool)
    assert detection.detection_f1(values, noisy) == pytest.approx(4 / 7)
    assert detection.detection_f1(np.ones(6), noisy) == 0


def test_recall_in_the_lowest_by_hand():
    values, noisy = np.arange(20.0), np.zeros(20, bool)
    noisy[[0, 2, 7, 19]] = True
    assert detection.recall_in_lowest(values, noisy) == 0.25
    assert detection.recall_in_lowest(values, noisy, 0.4) == 0.75
    assert detection.recall_in_lowest(-values, noisy) == 0.25
    assert detection.recall_in_lowest(values, noisy, 1) == 1
    # All tie: two of 20 places, a tenth of the noisy ones in the mean.
    assert detection.recall_in_lowest(np.ones(20), noisy) == pytest.approx(0.1)


@pytest.mark.parametrize("module", [baselines, detection])
def test_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def test_values_that_know_the_wrong_labels_find_and_remove_them():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_000, 5))
    y = (x[:, 0] > 0).astype(int)
    problem, is_noisy, (rest, truth) = quality_detection.noisy_problem(x, y, 0)
    assert len(problem) == len(is_noisy) == 300
    assert is_noisy.sum() == 30
    assert len(rest) == len(truth) == 2_000 - 330
    right = problem.features[:, 0] > -x[:, 0].mean() / x[:, 0].std()
    wrong = right != problem.label
    # Rows next to the boundary may fall on its other side when scaled.
    assert np.mean(wrong == is_noisy) > 0.95
    found = quality_detection.figures(
        -is_noisy.astype(float), problem, is_noisy, (rest, truth)
    )
    assert found["F1"] == found["found in the lowest 10%"] == 1
    assert found["found in the lowest 5%"] == 0.5
    assert found["without the lowest 10%"] > 0.01
