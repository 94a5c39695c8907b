"""Digits: of sums, extremes, tiles, orders, threads and gradients."""

import subprocess
import sys

import numpy as np
import pytest
import reference
import tensorflow as tf

from tfimportance import InputError, importance_scores
from tfimportance.importance import (
    Attention,
    Max,
    Mean,
    TopM,
    reduced_similarity,
    streaming,
)
from tfimportance.importance.settings import Settings
from tfimportance.importance.streaming import _compiled, fold_blocks
from tfimportance.importance.tiles import BLOCK, tile_targets

rng = np.random.default_rng(5)
X = (rng.standard_normal((1237, 37)) + 0.3).astype(np.float32)
T = (rng.standard_normal((211, 37)) + 0.6).astype(np.float32)
LABEL = rng.integers(0, 2, len(X))
TARGET_LABEL = (rng.random(len(T)) < 0.2).astype(int)
BOTH = {"labels": LABEL, "target_labels": TARGET_LABEL}


def close(scores, expected):
    spread = np.std(expected)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize(
    "number",
    [1, 1000, 100_003, pytest.param(1_000_003, marks=pytest.mark.slow)],
)
def test_the_mean_does_not_drift_with_the_number_of_targets(number):
    targets = rng.standard_normal((number, 6)).astype(np.float32) + 1
    targets[number // 3 :] = targets[0]  # one rounding, again and again
    samples = rng.standard_normal((16, 6)).astype(np.float32) + 1
    scores = importance_scores(samples, targets, center=False)
    terms = reference.similarity(samples, targets)
    error = np.abs(scores - terms.mean(axis=1))
    assert np.max(error / np.abs(terms).mean(axis=1)) < 1e-6


def test_equal_settings_give_equal_bits_and_order_hardly_matters():
    scores = importance_scores(X, T, **BOTH)
    np.testing.assert_array_equal(scores, importance_scores(X, T, **BOTH))
    order = rng.permutation(len(T))
    shuffled = BOTH | {"target_labels": TARGET_LABEL[order]}
    close(importance_scores(X, T[order], **shuffled), scores)


@pytest.mark.parametrize("reduction", [Mean(), Max(), TopM(3), Attention(0.5)])
def test_many_small_tiles_and_groups_give_the_same_values(reduction):
    group = np.arange(len(T)) % 2
    settings = Settings(4.0, 20.0, normalize=True)
    targets = tile_targets(4 * reference.unit(T), group=group, tile=32)
    assert targets.vectors.shape == (8, 32, 37)
    values, clipped = fold_blocks(
        [X[:70], X[70:99]],
        targets,
        reduction,
        settings,
        np.zeros(37),
        num_samples=99,
        tile=64,
    )
    name = {Mean: "mean", Max: "max", TopM: "top_m", Attention: "attention"}
    options = {"m": 3, "temperature": 0.5}
    z = reference.argument(X[:99], T)
    for g in range(2):
        expected = [
            reference.reduce(row, name[type(reduction)], **options)
            for row in z[:, group == g]
        ]
        close(values[:, g], expected)
    assert clipped == 0


def test_lengths_of_all_sizes_and_zero_vectors():
    size = np.float32(10.0 ** np.linspace(-30, 30, len(X)))[:, None]
    size[7] = 0
    scores = importance_scores(X * size, T * np.float32(1e30), center=False)
    assert scores[7] == 0
    assert importance_scores(X, 0 * T, center=False).tolist() == [0] * len(X)
    expected = reference.similarity(X, T).mean(axis=1)
    close(np.delete(scores, 7), np.delete(expected, 7))


def test_tiny_arguments_keep_their_digits():
    scores = importance_scores(X, T, scale=1e-6, center=False)
    cosine = reference.unit(X) @ reference.unit(T).T
    error = np.abs(scores / 1e-6 - cosine.mean(axis=1))
    assert np.max(error / np.abs(cosine).mean(axis=1)) < 1e-6


def test_the_largest_allowed_clip_does_not_overflow():
    ones = np.full((1000, 4), 1e4, np.float32)
    settings = {"normalize": False, "center": False}
    largest = 88 - np.log(1000)
    scores = importance_scores(ones[:2], ones, clip=largest, **settings)
    np.testing.assert_allclose(scores, np.sinh(largest), rtol=2e-5)
    assert scores.clipped_fraction == 1
    with pytest.raises(InputError, match=r"`clip` must be .*at most 81\.09"):
        importance_scores(ones[:2], ones, clip=81.1, **settings)


@pytest.mark.parametrize("number", [1, 5, 8, 211, 1024])
def test_sums_in_strips_are_sums(number):
    z = rng.uniform(-4, 4, (number, 3)).astype(np.float32)
    weight = rng.uniform(0, 2, (number, 1)).astype(np.float32)
    state = Mean().update(Mean().start(3), z, weight, tf.sinh)
    z, weight = z.astype(np.float64), weight.astype(np.float64)
    size = (weight * np.abs(np.sinh(z))).sum(axis=0)
    error = np.abs(state[0] - (weight * np.sinh(z)).sum(axis=0))
    assert np.max(error / size) < 1e-6
    np.testing.assert_allclose(state[1], weight.sum(), rtol=1e-6)


@pytest.mark.parametrize("tiles", [(32, 1), (96, 130), (224, 1040)])
def test_any_tile_gives_the_same_mean(tiles):
    values, _ = fold_blocks(
        [X[:130]],
        tile_targets(4 * reference.unit(T), tile=tiles[0]),
        Mean(),
        Settings(4.0, 20.0, normalize=True),
        np.zeros(37),
        num_samples=130,
        tile=tiles[1],
    )
    terms = reference.similarity(X[:130], T)
    error = np.abs(values[:, 0] - terms.mean(axis=1))
    assert np.max(error / np.abs(terms).mean(axis=1)) < 1e-6


def test_one_xla_program_as_for_accelerators_gives_the_same(monkeypatch):
    settings = BOTH | {"pool_size": 300, "normalize": False, "clip": 3.0}
    parts = importance_scores(X, T, **settings)

    asked = []

    def whole(fold, block_shape, tiles_shape, whole):
        asked.append(whole)
        return _compiled(fold, block_shape, tiles_shape, True)

    monkeypatch.setattr(streaming, "_compiled", whole)
    scores = importance_scores(X, T, **settings)
    assert asked == [False]  # on a CPU oneDNN multiplies
    close(scores, parts)
    assert scores.clipped_fraction == parts.clipped_fraction > 0


ONE_THREAD = """
import sys
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
from tfimportance import importance_scores
arrays = np.load(sys.argv[1])
np.save(sys.argv[2], importance_scores(**arrays))
"""


@pytest.mark.slow
def test_the_number_of_threads_hardly_matters(tmp_path):
    given = {"embeddings": X, "target_embeddings": T, **BOTH}
    np.savez(tmp_path / "given.npz", **given)
    files = [tmp_path / "given.npz", tmp_path / "scores.npy"]
    subprocess.run([sys.executable, "-c", ONE_THREAD, *files], check=True)
    close(np.load(files[1]), importance_scores(**given))


def test_ragged_ends_do_not_compile_again():
    samples = rng.standard_normal((BLOCK + 1200, 37)).astype(np.float32)
    importance_scores(samples[:1], T)
    before = _compiled.cache_info().misses
    for number in (1045, 2081, BLOCK, len(samples)):
        scores = importance_scores(samples[:number], T, center=False)
        expected = reference.similarity(samples[:number], T).mean(axis=1)
        close(scores, expected)
    importance_scores(samples[:1200], T[:195])
    assert _compiled.cache_info().misses == before


def test_bfloat16_products_move_a_cosine_by_no_more_than_stated():
    exact = importance_scores(X, T[:1])
    rounded = importance_scores(X, T[:1], product="bfloat16")
    cosines = np.arcsinh(exact) / 4, np.arcsinh(rounded) / 4
    difference = np.abs(cosines[0] - cosines[1]).max()
    assert 0 < difference < 2**-7


@pytest.mark.parametrize(
    ("reduction", "textbook"),
    [
        ("mean", True),
        (Attention(0.5), False),
        pytest.param("mean", False, marks=pytest.mark.slow),
        pytest.param("max", False, marks=pytest.mark.slow),
        pytest.param(TopM(3), True, marks=pytest.mark.slow),
    ],
)
def test_gradient_agrees_with_finite_differences(reduction, textbook):
    settings = {"scale": 1.0, "clip": 1.5, "normalize": False}
    settings = settings if textbook else {}
    v, t = rng.standard_normal((7, 5)), rng.standard_normal((13, 5))
    dv, dt = rng.standard_normal((7, 5)), rng.standard_normal((13, 5))

    def total(step):
        s = reduced_similarity(
            v + step * dv, t + step * dt, reduction=reduction, **settings
        )
        return float(tf.reduce_sum(s * np.arange(1.0, 8)))

    @tf.function
    def gradients(v, t):
        with tf.GradientTape() as tape:
            tape.watch([v, t])
            s = reduced_similarity(
                v, t, reduction=reduction, tile=4, **settings
            )
            loss = tf.reduce_sum(s * np.arange(1.0, 8))
        return tape.gradient(loss, [v, t])

    for_v, for_t = gradients(tf.constant(v), tf.constant(t))
    slope = np.sum(for_v * dv) + np.sum(for_t * dt)
    finite = (total(1e-6) - total(-1e-6)) / 2e-6
    assert slope == pytest.approx(finite, rel=1e-6)


def test_gradient_is_finite_for_zero_and_clipped_vectors():
    v = tf.constant(np.vstack([np.zeros(5), np.full(5, 1e4), np.eye(5)]))
    with tf.GradientTape() as tape:
        tape.watch(v)
        s = reduced_similarity(v, v, normalize=False)
    assert np.isfinite(tape.gradient(s, v)).all()
