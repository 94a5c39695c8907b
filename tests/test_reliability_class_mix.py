"""A pool whose class mix is not that of the target, and wrong labels."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from tfimportance.reliability import label_reliability, noise
from tfimportance.reliability.noise import class_shift, flip_rates


def mixed(rows, share, seed, margin=1.0):
    """Normal rows of both classes, a share of them of class 1."""
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < share).astype(int)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    x[:, 0] += margin * (2 * label - 1)
    return x, label


def flipped(label, rates, seed):
    wrong = np.random.default_rng(seed).random(len(label)) < np.where(
        label == 1, rates[1], rates[0]
    )
    return np.where(wrong, 1 - label, label), wrong


def drawn(rows, shift, rates, seed=0):
    """Opinions off by a shift, and labels some of which are turned."""
    rng = np.random.default_rng(seed)
    positive = np.clip(rng.beta(0.4, 0.4, rows), 1e-4, 1 - 1e-4)
    truth = rng.random(rows) < expit(logit(positive) + shift)
    return positive, flipped(truth.astype(int), rates, seed + 1)[0]


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.2, 0.2), (0.0, 0.3)])
@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.5])
def test_the_shift_that_made_the_labels_is_found_in_spite_of_flips(
    shift, rates
):
    found = class_shift(*drawn(40_000, shift, rates))
    assert found == pytest.approx(shift, abs=0.25)


def test_the_shift_maximises_the_posterior():
    """Against a search that knows nothing of expectation maximisation."""
    positive, label = drawn(4_000, 1.0, (0.1, 0.2), seed=5)

    def loss(at):
        false, missed = expit(at[:2])
        moved = expit(logit(positive) + at[2])
        seen = moved * (1 - missed) + (1 - moved) * false
        right = moved * np.where(label == 1, 1 - missed, missed)
        ones = np.sum(right / np.where(label == 1, seen, 1 - seen))
        likelihood = np.sum(np.log(np.where(label == 1, seen, 1 - seen)))
        prior = (4_000 - held) * np.log(1 - false) + held * np.log(1 - missed)
        return -likelihood - 0.02 * prior + 4 * at[2] ** 2 / 2, ones

    held, best = 2_000.0, np.array([-2.0, -2.0, 0.0])
    for _ in range(20):  # the prior counts the true classes, once known
        best = minimize(lambda at: loss(at)[0], best, tol=1e-10).x
        held = loss(best)[1]
    assert class_shift(positive, label) == pytest.approx(best[2], abs=1e-3)


@pytest.mark.parametrize(("pool", "target"), [(0.1, 0.5), (0.8, 0.4)])
def test_right_labels_of_another_mix_are_right(pool, target):
    x, y = mixed(1_500, pool, 1)
    asked, asked_label = mixed(300, target, 2)
    found = label_reliability(x, asked, labels=y, target_labels=asked_label)
    assert max(found.flip_rate) < 0.05
    assert np.mean(found.probability < 0.5) < 0.002
    expected = logit(y.mean()) - logit(asked_label.mean())
    assert found.class_shift == pytest.approx(expected, abs=0.6)


def test_wrong_labels_of_another_mix_are_found():
    x, right = mixed(1_500, 0.1, 3)
    y, wrong = flipped(right, (0.2, 0.2), 4)
    asked, asked_label = mixed(300, 0.5, 5)
    found = label_reliability(x, asked, labels=y, target_labels=asked_label)
    assert found.flip_rate[0] == pytest.approx(0.2, abs=0.05)
    assert roc_auc_score(wrong, -found.probability) > 0.95
    assert np.mean((found.probability - ~wrong) ** 2) < 0.06
    # By Bayes, of plausibility that speaks of the target, not of the pool.
    odds = logit(found.plausibility)
    odds += np.where(y == 1, 1, -1) * found.class_shift
    false, missed = found.flip_rate
    kept = expit(odds) * np.where(y == 1, 1 - missed, 1 - false)
    turned = expit(-odds) * np.where(y == 1, false, missed)
    np.testing.assert_allclose(found.probability, kept / (kept + turned))


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.2, 0.2), (0.0, 0.2)])
def test_wrong_labels_of_the_same_mix_are_no_shift(rates):
    """They change the mix of the labels, not that of the true classes."""
    x, right = mixed(1_500, 0.7, 6)
    y, _ = flipped(right, rates, 7)
    asked, asked_label = mixed(300, 0.7, 8)
    found = label_reliability(x, asked, labels=y, target_labels=asked_label)
    assert found.class_shift == 0
    assert found.flip_rate == pytest.approx(rates, abs=0.1)


def test_a_shift_that_chance_explains_is_none():
    """The same difference, of as few targets as would often show it."""
    x, y = mixed(1_500, 0.35, 9)
    many, few = (
        label_reliability(x, *asked[:1], labels=y, target_labels=asked[1])
        for asked in (mixed(600, 0.5, 10), mixed(40, 0.5, 10))
    )
    assert many.class_shift < -0.3
    assert few.class_shift == 0


def test_flip_rates_stop_where_300_steps_would_lead(monkeypatch):
    positive, label = drawn(5_000, 0.0, (0.3, 0.1))
    honest, steps = noise.true_label, []

    def counted(*given):
        steps.append(given)
        return honest(*given)

    monkeypatch.setattr(noise, "true_label", counted)
    found = flip_rates(positive, label)
    assert len(steps) < 150
    false, missed = 0.1, 0.1
    for _ in range(300):
        one = positive * np.where(label == 1, 1 - missed, missed)
        zero = (1 - positive) * np.where(label == 1, false, 1 - false)
        truth = one / (one + zero)
        false = (1 - truth)[label == 1].sum() / (1.02 * (1 - truth).sum())
        missed = truth[label == 0].sum() / (1.02 * truth.sum())
    assert found == pytest.approx((false, missed), abs=1e-8)
