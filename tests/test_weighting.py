import numpy as np
import pytest

from tfimportance import InputError
from tfimportance.weighting import (
    effective_sample_size,
    raise_effective_size,
    to_sample_weight,
)

rng = np.random.default_rng(7)
SCORES = rng.gamma(0.7, 3.0, 1013) - 2.0


def kish(weight):
    weight = np.asarray(weight, np.float64)
    return weight.sum() ** 2 / (weight**2).sum()


def test_effective_sample_size_by_hand():
    assert effective_sample_size(np.full(9, 3.0)) == pytest.approx(9)
    assert effective_sample_size([0, 0, 7, 0]) == pytest.approx(1)
    assert effective_sample_size([1, 2, 3]) == pytest.approx(36 / 14)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_effective_sample_size_neither_over_nor_underflows(size):
    assert effective_sample_size([size, 2 * size]) == pytest.approx(9 / 5)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.6, 0.85, 0.999])
def test_tempering_reaches_the_requested_effective_fraction(fraction):
    weight = to_sample_weight(SCORES, effective_fraction=fraction)
    assert kish(weight) / len(SCORES) == pytest.approx(fraction, abs=1e-5)
    assert np.mean(weight, dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert weight.dtype == np.float32


def test_weights_are_exponential_in_the_score():
    weight = np.asarray(to_sample_weight(SCORES, effective_fraction=0.6))
    slope = np.diff(np.log(weight.astype(np.float64))) / np.diff(SCORES)
    assert slope == pytest.approx(slope[0], rel=1e-3)
    assert slope[0] > 0


def test_two_scores_by_hand():
    # w = (1 + x, 1 - x): effective fraction 1 / (1 + x^2) = 0.8 at x = 0.5
    weight = to_sample_weight([10.0, -3.0], effective_fraction=0.8)
    assert np.asarray(weight) == pytest.approx([1.5, 0.5], rel=1e-5)


def test_scale_and_offset_of_the_scores_do_not_matter():
    plain = to_sample_weight(SCORES, effective_fraction=0.5)
    moved = to_sample_weight(1e-7 * SCORES + 3e-6, effective_fraction=0.5)
    assert np.asarray(moved) == pytest.approx(np.asarray(plain), rel=1e-4)


@pytest.mark.parametrize("size", [1e-300, 1e200, 1.7e308])
def test_scores_of_any_size_give_the_same_weights(size):
    score = np.array([1.0, -1.0, 0.0, 0.5])
    expected = to_sample_weight(score, effective_fraction=0.7)
    found = to_sample_weight(size * score, effective_fraction=0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_scores_that_differ_by_rounding_alone_are_equal():
    score = np.full(9, 0.3)
    score[3:6] = 0.1 + 0.2  # 0.30000000000000004
    assert len(np.unique(score)) == 2
    weight = to_sample_weight(score, effective_fraction=0.5)
    assert weight.tolist() == [1] * 9


def test_equal_scores_and_fraction_one_give_uniform_weights():
    assert (to_sample_weight(np.full(5, 0.1)) == 1).all()
    everything = to_sample_weight(SCORES, effective_fraction=1.0)
    assert np.asarray(everything) == pytest.approx(1, abs=1e-4)


def test_more_ties_at_the_top_than_asked_for_share_all_weight():
    scores = np.array([5.0, 5.0, 1.0, 0.0])
    weight = to_sample_weight(scores, effective_fraction=0.25)
    assert np.asarray(weight) == pytest.approx([2, 2, 0, 0], abs=1e-6)


def test_an_outlier_cannot_take_all_weight():
    scores = np.append(SCORES, 1e9)
    weight = to_sample_weight(scores, effective_fraction=0.6)
    assert kish(weight) / len(scores) == pytest.approx(0.6, abs=1e-4)


def test_within_labels_each_class_keeps_its_share():
    labels = (np.arange(1013) % 5 == 0).astype(float)
    scores = SCORES + 10 * labels
    weight = np.asarray(
        to_sample_weight(scores, effective_fraction=0.7, labels=labels)
    )
    for value in (0, 1):
        part = weight[labels == value]
        assert part.mean() == pytest.approx(1, abs=1e-5)
        assert kish(part) / len(part) == pytest.approx(0.7, abs=1e-4)


def test_the_result_describes_itself():
    weight = to_sample_weight([3.0, 1.0, 0.0, 0.5], effective_fraction=0.6)
    share = np.asarray(weight, np.float64) / 4
    assert weight.effective_sample_size == pytest.approx(2.4, rel=1e-4)
    assert weight.effective_fraction == pytest.approx(0.6, rel=1e-4)
    assert weight.largest_share == pytest.approx(share.max(), rel=1e-5)
    entropy = -(share * np.log(share)).sum()
    assert weight.perplexity == pytest.approx(np.exp(entropy), rel=1e-5)


def test_clipping_is_carried_and_arithmetic_gives_plain_arrays():
    class Scores(np.ndarray):
        clipped_fraction = 0.25

    weight = to_sample_weight(SCORES.view(Scores))
    assert weight.clipped_fraction == 0.25
    assert weight[:10].clipped_fraction == 0.25
    assert type(weight * 2) is np.ndarray
    assert isinstance(weight.sum(), np.floating)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"importance": []}, "`importance`"),
        ({"importance": [[1.0]]}, "`importance`"),
        ({"importance": [1.0, np.nan]}, "`importance` must be finite"),
        (
            {"importance": [1.0], "effective_fraction": 0},
            "effective_fraction=0",
        ),
        ({"importance": [1.0], "effective_fraction": 1.5}, "at most 1"),
        ({"importance": [1.0, 2.0], "labels": [1]}, "`labels`"),
        ({"importance": [1.0, 2.0], "labels": [1, 2]}, "0 and 1"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        to_sample_weight(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [np.inf]])
def test_effective_sample_size_of_impossible_weights(weights):
    with pytest.raises(InputError, match="`sample_weight`"):
        effective_sample_size(weights)


def test_weights_are_brought_together_as_far_as_is_needed():
    weight = np.array([0.0, 0.1, 0.4, 2.0, 9.0])
    raised = raise_effective_size(weight, 2.5)
    gamma = np.log(raised[4] / raised[3]) / np.log(9 / 2)
    assert 0 < gamma < 1
    assert raised[1:] / raised[1] == pytest.approx((weight[1:] / 0.1) ** gamma)
    assert raised[0] == 0
    assert raised.sum() == pytest.approx(11.5)
    assert raised.sum() ** 2 / (raised**2).sum() == pytest.approx(2.5)
    assert raise_effective_size(weight, 1.2) == pytest.approx(weight)
    assert raise_effective_size(weight, 4) == pytest.approx(
        [0, *[11.5 / 4] * 4], rel=1e-4
    )
