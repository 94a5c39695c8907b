import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import tensorflow as tf

from tfimportance import InputError, importance_scores
from tfimportance.importance import Attention, Max, ParquetColumn, TopM
from tfimportance.importance.sources import read_all
from tfimportance.importance.tiles import BLOCK

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


def test_own_votes_do_not_count_as_clipped():
    settings = {"reference": "pool", "pool_size": 9999, "center": False}
    scores = importance_scores(
        X, T, **BOTH, **settings, normalize=False, clip=60.0
    )
    z = reference.argument(X, X, clip=60.0, normalize=False)
    beyond = np.abs(z) == 60
    assert np.diag(beyond).any()
    np.fill_diagonal(beyond, False)
    voters = len(T) + len(X)
    clipped = scores.clipped_fraction * len(X) * voters
    z = reference.argument(X, T, clip=60.0, normalize=False)
    assert round(clipped) == beyond.sum() + np.sum(np.abs(z) == 60)


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


def test_all_rows_of_every_source_are_one_matrix_of_its_own(tmp_path):
    rows = np.arange(27_000.0).reshape(9000, 3)  # more than two blocks
    column = pa.array(list(rows), pa.list_(pa.float64()))
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"e": column}), path, row_group_size=5000)
    np.save(tmp_path / "x.npy", rows.astype(np.float32))
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    for source in (
        ParquetColumn(path, "e"),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        dataset,
        dataset.batch(700).filter(lambda part: True),  # of unknown length
        rows.astype(np.float32),
        rows.tolist(),
    ):
        found = read_all("x", source)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rows)
        assert not np.shares_memory(found, source)


def test_rows_that_are_no_matrix_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    lists = [[1.0, 2]] * BLOCK + [[3.0]] * BLOCK
    for values, message in (
        (lists, "one length"),
        ([], "non-empty"),
        ([[1.0, np.nan]], "`x` must be finite"),
    ):
        column = pa.array(values, pa.list_(pa.float32()))
        pq.write_table(pa.table({"e": column}), path, row_group_size=5000)
        with pytest.raises(InputError, match=message):
            read_all("x", ParquetColumn(path, "e"))


@pytest.mark.parametrize(
    "later",
    [X[::-1], X[:-1], np.vstack([X, X[:1]])],
    ids=["order", "fewer", "more"],
)
@pytest.mark.parametrize("labels", [{}, BOTH], ids=["blind", "signed"])
def test_rows_that_change_between_reads_are_refused(later, labels):
    reads = iter([X, later, later])
    dataset = tf.data.Dataset.from_generator(
        lambda: next(reads), output_signature=tf.TensorSpec(37, tf.float32)
    )
    with pytest.raises(InputError, match="same rows in the same order"):
        importance_scores(dataset, T, **labels, pool_size=9999)


def test_sources_without_vectors_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": [1, 2], "words": [["a"], ["b"]]}), path)
    for column in ("id", "words"):
        with pytest.raises(InputError, match="`column` must hold lists of nu"):
            ParquetColumn(path, column)
    named = tf.data.Dataset.from_tensor_slices({"x": X})
    with pytest.raises(InputError, match=r"`embeddings` .* of vectors"):
        importance_scores(named, T)
    endless = tf.data.Dataset.from_tensor_slices(X).repeat()
    with pytest.raises(InputError, match="`embeddings` must end"):
        importance_scores(endless, T)


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
        (
            {"labels": [None, *LABEL[1:].tolist()]},
            "`labels` must hold 0 and 1 only.* 0, 1, None",
        ),
        ({"scale": np.inf}, "`scale` must be a number above 0 and finite"),
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
