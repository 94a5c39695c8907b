import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from tfimportance import InputError
from tfimportance.evaluation import evaluate_ranking

rng = np.random.default_rng(5)


def test_means_over_groups_agree_with_the_definitions():
    group = rng.integers(0, 40, 600)
    label = rng.integers(0, 2, 600)
    label[group == 3] = 1  # ranks nothing
    score = rng.permutation(600) / 600
    aucs, gains = [], []
    for g in np.unique(group):
        y, s = label[group == g], score[group == g]
        if 0 < y.mean() < 1:
            pairs = s[y == 1][:, None] > s[y == 0]
            aucs.append(pairs.mean())
            discount = 1 / np.log2(np.arange(2, 12))
            best = np.sort(y)[::-1][:10] @ discount[: len(y)]
            found = y[np.argsort(-s)][:10] @ discount[: len(y)]
            gains.append(found / best)
    quality = evaluate_ranking(label, score, group)
    assert quality.groups == len(aucs) == 39
    assert quality.roc_auc == pytest.approx(np.mean(aucs))
    assert quality.ndcg_at_10 == pytest.approx(np.mean(gains))


def test_ties_share_their_places_as_in_scikit_learn():
    group = rng.integers(0, 30, 500)
    label = rng.integers(0, 2, 500)
    score = rng.integers(0, 4, 500) / 4
    aucs, gains = [], []
    for g in np.unique(group):
        y, s = label[group == g], score[group == g]
        if 0 < y.mean() < 1:
            aucs.append(roc_auc_score(y, s))
            gains.append(ndcg_score([y], [s], k=10))
    quality = evaluate_ranking(label, score, group)
    assert quality.roc_auc == pytest.approx(np.mean(aucs))
    assert quality.ndcg_at_10 == pytest.approx(np.mean(gains))


def test_groups_of_one_label_are_refused():
    with pytest.raises(InputError, match=r"both labels.*2 groups"):
        evaluate_ranking([1, 1, 0], [0.1, 0.2, 0.3], ["a", "a", "b"])


@pytest.mark.parametrize("kind", [np.uint8, bool])
def test_scores_without_a_sign(kind):
    score = np.array([1, 0, 0, 1], kind)
    quality = evaluate_ranking([1, 0, 0, 1], score, [7, 7, 8, 8])
    assert quality.roc_auc == quality.ndcg_at_10 == 1
