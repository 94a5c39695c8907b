"""Pools of more rows than are looked at, shuffled and of unequal classes."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from tfimportance.reliability import (
    choice as choosing,
    choose_weights,
    learners,
    opinions,
)
from tfimportance.reliability.labels import judge, open_opinions

LIMIT = 60
RARE = 40  # of 300 rows: more than half the limit, so that it too is cut
SETTINGS = {
    "group": None,
    "target_group": None,
    "scale": 4.0,
    "pool_size": LIMIT,
    "seed": 0,
}


def made(seed, rows=300, rare=RARE):
    """Shuffled rows, the rare class told by the sign of the first column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    label = rng.permutation(rows) < rare
    x[:, 0] = np.where(label, 1, -1) * (0.1 + np.abs(x[:, 0]))
    return x, label.astype(int)


def is_spread(rows, of=300):
    """Whether rows come from both halves, about as many from each."""
    return 0.25 < np.mean(np.asarray(rows) < of / 2) < 0.75


@pytest.mark.parametrize(("rare", "kept"), [(RARE, 30), (12, 12)])
def test_some_rows_are_half_of_each_class_at_most_from_everywhere(rare, kept):
    _, label = made(0, rare=rare)
    rows = learners.some(label, np.random.default_rng(0), LIMIT)
    assert np.bincount(label[rows]).tolist() == [30, kept]
    assert (np.diff(rows) > 0).all()
    assert is_spread(rows)


def test_as_many_rows_as_the_limit_are_all_taken():
    _, label = made(0)
    rows = learners.some(label, np.random.default_rng(0), 300)
    assert rows.tolist() == list(range(300))


@pytest.mark.parametrize(
    ("learner", "limit"),
    [("linear", "MOST_ROWS"), ("forest", "_MOST_IN_TREES")],
)
def test_each_model_learns_from_some_rows_and_their_labels(
    learner, limit, monkeypatch
):
    x, y = made(1)
    honest, learnt = getattr(learners, learner), []

    def watched(features, label, **settings):
        learnt.append((features, label))
        return honest(features, label, **settings)

    monkeypatch.setattr(learners, learner, watched)
    monkeypatch.setattr(learners, limit, LIMIT)
    learners.out_of_fold(x, y, None, 0)
    place = {row.tobytes(): number for number, row in enumerate(x)}
    for features, label in learnt:
        rows = [place[row.tobytes()] for row in features]
        # Of the four fifths known, which hold 32 rows of the rare class.
        assert np.bincount(label).tolist() == [30, 30]
        assert label.tolist() == y[rows].tolist()
        assert is_spread(rows)


def test_the_pool_votes_by_half_of_each_class_at_most(monkeypatch):
    x, y = made(2)
    target, target_label = made(3, rows=50, rare=20)
    honest, votes = opinions.importance_scores, []

    def watched(rows, voters, *, target_labels, **settings):
        votes.append((len(rows), voters, target_labels))
        return honest(rows, voters, target_labels=target_labels, **settings)

    monkeypatch.setattr(opinions, "importance_scores", watched)
    open_opinions(x, target, labels=y, target_labels=target_label, **SETTINGS)
    ((voters, label),) = [vote[1:] for vote in votes if vote[0] == 50]
    assert np.bincount(label).tolist() == [30, 30]
    middle = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows = [int(np.abs(x - middle - each).sum(1).argmin()) for each in voters]
    assert len(set(rows)) == LIMIT
    assert label.tolist() == y[rows].tolist()
    assert is_spread(rows)


def test_opinions_on_some_rows_are_those_on_all_of_them():
    x, y = made(4)
    target, target_label = made(5, rows=50, rare=20)
    heard = open_opinions(
        x, target, labels=y, target_labels=target_label, **SETTINGS
    )
    rows = np.random.default_rng(6).permutation(300)[:LIMIT]
    some, _ = heard.given(np.arange(50), rows)
    everything, _ = heard.given(np.arange(50), np.arange(300))
    assert some == pytest.approx(everything[rows], abs=1e-5)


def test_candidates_are_tried_on_some_rows_and_what_is_theirs(monkeypatch):
    """Their own labels, weights and relevance, not those of the first rows."""
    x, y = made(7)
    target, target_label = made(8, rows=50, rare=20)
    judged, near, learnt = [], [], []
    judge, weights, linear = choosing.judge, choosing._weights, choosing.linear

    def judging(heard, known, rows):
        judged.append(rows)
        return judge(heard, known, rows)

    def weighing(reliability, relevance):
        near.append(relevance)
        return weights(reliability, relevance)

    def learning(features, label, *given, **settings):
        learnt.append((features, label))
        return linear(features, label, *given, **settings)

    monkeypatch.setattr(choosing, "_JUDGED_ROWS", LIMIT)
    monkeypatch.setattr(choosing, "judge", judging)
    monkeypatch.setattr(choosing, "_weights", weighing)
    monkeypatch.setattr(choosing, "linear", learning)
    found = choose_weights(x, target, labels=y, target_labels=target_label)
    *tried, everything = judged
    assert everything == opinions.ALL
    assert len(tried) == 5
    middle = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    for rows, relevance in zip(tried, near[:5], strict=True):
        assert np.bincount(y[rows]).tolist() == [30, 30]
        assert is_spread(rows)
        assert relevance.tolist() == found.relevance[rows].tolist()
    for features, label in learnt:
        assert label.tolist() == y[tried[0]].tolist()
        assert features == pytest.approx((x - middle)[tried[0]], abs=1e-6)


def test_relevance_is_that_of_a_pool_as_frequent_as_the_target():
    """Rows of one kind: even odds, though the pool is ten times as large."""
    x, y = made(9)
    target, target_label = made(10, rows=30, rare=15)
    found = choose_weights(x, target, labels=y, target_labels=target_label)
    assert found.relevance.mean() == pytest.approx(0.5, abs=0.15)


def test_of_stacked_matrices_rows_are_those_of_one_matrix():
    x, target = made(11)[0], made(12, rows=50)[0]
    both = np.concatenate([x, target])
    stacked = learners.Stacked(x, target)
    for rows in ([0, 299, 300, 349], [3, 5], [300, 320], []):
        taken = stacked[np.array(rows, int)]
        np.testing.assert_array_equal(taken, both[np.array(rows, int)])


def test_models_are_asked_in_parts_that_change_nothing(monkeypatch):
    x, y = made(13)
    whole = learners.out_of_fold(x, y, None, 0).log_odds
    monkeypatch.setattr(learners, "_ASKED_AT_ONCE", 7)
    parts = learners.out_of_fold(x, y, None, 0).log_odds
    assert parts == pytest.approx(whole, abs=1e-6)


def test_rows_are_centred_but_not_those_of_the_caller():
    x, y = made(14)
    target, target_label = made(15, rows=50, rare=20)
    x += 3
    kept, kept_target = x.copy(), target.copy()
    heard = open_opinions(
        x, target, labels=y, target_labels=target_label, **SETTINGS
    )
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(target, kept_target)
    assert heard.pool == pytest.approx(x - x.mean(axis=0), abs=1e-5)
    assert heard.target == pytest.approx(target - x.mean(axis=0), abs=1e-5)


def test_whole_numbers_of_a_dataset_are_rows_too():
    x, y = made(18)
    target, target_label = made(19, rows=50, rare=20)
    x, target = np.int64(9 * x), np.int64(9 * target)
    heard, expected = (
        open_opinions(
            *rows, labels=y, target_labels=target_label, **SETTINGS
        ).given(np.arange(50), opinions.ALL)
        for rows in (
            map(tf.data.Dataset.from_tensor_slices, (x, target)),
            (x, target),
        )
    )
    np.testing.assert_allclose(heard[0], expected[0], atol=1e-6)


@pytest.mark.slow
def test_a_large_pool_is_held_about_once(monkeypatch):
    """Beyond the caller's: one copy, and what is at work on parts of it."""
    x, y = made(16, rows=20_000, rare=6_000)
    x = np.repeat(x, 32, axis=1)
    target, target_label = made(17, rows=50, rare=20)
    target = np.repeat(target, 32, axis=1)
    for limit in ("MOST_ROWS", "_MOST_IN_TREES", "_ASKED_AT_ONCE"):
        monkeypatch.setattr(learners, limit, 500)
    tracemalloc.start()
    try:
        heard = open_opinions(
            x, target, labels=y, target_labels=target_label, **SETTINGS
        )
        choosing._relevance(heard, 0)
        judge(heard, np.arange(50), opinions.ALL)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1.8 * x.nbytes
