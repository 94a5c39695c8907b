import numpy as np
import pytest
import reference

from tfimportance import InputError, importance_scores
from tfimportance.importance import compress_targets

rng = np.random.default_rng(5)
X = (rng.standard_normal((1237, 37)) + 0.3).astype(np.float32)
T = (rng.standard_normal((211, 37)) + 0.6).astype(np.float32)
LABEL = rng.integers(0, 2, len(X))


def close(scores, expected):
    spread = np.std(expected)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize(
    "labels", [{}, pytest.param({"labels": LABEL}, marks=pytest.mark.slow)]
)
def test_compressed_targets_stand_for_all(labels):
    middle = rng.standard_normal((20, 8))
    targets = np.repeat(middle, 300, axis=0)
    targets = targets + 0.3 * rng.standard_normal(targets.shape)
    samples = rng.standard_normal((len(X), 8))
    target_label = rng.integers(0, 2, len(targets)) if labels else None
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
    own = np.random.default_rng(0)
    middle = own.standard_normal((12, 8))
    targets = np.repeat(middle, 100, axis=0)
    targets = targets + 0.25 * own.standard_normal(targets.shape)
    samples = own.standard_normal((500, 8))
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
    assert error < 0.8 * without


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 8.0}, "must fit compressed targets.* at scale 4"),
        ({"reduction": "max"}, "must fit compressed targets"),
        ({"normalize": False}, "must fit compressed targets"),
        ({"mode": "density_ratio"}, "must fit compressed targets"),
        ({"clip": 2.0}, "`clip` must be at least the scale 4"),
        ({"center": False}, "`center` must be True"),
        ({"target_labels": LABEL[:211]}, "`target_labels` must be left out"),
        ({"embeddings": X[:, :5]}, "same number of columns"),
    ],
)
def test_compressed_targets_refuse_what_they_cannot_do(change, message):
    few = compress_targets(X, T, num_centroids=4)
    with pytest.raises(InputError, match=message):
        importance_scores(
            **{"embeddings": X, "target_embeddings": few, **change}
        )


def test_compression_says_what_error_is_in_reach():
    with pytest.raises(InputError, match="`relative_error` must be reachable"):
        compress_targets(X, T, relative_error=1e-6)
    with pytest.raises(InputError, match="`num_centroids` must be an integer"):
        compress_targets(X, T, num_centroids=0, relative_error=0.1)
