import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import tensorflow as tf

from tfimportance import InputError, importance_scores
from tfimportance.importance import (
    Attention,
    Max,
    Mean,
    ParquetColumn,
    TopM,
    compress_targets,
    reduced_similarity,
)
from tfimportance.importance.streaming import Settings, _compiled, fold_blocks
from tfimportance.importance.tiles import BLOCK, tile_targets

rng = np.random.default_rng(5)
X = (rng.standard_normal((1237, 37)) + 0.3).astype(np.float32)
T = (rng.standard_normal((211, 37)) + 0.6).astype(np.float32)
LABEL = rng.integers(0, 2, len(X))
TARGET_LABEL = (rng.random(len(T)) < 0.2).astype(int)
BOTH = {"labels": LABEL, "target_labels": TARGET_LABEL}
REDUCTIONS = ["mean", "max", "top_m", "attention"]
SLOW = [pytest.param(r, marks=pytest.mark.slow) for r in REDUCTIONS[1:]]
SOME = ["mean", *SLOW]


def close(scores, expected):
    spread = np.std(expected)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_similarity_mode(reduction):
    z = reference.argument(X, T)
    expected = [reference.reduce(row, reduction) for row in z]
    close(importance_scores(X, T, reduction=reduction, center=False), expected)


@pytest.mark.parametrize("reduction", SOME)
def test_label_signed_against_the_target(reduction):
    z = reference.argument(*reference.centered(X, T))
    expected = reference.signed(z, LABEL, TARGET_LABEL, reduction=reduction)
    settings = {"reduction": reduction, "reference": "target"}
    close(importance_scores(X, T, **BOTH, **settings), expected)


@pytest.mark.parametrize("reduction", SOME)
def test_label_signed_against_the_pool_leaves_the_own_row_out(reduction):
    z = reference.argument(*reference.centered(X, X))
    own = np.arange(len(X))
    expected = reference.signed(z, LABEL, LABEL, own, reduction=reduction)
    settings = {"reduction": reduction, "reference": "pool", "pool_size": 9999}
    close(importance_scores(X, T, **BOTH, **settings), expected)


def test_both_references_are_standardized_and_added():
    settings = BOTH | {"pool_size": 300}
    one, two = (
        np.asarray(importance_scores(X, T, reference=r, **settings))
        for r in ("target", "pool")
    )
    both = importance_scores(X, T, **settings)
    close(both, one / one.std() + two / two.std())


def test_pool_sample_is_seeded_and_balanced():
    rare = np.zeros(len(X), int)
    rare[[3, 500, 1200]] = 1
    settings = {"labels": rare, "target_labels": TARGET_LABEL}
    settings |= {"reference": "pool", "pool_size": 40}
    scores = [importance_scores(X, T, **settings, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_textbook_form_and_what_it_clips():
    settings = {"scale": 1.0, "clip": 5.0, "normalize": False}
    scores = importance_scores(X, T, **settings, center=False)
    z = reference.argument(X, T, **settings)
    close(scores, np.sinh(z).mean(axis=1))
    assert scores.clipped_fraction == pytest.approx(np.mean(np.abs(z) == 5))
    assert importance_scores(X, T).clipped_fraction == 0


def test_importance_is_an_array_that_knows_what_was_clipped():
    scores = importance_scores(X, T, normalize=False, clip=3.0)
    fraction = scores.clipped_fraction
    assert 0 < fraction < 1
    assert scores.shape == (1237,)
    assert scores.dtype == np.float32
    assert scores[5:9].clipped_fraction == fraction
    assert np.sort(scores).clipped_fraction == fraction
    for plain in (scores * 2, np.exp(scores)):
        assert type(plain) is np.ndarray
    assert np.isscalar(scores.mean())


def test_more_parameters_of_a_reduction():
    z = reference.argument(X, T)
    top = [reference.reduce(row, "top_m", m=3) for row in z]
    close(importance_scores(X, T, reduction=TopM(3), center=False), top)
    soft = [reference.reduce(row, "attention", temperature=0.2) for row in z]
    close(importance_scores(X, T, reduction=Attention(0.2), center=False), soft)


@pytest.mark.slow
def test_extremes_of_reductions_meet():
    few = T[:4]
    mean = importance_scores(X, few)
    close(importance_scores(X, few, reduction=TopM(9)), mean)
    close(importance_scores(X, few, reduction=Attention(1e6)), mean)
    nearest = importance_scores(X, few, reduction=Max())
    close(importance_scores(X, few, reduction=TopM(1)), nearest)
    close(importance_scores(X, few, reduction=Attention(1e-6)), nearest)


def test_every_source_gives_the_same_scores(tmp_path):
    expected = importance_scores(X, T, **BOTH)
    np.save(tmp_path / "x.npy", X)
    column = pa.array(list(X), pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": np.arange(len(X)), "embedding": column}),
        tmp_path / "x.parquet",
        row_group_size=500,
    )
    dataset = tf.data.Dataset.from_tensor_slices(X)
    for source in (
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        tf.constant(X),
        dataset,
        dataset.batch(100),
        ParquetColumn(tmp_path / "x.parquet", "embedding"),
    ):
        close(importance_scores(source, T, **BOTH), expected)


def test_density_ratio():
    few = X[:50]
    x, t = reference.centered(few, T)
    expected = reference.log_density_ratio(x, t, np.arange(50))
    close(importance_scores(few, T, mode="density_ratio"), expected)


def test_density_ratio_of_a_lone_sample_is_one():
    scores = importance_scores(X[:1], T, mode="density_ratio", center=False)
    assert scores.tolist() == [0]


def test_round_robin_by_hand():
    samples = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, -1], [0.5, 0.6]])
    targets = np.array([[1, 0], [0, 1], [0, 1]])
    scores = importance_scores(
        samples,
        targets,
        target_groups=["a", "b", "b"],
        reduction="round_robin",
        center=False,
    )
    # Group a picks 0, 1, 4, 2, 3; group b picks 2, 4, 1, 0, 3.
    np.testing.assert_allclose(scores, [1, 0.8, 1, 0.2, 0.8], rtol=1e-6)


def test_label_signed_round_robin():
    groups = np.arange(len(T)) % 3
    settings = {"reference": "target", "center": False}
    votes = [
        importance_scores(
            X,
            T[groups == g],
            labels=LABEL,
            target_labels=TARGET_LABEL[groups == g],
            **settings,
        )
        for g in range(3)
    ]
    turns = [np.argsort(np.argsort(-vote, kind="stable")) for vote in votes]
    scores = importance_scores(
        X,
        T,
        **BOTH,
        **settings,
        target_groups=groups,
        reduction="round_robin",
    )
    close(scores, 1 - np.min(turns, axis=0) / len(X))


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
    assert 0 < difference < 2**-8


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


@pytest.mark.parametrize(
    "labels", [{}, pytest.param(BOTH, marks=pytest.mark.slow)]
)
def test_compressed_targets_stand_for_all(labels):
    middle = rng.standard_normal((20, 8))
    targets = np.repeat(middle, 300, axis=0)
    targets = targets + 0.3 * rng.standard_normal(targets.shape)
    samples = rng.standard_normal((len(X), 8))
    target_label = rng.integers(0, 2, len(targets)) if labels else None
    labels = {"labels": LABEL} if labels else {}
    few = compress_targets(
        samples, targets, target_labels=target_label, relative_error=0.03
    )
    assert few.relative_error <= 0.03
    assert len(few) < len(targets) / 10
    exact = importance_scores(
        samples,
        targets,
        **labels,
        target_labels=target_label,
        reference="target",
    )
    near = importance_scores(samples, few, **labels, reference="target")
    assert np.max(np.abs(exact - near)) <= few.error_bound
    if not labels:
        error = np.linalg.norm(exact - near) / np.linalg.norm(exact)
        assert error == pytest.approx(few.relative_error, rel=0.3)


def test_one_centroid_for_each_target_is_exact():
    few = compress_targets(X, T, num_centroids=len(T))
    assert few.error_bound < 1e-4
    close(importance_scores(X, few), importance_scores(X, T))


def test_one_centroid_has_the_factor_worked_out_by_hand():
    samples, targets = X[:300] + 1, T + 1  # all samples are probes
    few = compress_targets(
        samples, targets, num_centroids=1, scale=6.0, center=False
    )
    v, t = reference.unit(samples), reference.unit(targets)
    middle = t.mean(axis=0)
    one, all_ = np.sinh(6 * v @ middle), np.sinh(6 * v @ t.T).mean(axis=1)
    factor = np.linalg.lstsq(one[:, None], all_)[0].item()
    assert factor > 1.05
    np.testing.assert_allclose(few.vectors, [middle, 0 * middle], atol=1e-7)
    expected = [len(T) * factor, len(T) * (1 - factor)]
    np.testing.assert_allclose(few.weight, expected, rtol=1e-5)
    error = np.linalg.norm(factor * one - all_) / np.linalg.norm(all_)
    assert few.relative_error == pytest.approx(error, rel=1e-3)


def test_factors_lower_the_error_of_clusters_at_a_large_scale():
    middle = rng.standard_normal((12, 8))
    targets = np.repeat(middle, 100, axis=0)
    targets = targets + 0.25 * rng.standard_normal(targets.shape)
    samples = rng.standard_normal((500, 8))
    settings = {"scale": 8.0, "center": False}
    few = compress_targets(samples, targets, num_centroids=12, **settings)
    near = importance_scores(samples, few, **settings)
    # The same cells, each target at its cell's middle.
    centroids = few.vectors[:-1].astype(np.float64)
    cell = np.argmax(reference.unit(targets) @ reference.unit(centroids).T, 1)
    size = np.bincount(cell, minlength=12)
    plain = np.sinh(8 * reference.unit(samples) @ centroids.T) @ size / 1200
    exact = reference.similarity(samples, targets, scale=8.0).mean(axis=1)
    without = np.linalg.norm(plain - exact)
    error = np.linalg.norm(near - exact)
    assert error < 0.6 * without


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 8.0}, "must fit compressed targets.* at scale 4"),
        ({"reduction": "max"}, "must fit compressed targets"),
        ({"normalize": False}, "must fit compressed targets"),
        ({"mode": "density_ratio"}, "must fit compressed targets"),
    ],
)
def test_compressed_targets_refuse_what_they_cannot_do(change, message):
    few = compress_targets(X, T, num_centroids=4)
    with pytest.raises(InputError, match=message):
        importance_scores(X, few, **change)


def test_compression_says_what_error_is_in_reach():
    with pytest.raises(InputError, match="`relative_error` must be reachable"):
        compress_targets(X, T, relative_error=1e-6)


ONE_CLASS = np.ones(len(T))
NAN = np.where(np.eye(1237, 37) > 0, np.nan, X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": X[0]}, r"`embeddings` must be a .*\(37,\)"),
        ({"embeddings": X[:0]}, "`embeddings` must be a non-empty"),
        ({"embeddings": X[:, :5]}, "same number of columns"),
        ({"embeddings": NAN}, "`embeddings` must be finite.* 37 NaN"),
        ({"target_embeddings": T[:0]}, "`target_embeddings` must be a non-"),
        (
            {"target_embeddings": T + np.inf},
            "`target_embeddings` must be finite",
        ),
        ({"labels": LABEL[:9]}, r"`labels` must have shape \(1237,\)"),
        ({"labels": LABEL + 1}, "`labels` must hold 0 and 1 only.* 1, 2"),
        ({"labels": LABEL * np.nan}, "`labels` must hold 0 and 1 only"),
        ({"target_labels": ONE_CLASS}, "`target_labels` must hold both.*all 1"),
        ({"target_labels": LABEL}, r"`target_labels` must have shape \(211,"),
        ({"mode": "label-signed"}, "Did you mean 'label_signed'"),
        ({"reference": "targets"}, "Did you mean 'target'"),
        ({"reduction": "median"}, "`reduction` must be one of 'mean'"),
        ({"clip": 84.0}, r"`clip` must be .* at most 80\.\d+. Received: clip"),
        ({"scale": -1.0}, "`scale` must be"),
        ({"pool_size": 1}, "`pool_size` must be"),
        ({"mode": "similarity", "reference": "pool"}, "`reference` must be"),
        ({"product": "float16"}, "Did you mean 'bfloat16'"),
        ({"reduction": "round_robin"}, "`target_groups` and reduction="),
        ({"mode": "density_ratio", "reduction": "max"}, "`reduction` must be"),
    ],
)
def test_bad_input_names_argument_value_and_mend(change, message):
    given = {"embeddings": X, "target_embeddings": T, **BOTH} | change
    with np.errstate(all="ignore"), pytest.raises(InputError, match=message):
        importance_scores(**given)


def test_label_signed_needs_labels():
    with pytest.raises(InputError, match="`target_labels` must be given"):
        importance_scores(X, T, labels=LABEL, mode="label_signed")
