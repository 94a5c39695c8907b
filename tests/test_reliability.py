import numpy as np
import pandas as pd
import pytest
import reference
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from tfimportance import datasets, encode, load_encoder
from tfimportance._checks import InputError
from tfimportance.data import load_examples
from tfimportance.reliability import (
    choice as choosing,
    choose_weights,
    label_reliability,
    opinions,
)
from tfimportance.reliability.labels import judge, open_opinions
from tfimportance.reliability.learners import folds, out_of_fold
from tfimportance.reliability.noise import flip_rates, true_label

SETTINGS = {
    "group": None,
    "target_group": None,
    "scale": 4.0,
    "pool_size": 512,
    "seed": 0,
}


def made(rows, seed, dim=12, margin=0.0):
    """Rows whose label is the sign of their first component."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, dim)).astype(np.float32)
    x[:, 0] += margin * np.sign(x[:, 0])
    return x, (x[:, 0] > 0).astype(int)


def flipped(label, share, seed):
    """The same with a share of labels turned, and which ones."""
    wrong = np.random.default_rng(seed).random(len(label)) < share
    return np.where(wrong, 1 - label, label), wrong


# How often labels are wrong.


def drawn(rows, rates, seed=0, shape=0.4):
    rng = np.random.default_rng(seed)
    positive = rng.beta(shape, shape, rows)
    truth = rng.random(rows) < positive
    wrong = rng.random(rows) < np.where(truth, rates[1], rates[0])
    return positive, (truth ^ wrong).astype(int)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.3, 0.1), (0.05, 0.4)])
def test_flip_rates_find_the_rates_that_made_the_labels(rates):
    found = flip_rates(*drawn(60_000, rates))
    assert found == pytest.approx(rates, abs=0.02)


def test_flip_rates_maximise_the_posterior():
    """Against a search that knows nothing of expectation maximisation.

    The prior is a fiftieth of each true class, seen with right labels.
    """
    positive, label = drawn(4_000, (0.25, 0.12), seed=3)
    found = flip_rates(positive, label)
    false, missed = found
    one = positive * np.where(label == 1, 1 - missed, missed)
    zero = (1 - positive) * np.where(label == 1, false, 1 - false)
    ones = np.sum(one / (one + zero))

    def loss(log_odds):
        false, missed = 1 / (1 + np.exp(-log_odds))
        seen = positive * (1 - missed) + (1 - positive) * false
        likelihood = np.sum(np.log(np.where(label == 1, seen, 1 - seen)))
        prior = (4_000 - ones) * np.log(1 - false) + ones * np.log(1 - missed)
        return -likelihood - 0.02 * prior

    best = minimize(loss, [-1.0, -3.0], tol=1e-10).x
    assert found == pytest.approx(1 / (1 + np.exp(-best)), abs=1e-4)


def test_opinions_that_say_nothing_find_no_wrong_labels():
    label = np.random.default_rng(0).integers(0, 2, 1_000)
    assert max(flip_rates(np.full(1_000, label.mean()), label)) < 0.001


def test_the_true_label_by_bayes():
    """By hand: of 80 in 100 rows of class 1, 72 keep it; of 20, 6 turn."""
    found = true_label(
        np.array([0.8, 0.8, 0.0, 1.0]), np.array([1, 0, 1, 0]), (0.3, 0.1)
    )
    assert found == pytest.approx([72 / 78, 8 / 22, 0, 1])


def test_a_label_that_cannot_be_leaves_the_opinion():
    assert true_label(np.array([0.0]), np.array([1]), (0.0, 0.0)) == 0


# Opinions.


def opened(x, y, target, target_label, **change):
    return open_opinions(
        x,
        target,
        labels=y,
        target_labels=target_label,
        **{**SETTINGS, **change},
    )


def test_a_row_has_no_say_in_the_agreement_about_it():
    x, y = made(240, 1)
    target, target_label = made(80, 2)
    known, rows = np.arange(80), np.arange(240)
    before = opened(x, y, target, target_label).given(known, rows)[0]
    for row in (0, 200):
        turned = y.copy()
        turned[row] = 1 - turned[row]
        after = opened(x, turned, target, target_label).given(known, rows)[0]
        assert after[row, :2] == pytest.approx(before[row, :2], abs=1e-5)
        assert after[:, 0] == pytest.approx(before[:, 0], abs=1e-5)
        others = rows != row  # on which it does have a say
        assert np.abs(after - before)[others, 1].max() > 1e-4


@pytest.mark.parametrize("size", [1, 6])
def test_the_model_has_not_seen_the_row_nor_its_group(size):
    """What it says of a fold comes from a fit on the other four."""
    x, y = made(300, 4)
    y, _ = flipped(y, 0.2, 5)
    target, target_label = made(40, 6)
    group = None if size == 1 else np.arange(300) // size
    fold = folds(y, group, 0)
    assert len(np.unique(fold)) == 5
    for each in np.unique(np.arange(300) // size):
        assert len(np.unique(fold[np.arange(300) // size == each])) == 1
    found = opened(x, y, target, target_label, group=group)
    on_pool, on_target = found.given(np.arange(40), np.arange(300))
    middle = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    expected, models = reference.out_of_fold(x - middle, y, fold, 0, 1e-3)
    assert on_pool[:, 2] == pytest.approx(expected, abs=1e-6)
    # The same models, so that both are in the same units.
    said = [model(target - middle) for model in models]
    assert on_target[:, 2] == pytest.approx(np.mean(said, axis=0), abs=1e-6)


def test_many_groups_are_spread_evenly_over_the_folds():
    # 3,001 pairs of both classes, 3,002 negatives alone, and one query each of
    # 3 positives and of 40 negatives; texts, as queries are.
    of_group = [(1, 1)] * 3001 + [(1, 0)] * 3002 + [(0, 3), (40, 0)]
    sizes = np.array(of_group)
    group = np.repeat([f"q{k}" for k in range(6005)], sizes.sum(axis=1))
    y = np.repeat(np.tile([0, 1], 6005), sizes.ravel())
    order = np.random.default_rng(0).permutation(len(y))
    group, y = group[order].astype(object), y[order]
    fold = folds(y, group, 0)
    table = pd.DataFrame({"group": group, "y": y, "fold": fold})
    assert (table.groupby("group").fold.nunique() == 1).all()
    # 600 pairs and 600 negatives in each; then the query of 40, that of 3, the
    # last pair and the last two negatives wherever the fewest rows are.
    negative, positive = (
        sorted(table.fold[table.y == c].value_counts()) for c in (0, 1)
    )
    assert negative == [1200, 1201, 1201, 1201, 1240]
    assert positive == [600, 600, 600, 601, 603]
    np.testing.assert_array_equal(folds(y, group, 0), fold)
    assert (folds(y, group, 1) != fold).mean() > 0.5


@pytest.mark.parametrize("count", [40, 6000])
def test_folds_are_those_of_the_groups_whatever_the_order_of_rows(count):
    draws = np.random.default_rng(1)
    group = np.array([f"q{k}" for k in draws.integers(0, count, 3 * count)])
    y = draws.integers(0, 2, len(group))
    order = draws.permutation(len(group))
    fold = folds(y, group.astype(object), 0)
    again = folds(y[order], group[order], 0)
    np.testing.assert_array_equal(again, fold[order])


def test_groups_are_numbered_in_the_order_of_their_values():
    x, y = made(60, 4)
    target, target_label = made(6, 6)
    target_label[:2] = 0, 1
    known = opened(x, y, target, target_label, target_group=list("cabbac"))
    np.testing.assert_array_equal(known.target_group, [2, 0, 1, 1, 0, 2])


def test_a_model_sees_what_is_not_linear_and_what_is():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    for truth in (x[:, 0] * x[:, 1] > 0, x.sum(axis=1) > 0):
        y, wrong = flipped(truth.astype(int), 0.1, 1)
        said = out_of_fold(x, y, None, 0).log_odds
        likely = np.where(y == 1, said, -said)
        assert roc_auc_score(wrong, -likely) > 0.9


@pytest.mark.parametrize("better", [4.0, 8.0])
def test_the_targets_choose_the_scale(better, monkeypatch):
    """Of two scales the one whose agreements tell their labels."""
    target, target_label = made(60, 7)
    honest = opinions.importance_scores

    def scores(*rows, scale, **settings):
        found = honest(*rows, scale=scale, **settings)
        return found if scale == better else np.zeros_like(found)

    monkeypatch.setattr(opinions, "importance_scores", scores)
    found = opened(*made(200, 6), target, target_label, scale=None)
    assert found.scale == better
    assert opened(*made(200, 6), target, target_label, scale=2.0).scale == 2.0


def test_a_target_has_no_say_in_the_opinions_on_it():
    x, y = made(200, 6)
    target, target_label = made(60, 7)
    turned = target_label.copy()
    turned[5] = 1 - turned[5]
    everybody = np.arange(60)
    before, after = (
        opened(x, y, target, label).given(everybody, np.arange(200))
        for label in (target_label, turned)
    )
    assert after[1][5] == pytest.approx(before[1][5], abs=1e-5)
    assert np.abs(after[1] - before[1]).max() > 1e-3
    assert np.abs(after[0][:, 0] - before[0][:, 0]).max() > 1e-3


def test_only_the_known_targets_judge():
    x, y = made(200, 8)
    target, target_label = made(90, 9)
    known = np.arange(60)
    turned = np.where(np.arange(90) < 60, target_label, 1 - target_label)
    first, second = (
        judge(opened(x, y, target, label), known, np.arange(200))
        for label in (target_label, turned)
    )
    np.testing.assert_allclose(first.plausibility, second.plausibility)


# Label reliability.


@pytest.fixture(scope="module")
def reviews():
    """Clothing reviews, a fifth of whose labels are turned."""
    rows = datasets.load("womens_clothing_reviews")
    is_target = (rows.department == "Intimate").to_numpy()
    encoder = load_encoder("static")
    parts = []
    for table in (rows[~is_target][:2_000], rows[is_target][:300]):
        examples = load_examples(
            table, text=["title", "review"], label="recommended"
        )
        parts += [encode(encoder, examples), examples.labels.astype(int)]
    x, y, target, target_label = parts
    y, wrong = flipped(y, 0.2, 0)
    return x, y, target, target_label, wrong


def test_wrong_labels_are_found_at_least_as_well_as_by_small_loss(reviews):
    x, y, target, target_label, wrong = reviews
    found = label_reliability(x, target, labels=y, target_labels=target_label)
    log_odds = out_of_fold(x, y, None, 0).log_odds
    likely = np.where(y == 1, log_odds, -log_odds)
    aucs = [
        roc_auc_score(wrong, -score)
        for score in (found.probability, found.plausibility, likely)
    ]
    assert aucs[0] > 0.85
    assert aucs[0] > aucs[2] - 0.005
    assert found.flip_rate[1] == pytest.approx(0.2, abs=0.08)


def test_right_labels_of_separable_rows_are_right():
    x, y = made(600, 10, margin=2.0)
    target, target_label = made(150, 11, margin=2.0)
    found = label_reliability(x, target, labels=y, target_labels=target_label)
    assert found.probability.min() > 0.9
    assert found.probability.mean() > 0.99
    assert max(found.flip_rate) < 0.02
    assert min(found.opinion_weight.values()) > 0


def test_reliability_is_the_bayes_of_its_own_parts():
    x, y = made(400, 12)
    y, _ = flipped(y, 0.25, 13)
    target, target_label = made(120, 14)
    found = label_reliability(x, target, labels=y, target_labels=target_label)
    q, (false, missed) = found.plausibility, found.flip_rate
    kept = np.where(y == 1, 1 - missed, 1 - false)
    turned = np.where(y == 1, false, missed)
    expected = q * kept / (q * kept + (1 - q) * turned)
    np.testing.assert_allclose(found.probability, expected, rtol=1e-9)
    assert set(found.opinion_weight) == {"target", "pool", "model"}


# The choice of weights.


def chosen(x, y, target, target_label, **change):
    return choose_weights(
        x, target, labels=y, target_labels=target_label, **change
    )


@pytest.fixture(scope="module")
def half_off_target():
    """Half of the pool is elsewhere, and its labels are tosses of a coin."""
    x, y = made(600, 15)
    rng = np.random.default_rng(16)
    x[300:, 1] += 4
    y[300:] = rng.integers(0, 2, 300)
    target, target_label = made(300, 17)
    return x, y, target, target_label


@pytest.fixture(scope="module")
def found(half_off_target):
    return chosen(*half_off_target)


def test_weights_and_shares_are_normal(found):
    weight = np.asarray(found.sample_weight, np.float64)
    assert weight.mean() == pytest.approx(1, abs=1e-6)
    assert weight.min() > 0
    assert found.score == pytest.approx(np.log(weight))
    assert sum(each.share for each in found.candidates) == pytest.approx(1)
    assert found.candidates[0].name == "uniform"
    assert (found.candidates[0].gain, found.candidates[0].error) == (0, 0)
    frame = found.to_frame()
    assert frame.columns.tolist() == ["name", "gain", "error", "share"]
    assert len(frame) == len(found.candidates) == 10


def test_rows_like_the_target_are_preferred(found):
    near, far = np.split(np.asarray(found.sample_weight), [300])
    assert near.mean() > 1.5 * far.mean()
    assert roc_auc_score(np.arange(600) < 300, found.relevance) > 0.95
    shares = {each.name: each.share for each in found.candidates}
    assert shares["uniform"] < 1 / 4


def test_weights_that_the_target_does_not_ask_for_are_about_uniform():
    """Clean labels, and a pool that is as the target."""
    x, y = made(800, 18, margin=1.0)
    found = chosen(x, y, *made(300, 19, margin=1.0))
    assert found.sample_weight.effective_fraction > 0.9


def test_the_average_is_that_of_the_candidates(found):
    q, p = found.reliability.plausibility, found.reliability.probability
    shares = {each.name: each.share for each in found.candidates}
    beta = effective_exponent(np.log(q), 0.6)
    steepest = effective_exponent(np.log(q), 0.3)
    worth = np.maximum(2 * p - 1, 1e-3)
    weights = {
        "uniform": np.ones(600),
        "plausible": q,
        "reliable": q * worth,
        "sharp": q**beta,
        "sharpest": q**steepest,
    }
    mixed = np.zeros(600)
    for name, weight in weights.items():
        near = weight * found.relevance
        if name.startswith("sharp"):  # mean 1 by itself, before relevance
            near = weight / weight.mean() * found.relevance
        mixed += shares[name] * weight / weight.mean()
        mixed += shares[f"{name}, relevant"] * near / near.mean()
    np.testing.assert_allclose(found.sample_weight, mixed, rtol=2e-3, atol=2e-3)


def effective_exponent(score, fraction):
    """By bisection: exp(exponent * score) is worth this share of the rows."""
    low, high = 0.0, 1e3
    for _ in range(100):
        middle = (low + high) / 2
        weight = np.exp(middle * (score - score.max()))
        kish = weight.sum() ** 2 / (weight**2).sum() / len(weight)
        low, high = (middle, high) if kish > fraction else (low, middle)
    return middle


def test_the_best_evidence_has_the_largest_share(found):
    candidates = found.candidates
    error = np.mean([each.error for each in candidates[1:]])
    counts = np.exp([2 * each.gain / error for each in candidates])
    counts[0] *= 9  # as much as the nine others before any evidence
    expected = counts / counts.sum()
    assert [each.share for each in candidates] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_weights(half_off_target, found):
    again = chosen(*half_off_target)
    np.testing.assert_array_equal(found.sample_weight, again.sample_weight)
    assert found.candidates == again.candidates
    other = chosen(*half_off_target, seed=1)
    assert not np.array_equal(found.sample_weight, other.sample_weight)


def test_a_group_does_not_judge_weights_it_had_a_say_in(monkeypatch):
    x, y = made(200, 20)
    target, target_label = made(80, 21)
    group = np.random.default_rng(22).integers(0, 16, 80)
    heard, asked = [], []

    def watched(opinions, known, rows):
        heard.append(set(group[known]))
        return judge(opinions, known, rows)

    def learned(*given, **settings):
        model = linear(*given, **settings)

        def ask(rows):
            asked.append(rows)
            return model(rows)

        return ask

    linear = choosing.linear
    monkeypatch.setattr(choosing, "judge", watched)
    monkeypatch.setattr(choosing, "linear", learned)
    chosen(x, y, target, target_label, target_group=group)
    centre = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    row_of = {
        row.tobytes(): number for number, row in enumerate(target - centre)
    }
    *folds_heard, whole = heard
    assert len(folds_heard) == 5
    assert len(asked) == 5 * 20
    assert whole == set(group)
    for number, known in enumerate(folds_heard):
        # Of ten candidates two models each.
        for rows in asked[20 * number : 20 * number + 20]:
            judging = {group[row_of[row.tobytes()]] for row in rows}
            assert judging
            assert not judging & known


def test_a_target_too_small_to_judge_leaves_uniform_weights():
    x, y = made(120, 23)
    found = chosen(x, y, np.stack([x[0], -x[0]]), [y[0], 1 - y[0]])
    assert [each.name for each in found.candidates] == ["uniform"]
    np.testing.assert_array_equal(found.sample_weight, np.ones(120))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.ones(50)}, "`labels`"),
        ({"target_labels": np.zeros(20)}, "`target_labels`"),
        ({"labels": np.arange(49) % 2}, "`labels`"),
        ({"labels": np.arange(50) % 3}, "`labels`"),
        ({"target_embeddings": np.ones((20, 4))}, "same number of col"),
        ({"embeddings": np.full((50, 5), np.nan)}, "`embeddings`"),
        ({"seed": -1}, "`seed`"),
        ({"scale": 0.0}, "`scale`"),
        ({"pool_size": 0}, "`pool_size`"),
        ({"group": np.zeros(49)}, "`group`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("ask", [label_reliability, choose_weights])
def test_what_does_not_fit_is_named(ask, change, message):
    x, t = np.random.default_rng(0).normal(size=(2, 50, 5))
    arguments = {
        "embeddings": x,
        "target_embeddings": t[:20],
        "labels": np.arange(50) % 2,
        "target_labels": np.arange(20) % 2,
        **change,
    }
    with pytest.raises(InputError, match=message) as error:
        ask(
            arguments.pop("embeddings"),
            arguments.pop("target_embeddings"),
            **arguments,
        )
    assert "\n" not in str(error.value)


def test_groups_of_the_target_have_its_length():
    x, y = made(50, 24)
    with pytest.raises(InputError, match="`target_group`"):
        chosen(x, y, x[:20], y[:20], target_group=np.zeros(19))


def test_no_opinion_is_beyond_doubt():
    """One row on which all speak so loudly that its probability rounds to 1."""
    rng = np.random.default_rng(24)
    on_pool = rng.normal(size=(4_000, 3))
    on_pool[0] = 1e6

    class Loud:
        scale = 4.0
        label = np.arange(4_000) % 2  # the first row's is 0
        target_label = np.arange(100) % 2

        def given(self, known, rows):
            spread = on_pool.std()
            target = spread * (2.0 * self.target_label - 1)
            return on_pool, np.tile(target[:, None], 3)

    found = judge(Loud(), np.arange(100), np.arange(4_000))
    assert 0 < found.plausibility[0] < 0.001
    assert np.isfinite(np.log(found.plausibility)).all()


def test_targets_of_one_query_do_not_vouch_for_each_other():
    """A label that only its own query tells says nothing of other queries."""
    draws = np.random.default_rng(30)
    centre, toss = draws.normal(0, 1, (30, 12)), draws.integers(0, 2, 30)
    query = np.repeat(np.arange(30), 10)
    target = np.float32(centre[query] + 0.1 * draws.normal(0, 1, (300, 12)))
    x, y = made(400, 31)
    together, apart = (
        label_reliability(
            x,
            target,
            labels=y,
            target_labels=toss[query],
            target_group=group,
            scale=4.0,
        ).opinion_weight["target"]
        for group in (None, query)
    )
    assert together > 1
    assert apart < 0.3
