import json

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from tfimportance import InputError, evaluate
from tfimportance.evaluation import (
    auc_difference,
    best_f1_threshold,
    evaluate_probability,
    mean_evaluation,
    roc_auc,
)

rng = np.random.default_rng(3)


def sample(rows, shift, ties=False):
    label = (rng.random(rows) < 0.3).astype(int)
    score = 1 / (1 + np.exp(-rng.normal(shift * label, 1.0)))
    return label, np.round(score, 1) if ties else score


def pairwise_auc(label, score):
    """The definition: P(positive above negative) + P(equal) / 2."""
    gap = score[label == 1][:, None] - score[label == 0][None, :]
    return (gap > 0).mean() + (gap == 0).mean() / 2


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_the_pairwise_definition(ties):
    label, score = sample(317, 0.8, ties)
    assert roc_auc(label, score) == pytest.approx(pairwise_auc(label, score))


def test_all_figures_by_hand():
    result = evaluate_probability([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9])
    assert result.roc_auc == pytest.approx(3 / 4)
    assert result.pr_auc == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert result.f1 == pytest.approx(1 / 2)  # at 0.5: one right, one wrong
    assert result.log_loss == pytest.approx(
        -np.log([0.8, 0.3, 0.4, 0.9]).mean()
    )
    # bins of width 1/15 hold one row each: mean of |probability - label|
    assert result.calibration_error == pytest.approx(
        (0.2 + 0.7 + 0.6 + 0.1) / 4
    )
    assert (result.rows, result.positive_share) == (4, 0.5)
    json.dumps(result.to_dict())


def delong_variances(label, score):
    """Of the positive rows and of the negative ones."""
    gap = score[label == 1][:, None] - score[label == 0][None, :]
    wins = (gap > 0) + (gap == 0) / 2
    return (
        wins.mean(1).var(ddof=1) / wins.shape[0],
        wins.mean(0).var(ddof=1) / wins.shape[1],
    )


def unbalanced(positives, negatives):
    label = np.repeat([1, 0], [positives, negatives])
    return label, rng.beta(2 + label, 3)


@pytest.mark.parametrize("positives", [400, 5, 2])
def test_interval_is_delongs(positives):
    label, score = unbalanced(positives, 403)
    first, second = delong_variances(label, score)
    # Against a model that knows nothing: the interval is not cut at 0 and 1.
    found = auc_difference(label, [score], [0 * score])
    error = (first + second) ** 0.5
    assert found.error == pytest.approx(error)
    degrees = (first + second) ** 2 / (
        first**2 / (positives - 1) + second**2 / 402
    )
    reach = scipy.stats.t.ppf(0.975, degrees) * error
    assert found.interval == pytest.approx(
        (max(found.mean - reach, -1), min(found.mean + reach, 1))
    )
    assert found.p_value == pytest.approx(
        2 * scipy.stats.t.sf(abs(found.mean) / error, degrees)
    )
    auc = found.mean + 0.5
    result = evaluate_probability(label, score)
    assert result.roc_auc == pytest.approx(auc)
    # By the odds, whose logarithm has this derivative.
    widened = np.exp(reach / (auc * (1 - auc)))
    odds = np.array([auc / (1 - auc) / widened, auc / (1 - auc) * widened])
    assert result.roc_auc_interval == pytest.approx(odds / (1 + odds))


def test_one_positive_row_says_nothing_of_others():
    label, score = unbalanced(1, 40)
    lower, upper = evaluate_probability(label, score).roc_auc_interval
    assert lower < 0.01
    assert upper > 0.99
    found = auc_difference(label, [score], [1 - score])
    assert found.interval == (-1, 1)
    assert found.p_value > 0.05


@pytest.mark.parametrize(
    ("positives", "negatives", "sizes"),
    [
        (5, 245, None),
        (250, 250, [1] * 100 + [400]),
        (250, 250, [250, 250]),
        (250, 250, [100] * 5),
    ],
)
def test_few_positives_and_few_groups_are_covered(positives, negatives, sizes):
    """Rows of a group share a shift of their scores; the truth is 0.76."""
    draws = np.random.default_rng(0)
    label = np.repeat([1, 0], [positives, negatives])
    group, hits = None, 0
    for _ in range(200):
        score = draws.normal(size=len(label)) + label
        if sizes:
            group = draws.permutation(np.repeat(range(len(sizes)), sizes))
        probability = 1 / (1 + np.exp(-score))
        found = evaluate_probability(label, probability, group=group)
        lower, upper = found.roc_auc_interval
        hits += lower < 0.7602 < upper  # Phi(1 / sqrt 2)
    assert hits / 200 > 0.88


@pytest.mark.parametrize(
    ("positives", "negatives", "shift"),
    [(5, 100, 2.5), (10, 100, 3.0), (5, 20, 2.0), (20, 200, 1.5)],
)
def test_a_good_model_on_few_positives_is_covered(positives, negatives, shift):
    draws = np.random.default_rng(3)
    truth = scipy.stats.norm.cdf(shift / 2**0.5)
    label = np.repeat([1, 0], [positives, negatives])
    hits = 0
    for _ in range(300):
        score = draws.normal(size=len(label)) + shift * label
        found = evaluate_probability(label, 1 / (1 + np.exp(-score)))
        lower, upper = found.roc_auc_interval
        assert lower < upper
        hits += lower < truth < upper
    assert hits / 300 > 0.92


def test_classes_that_are_apart_may_not_be_elsewhere():
    label = np.repeat([0, 1], [40, 11])
    lower, upper = evaluate_probability(label, label).roc_auc_interval
    assert upper == 1
    assert lower == pytest.approx(0.025 ** (1 / 10))  # ten degrees of freedom
    lower, upper = evaluate_probability(label, 1 - label).roc_auc_interval
    assert (lower, upper) == (0, pytest.approx(1 - 0.025 ** (1 / 10)))


def test_a_difference_without_spread_is_as_sure_as_its_rows_are_many():
    """Placements of 1 and of a half everywhere: DeLong sees no error."""
    for half, clear in ((2, False), (200, True)):
        label = np.repeat([0, 1], half)
        found = auc_difference(label, [label], [0.0 * label])
        assert found.mean == 0.5
        lower, upper = found.interval
        assert lower < 0.5 < upper
        assert (lower > 0) == (found.p_value < 0.05) == clear


def test_no_difference_is_found_as_seldom_as_it_says():
    """Where seeds differ more than rows, three of them say little."""
    draws = np.random.default_rng(1)
    label = np.arange(2000) % 2
    signal = label + draws.normal(size=2000)
    found = 0
    for _ in range(200):
        ours, theirs = (
            [
                signal + draws.normal(0, abs(draws.normal()), 2000)
                for _ in range(3)
            ]
            for _ in range(2)
        )
        found += auc_difference(label, ours, theirs).p_value < 0.05
    assert found / 200 < 0.09


def test_interval_covers_the_truth_as_often_as_it_says():
    truth = 0.7142  # normal scores, shift 0.8: Phi(0.8 / sqrt 2)
    hits = 0
    for _ in range(400):
        lower, upper = evaluate_probability(*sample(150, 0.8)).roc_auc_interval
        hits += lower < truth < upper
    assert 0.91 < hits / 400 < 0.98


def test_repeated_rows_of_one_group_do_not_shrink_the_interval():
    label, score = sample(200, 0.8)
    plain = evaluate_probability(label, score).roc_auc_interval
    grouped = evaluate_probability(
        np.repeat(label, 5), np.repeat(score, 5), group=np.repeat(range(200), 5)
    ).roc_auc_interval
    assert grouped == pytest.approx(plain, rel=1e-9)


def test_paired_difference_against_the_bootstrap():
    label, ours = sample(400, 1.0)
    theirs = np.clip(ours + rng.normal(0, 0.1, 400), 0, 1)
    found = auc_difference(label, [ours], [theirs])
    assert found.mean == pytest.approx(
        roc_auc_score(label, ours) - roc_auc_score(label, theirs)
    )
    draws = []
    for _ in range(600):
        rows = rng.integers(0, 400, 400)
        draws.append(
            roc_auc_score(label[rows], ours[rows])
            - roc_auc_score(label[rows], theirs[rows])
        )
    assert found.error == pytest.approx(np.std(draws), rel=0.15)


def test_seeds_that_disagree_widen_the_interval():
    label, score = sample(400, 1.0)
    noisy = [np.clip(score + rng.normal(0, s, 400), 0, 1) for s in (0, 0.5)]
    found = auc_difference(label, noisy, [score, score])
    change = roc_auc_score(label, noisy[1]) - roc_auc_score(label, score)
    between_seeds = np.var([0, change], ddof=1) / 2
    assert found.error**2 > between_seeds
    assert found.degrees < 2  # two seeds have one degree of freedom


def test_equal_scores_differ_by_nothing():
    label, score = sample(50, 1.0)
    found = auc_difference(label, [score], [score])
    assert (found.mean, found.interval, found.p_value) == (0, (0, 0), 1)


def test_mean_over_seeds_keeps_rows():
    label, score = sample(60, 1.0)
    first = evaluate_probability(label, score)
    second = evaluate_probability(label, score**2)
    both = mean_evaluation([first, second])
    assert both.rows == 60
    assert both.log_loss == pytest.approx(
        (first.log_loss + second.log_loss) / 2
    )
    assert both.roc_auc_interval == pytest.approx(first.roc_auc_interval)


def test_the_mean_over_seeds_is_less_sure_where_they_disagree():
    label, score = sample(400, 1.0)
    noisy = np.clip(score + rng.normal(0, 0.5, 400), 0, 1)
    first, second = (evaluate_probability(label, p) for p in (score, noisy))
    both = mean_evaluation([first, second])
    change = first.roc_auc - second.roc_auc
    reach = scipy.stats.t.ppf(0.975, 1) * abs(change) / 2  # sd / root 2
    for end in (0, 1):
        mean = (first.roc_auc_interval[end] + second.roc_auc_interval[end]) / 2
        far = ((mean - both.roc_auc) ** 2 + reach**2) ** 0.5
        bound = both.roc_auc + (far if end else -far)
        assert both.roc_auc_interval[end] == pytest.approx(np.clip(bound, 0, 1))


def test_best_threshold_is_the_best_of_all():
    label, score = sample(120, 1.0)

    def f1(threshold):
        predicted = score >= threshold
        hit = (predicted & (label == 1)).sum()
        return 2 * hit / (predicted.sum() + label.sum())

    assert f1(best_f1_threshold(label, score)) == max(map(f1, score))


def test_evaluate_takes_a_keras_like_model():
    class Model:
        def predict(self, features, **_):
            return features[:, :1]

    label, score = sample(40, 1.0)
    result = evaluate(Model(), np.c_[score, score], label)
    assert result == evaluate_probability(label, score)


@pytest.mark.parametrize(
    ("labels", "probability", "message"),
    [
        ([0, 0], [0.1, 0.2], "both classes"),
        ([0, 2], [0.1, 0.2], "0 and 1"),
        ([0, 1], [0.1], "`probability`"),
        ([0, 1], [0.1, np.nan], "finite"),
        ([0, 1], [0.1, 1.2], "sigmoid"),
        ([], [], "both classes"),
        ([[0, 1]], [0.1, 0.2], "`labels`"),
    ],
)
def test_bad_input_is_named(labels, probability, message):
    with pytest.raises(InputError, match=message):
        evaluate_probability(labels, probability)


def test_a_model_with_two_outputs_is_refused():
    class Model:
        def predict(self, features, **_):
            return np.ones((len(features), 2))

    with pytest.raises(InputError, match=r"one probability .* \(3, 2\)"):
        evaluate(Model(), np.ones((3, 1)), [0, 1, 1])


def test_rows_of_a_single_group_are_taken_as_independent():
    draws = np.random.default_rng(8)
    label = np.arange(120) % 2
    ours, theirs = label + draws.normal(0, 1, (2, 120))
    one = np.full(120, "us")
    assert auc_difference(label, [ours], [theirs], group=one) == (
        auc_difference(label, [ours], [theirs])
    )
