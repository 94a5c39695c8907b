from dataclasses import replace

import numpy as np
import pytest
import reference

from tfimportance._checks import InputError
from tfimportance.allocation import Epoch, allocation_of
from tfimportance.reliability import choose_weights
from tfimportance.reliability.learners import folds
from tfimportance.strategies import (
    COMPARED,
    STRATEGIES,
    Material,
    Recipe,
    check_strategy,
    recipe,
)

rng = np.random.default_rng(0)
POOL = rng.normal(size=(160, 6)).astype(np.float32) + 0.3
TARGET = rng.normal(size=(40, 6)).astype(np.float32)
LABEL = (POOL[:, 0] + rng.normal(size=160) > 0.5).astype(int)
TARGET_LABEL = (TARGET[:, 0] > 0).astype(int)
MATERIAL = Material(POOL, LABEL, TARGET, TARGET_LABEL, seed=4)
FITTED = 0.02  # two solvers of one regression agree to this


def tempered(score, fraction=0.6):
    """Weights exp(beta * score) of mean 1 worth this share of the rows."""
    score = np.asarray(score, np.float64)
    low, high = 0.0, 1e4
    for _ in range(200):
        beta = (low + high) / 2
        weight = np.exp(beta * (score - score.max()))
        kish = weight.sum() ** 2 / (weight**2).sum() / len(weight)
        low, high = (beta, high) if kish > fraction else (low, beta)
    return weight / weight.mean()


def same_weights(made, score, rtol=2e-3):
    found = np.asarray(made.sample_weight, np.float64)
    np.testing.assert_allclose(found, tempered(score), rtol=rtol, atol=2e-3)
    assert (made.allocation, made.rows) == ("weight", "pool")


def centered():
    return reference.centered(np.float64(POOL), np.float64(TARGET))


def signed_by(name):
    """The mean sinh with voters of the same label, less that with others."""
    x, t = centered()
    if name == "target":
        z = reference.argument(x, t)
        return reference.signed(z, LABEL, TARGET_LABEL, reduction="mean")
    z = reference.argument(x, x)
    return reference.signed(
        z, LABEL, LABEL, own=np.arange(160), reduction="mean"
    )


def log_probability():
    """Of the own label, by models of the other folds."""
    odds, _ = reference.out_of_fold(POOL, LABEL, folds(LABEL, None, 4), 4)
    return -np.log1p(np.exp(np.where(LABEL == 1, -odds, odds)))


def test_uniform_and_target_only_ask_for_no_weights():
    assert recipe("uniform", MATERIAL) == Recipe(None, "weight", "pool")
    assert recipe("target_only", MATERIAL) == Recipe(None, "weight", "target")


def test_a_random_half_is_half_of_each_class():
    made = recipe("random_half", MATERIAL)
    first, second = rows_of(made, LABEL), rows_of(made, LABEL, epoch=1)
    for label in (0, 1):
        here = np.flatnonzero(label == LABEL)
        assert abs(len(np.intersect1d(first, here)) - len(here) / 2) <= 0.5
    assert set(first) == set(second)  # one half for the whole training
    assert abs(POOL[first].mean() - POOL.mean()) < 0.15
    assert set(rows_of(recipe("random_half", MATERIAL), LABEL)) == set(first)
    other = recipe("random_half", replace(MATERIAL, seed=5))
    assert set(rows_of(other, LABEL)) != set(first)


def rows_of(made, label, epoch=0):
    """Numbers of the rows that come in an epoch of training."""
    weight = np.asarray(made.sample_weight, np.float64)
    rows = np.arange(len(label))
    generator = np.random.default_rng([epoch, 1])
    plan = Epoch(epoch, generator, label, weight / weight.mean(), rows=rows)
    return allocation_of(made.allocation).plan(plan).rows


def test_similarity_is_tempered_sinh_similarity():
    x, t = centered()
    score = reference.similarity(x, t).mean(axis=1)
    same_weights(recipe("similarity", MATERIAL), score)


@pytest.mark.parametrize("reference", ["target", "pool"])
def test_label_signed_is_tempered_agreement(reference):
    made = recipe(f"label_signed_{reference}", MATERIAL)
    same_weights(made, signed_by(reference))


def test_label_signed_adds_both_standardised():
    same_weights(recipe("label_signed", MATERIAL), signed_by_both())


def signed_by_both():
    one, two = signed_by("target"), signed_by("pool")
    return one / one.std() + two / two.std()


def test_small_loss_is_the_log_probability_of_the_own_label():
    same_weights(recipe("small_loss", MATERIAL), log_probability(), FITTED)


def test_combined_is_the_sum_of_both_standardised():
    signed, likely = signed_by_both(), log_probability()
    score = signed / signed.std() + likely / likely.std()
    same_weights(recipe("combined", MATERIAL), score, FITTED)


def test_auto_is_what_the_target_speaks_for():
    groups = np.arange(160) // 4, np.arange(40) // 4
    made = recipe(
        "auto", replace(MATERIAL, group=groups[0], target_group=groups[1])
    )
    expected = choose_weights(
        POOL,
        TARGET,
        labels=LABEL,
        target_labels=TARGET_LABEL,
        group=groups[0],
        target_group=groups[1],
        seed=4,
    )
    np.testing.assert_array_equal(made.sample_weight, expected.sample_weight)
    np.testing.assert_allclose(
        made.score, np.log(made.sample_weight), atol=1e-6
    )
    assert made.choice.candidates == expected.candidates
    without = recipe("auto", MATERIAL)
    assert not np.array_equal(without.sample_weight, made.sample_weight)


def test_an_allocation_follows_the_colon():
    made = recipe("similarity:repeat", MATERIAL)
    plain = recipe("similarity", MATERIAL)
    assert (plain.allocation, made.allocation) == ("weight", "repeat")
    np.testing.assert_array_equal(made.sample_weight, plain.sample_weight)


def test_a_known_recipe_is_not_made_again():
    mine = Recipe(np.ones(160), score=np.zeros(160))
    assert recipe("scores", MATERIAL, {"scores": mine}) is mine
    assert recipe("auto", MATERIAL, {"auto": mine}) is mine
    made = recipe("auto:top_k", MATERIAL, {"auto": mine})
    assert made == replace(mine, allocation="top_k")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("similarty", "`strategy`.*Did you mean 'similarity'"),
        ("scores", "`strategy`"),
        ("", "`strategy`"),
        ("auto:repaet", "repeat"),
        ("auto:", "allocation"),
        ("outo:repeat", "Did you mean 'auto'"),
        (None, "`strategy`"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        check_strategy(name)


def test_all_that_is_compared_by_default_exists_and_is_told_apart():
    for name in COMPARED:
        check_strategy(name)
    assert len(set(COMPARED)) == len(COMPARED)
    assert not {"uniform", "auto"} & set(COMPARED)  # a run has both anyway
    assert {name.partition(":")[0] for name in COMPARED} == (
        set(STRATEGIES) - {"uniform"}
    )


def test_shown_weights_have_mean_1():
    made = Recipe(np.array([1.0, 2.0, 3.0]), score=np.array([5.0, 6.0, 7.0]))
    score, weight = made.shown(3)
    np.testing.assert_array_equal(score, [5, 6, 7])
    np.testing.assert_array_equal(weight, np.float32([0.5, 1, 1.5]))
    score, weight = recipe("uniform", MATERIAL).shown(160)
    np.testing.assert_array_equal(score, np.zeros(160))
    np.testing.assert_array_equal(weight, np.ones(160))
    assert (weight.effective_fraction, weight.clipped_fraction) == (1, 0)
