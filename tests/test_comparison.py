import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tfimportance.comparison import Comparison, Part, Trained, compare, verdict
from tfimportance.training import FitResult

rng = np.random.default_rng(5)


def part(rows, noise=0.0, group=None):
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    label = (features @ [1, -1, 0.5, 0] + rng.normal(size=rows) > 0).astype(int)
    flipped = rng.random(rows) < noise
    return Part(features, np.where(flipped, 1 - label, label), group), flipped


TRAIN, FLIPPED = part(700, noise=0.35)
PARTS = {"train": TRAIN, "validation": part(150)[0], "test": part(601)[0]}
ORACLE = np.where(FLIPPED, 0.0, 1.0) / np.mean(~FLIPPED)
SETTINGS = {"seeds": (3, 4), "epochs": 6, "batch_size": 64}


@pytest.fixture(scope="module")
def comparison():
    return compare(PARTS, {"uniform": None, "oracle": ORACLE}, **SETTINGS)


def test_weights_that_leave_out_wrong_labels_win(comparison):
    difference, (lower, _) = comparison.difference("oracle")
    assert difference > 0.01
    assert lower > 0
    assert comparison.chosen == "oracle"


def test_figures_are_means_over_seeds_of_what_the_models_say(comparison):
    figures = comparison.figures("oracle")
    aucs = [
        roc_auc_score(
            PARTS["test"].label,
            one.model.predict(PARTS["test"].features, verbose=0),
        )
        for one in comparison.trained["oracle"]
    ]
    assert figures["test"]["roc_auc"] == pytest.approx(np.mean(aucs))
    assert [one["test_roc_auc"] for one in figures["seeds"]] == pytest.approx(
        aucs
    )
    assert [one["seed"] for one in figures["seeds"]] == [3, 4]
    assert figures["train"]["rows"] == 700


def test_the_same_seeds_give_the_same_figures(comparison):
    again = compare(PARTS, {"uniform": None, "oracle": ORACLE}, **SETTINGS)
    for name in ("uniform", "oracle"):
        assert again.figures(name) == comparison.figures(name)


def test_equal_weights_are_uniform_training():
    same = compare(
        PARTS, {"uniform": None, "ones": np.ones(700)}, seeds=(1,), epochs=2
    )
    assert same.difference("ones")[0] == pytest.approx(0, abs=1e-6)
    assert same.chosen == "uniform"  # the baseline on a tie


LABEL = np.arange(200) % 2
SIGNAL = LABEL + rng.normal(0, 1, 200)
EITHER = {"validation": Part(SIGNAL[:, None], LABEL)}


def scored(noise, auc=0.5):
    score = SIGNAL + noise * rng.normal(0, 1, 200)
    return Trained(0, None, FitResult({}, 1, auc), {"validation": score})


def test_the_validation_rows_choose_what_is_clearly_better():
    runs = {
        "uniform": [scored(2.0), scored(2.0)],
        "weighted": [scored(0.0, auc=0.7), scored(0.1, auc=0.8)],
    }
    comparison = Comparison(EITHER, runs)
    assert comparison.chosen == "weighted"
    assert comparison.best.fit.target_auc == 0.8


def test_a_gain_within_one_standard_error_leaves_uniform():
    weighted = [scored(1.0) for _ in range(4)]
    uniform = [scored(1.0) for _ in range(4)]
    comparison = Comparison(EITHER, {"uniform": uniform, "weighted": weighted})
    mean, (lower, upper) = comparison.difference("weighted", "validation")
    reverse = Comparison(EITHER, {"uniform": weighted, "weighted": uniform})
    assert abs(mean) < (upper - lower) / (2 * 1.96)  # as this test needs it
    assert comparison.chosen == reverse.chosen == "uniform"


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.001, 0.02), "raised the AUC"),
        ((-0.02, -0.001), "lowered the AUC"),
        ((-0.01, 0.02), "no difference"),
        ((0.0, 0.0), "no difference"),
    ],
)
def test_the_verdict_says_what_the_interval_supports(interval, words):
    assert words in verdict(interval)
