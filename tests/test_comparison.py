import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tfimportance._checks import InputError
from tfimportance.comparison import (
    Comparison,
    Part,
    Trained,
    compare,
    result,
    verdict,
)
from tfimportance.comparison.evidence import statement, weigh
from tfimportance.comparison.result import judged
from tfimportance.strategies import Recipe
from tfimportance.training import FitResult

rng = np.random.default_rng(5)


def part(rows, noise=0.0, group=None):
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    label = (features @ [1, -1, 0.5, 0] + rng.normal(size=rows) > 0).astype(int)
    flipped = rng.random(rows) < noise
    return Part(features, np.where(flipped, 1 - label, label), group), flipped


TRAIN, FLIPPED = part(700, noise=0.35)
PARTS = {"train": TRAIN, "validation": part(150)[0], "test": part(601)[0]}
CLEAN = Part(TRAIN.features, np.where(FLIPPED, 1 - TRAIN.label, TRAIN.label))
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


def test_training_rows_are_evaluated_once_and_their_scores_forgotten(
    comparison, monkeypatch
):
    """A pool may be large: scores of all models are not kept for it."""
    monkeypatch.delattr(result, "evaluate_probability")
    for one in comparison.trained["oracle"]:
        assert one.probability.keys() == {"validation", "test"}
        said = one.model.predict(TRAIN.features, verbose=0)
        assert one.evaluation["train"].roc_auc == pytest.approx(
            roc_auc_score(TRAIN.label, said), abs=1e-6
        )
    mean = np.mean(
        [
            one.evaluation["train"].roc_auc
            for one in comparison.trained["oracle"]
        ]
    )
    assert comparison.figures("oracle")["train"]["roc_auc"] == mean


def test_groups_given_as_texts_give_the_figures_of_numbers():
    number = np.random.default_rng(1).integers(100, 200, 601)
    rows = PARTS["test"]

    def interval(group):
        parts = {**PARTS, "test": Part(rows.features, rows.label, group)}
        found = compare(parts, {"uniform": None}, seeds=(1,), epochs=1)
        return found.figures("uniform")["test"]["roc_auc_interval"]

    numbers = interval(number)
    assert interval(np.array([f"q{k}" for k in number], object)) == numbers
    assert interval(None) != numbers


@pytest.mark.slow
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
    return Trained(0, None, FitResult({}, 1, auc), {"validation": score}, {})


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


def test_the_luckiest_of_many_strategies_has_to_be_luckier():
    """With one strategy, one standard error; with 14, as unlikely together."""
    draws = np.random.default_rng(3)
    taken = 0
    for _ in range(60):
        signal = LABEL + draws.normal(0, 1, 200)
        part = {"validation": Part(signal[:, None], LABEL)}
        runs = {
            name: [
                Trained(
                    0,
                    None,
                    FitResult({}, 1, 0.5),
                    {"validation": signal + draws.normal(0, 1, 200)},
                    {},
                )
            ]
            for name in ("uniform", *map(str, range(14)))
        }
        taken += Comparison(part, runs).chosen != "uniform"
    # norm.sf(1) = 0.16 at most, and three standard errors of that beside it.
    assert taken / 60 < 0.16 + 3 * (0.16 * 0.84 / 60) ** 0.5


# Scores of 400 rows in 100 groups, of strategies known to be good and bad.
TEST_LABEL = np.arange(400) % 2
GROUPS = np.arange(400) // 4
STRENGTH = {"uniform": 1.0, "better": 2.5, "alike": 1.0, "worse": 0.3}


def known(names, group=None):
    """Two seeds each: a signal of this strength with noise of its own."""
    draw = np.random.default_rng(12)

    def one(seed, strength):
        noisy = strength * TEST_LABEL + draw.normal(size=400)
        scores = {
            part: 1 / (1 + np.exp(-noisy))
            for part in ("train", "validation", "test")
        }
        curve = FitResult({"target_auc": [0.5]}, 1, 0.5)
        return judged(parts, seed, None, curve, scores)

    part = Part(np.zeros((400, 1)), TEST_LABEL, group)
    parts = dict.fromkeys(("train", "validation", "test"), part)
    return Comparison(
        parts,
        {name: [one(s, STRENGTH[name]) for s in (0, 1)] for name in names},
    )


@pytest.fixture(scope="module")
def four():
    return known(STRENGTH)


def test_p_values_are_those_of_difference_and_interval(four):
    evidence = four.evidence()
    assert list(evidence) == ["better", "alike", "worse"]
    for name, found in evidence.items():
        assert (found.difference, found.interval) == four.difference(name)
        outside = min(map(abs, found.interval)) > 0 and (
            found.interval[0] > 0 or found.interval[1] < 0
        )
        assert (found.p_value < 0.05) == outside
    aucs = {
        name: np.mean(
            [roc_auc_score(TEST_LABEL, one.probability["test"]) for one in runs]
        )
        for name, runs in four.trained.items()
    }
    for name, found in evidence.items():
        assert found.difference == pytest.approx(aucs[name] - aucs["uniform"])


def test_p_values_are_adjusted_for_all_that_is_tried(four):
    """Holm by hand: the smallest of three times 3, the next times 2."""
    evidence = four.evidence()
    ordered = sorted(evidence.values(), key=lambda one: one.p_value)
    largest = 0.0
    for times, found in zip((3, 2, 1), ordered, strict=True):
        largest = max(largest, min(1.0, times * found.p_value))
        assert found.adjusted_p_value == pytest.approx(largest)
    alone = known(["uniform", "better"]).evidence()["better"]
    assert alone.adjusted_p_value == alone.p_value


def test_the_bootstrap_agrees_about_what_is_clear(four):
    for name, sign in (("better", 1), ("worse", -1)):
        found = four.evidence()[name]
        lower, upper = found.bootstrap_interval
        assert sign * lower > 0
        assert sign * upper > 0
        assert lower < found.difference < upper


def test_a_table_has_a_row_for_each_strategy(four):
    frame = four.to_frame().set_index("strategy")
    assert frame.index.tolist() == list(STRENGTH)
    assert frame.difference.isna().tolist() == [True, False, False, False]
    found = four.evidence()["worse"]
    assert frame.loc["worse", ["lower", "upper"]].tolist() == list(
        found.interval
    )
    bounds = frame.loc["worse", ["bootstrap_lower", "bootstrap_upper"]]
    assert bounds.tolist() == list(found.bootstrap_interval)
    assert frame.adjusted_p_value["worse"] == found.adjusted_p_value
    assert (
        frame.roc_auc["better"] == (four.figures("better")["test"]["roc_auc"])
    )
    assert "roc_auc_interval" not in frame
    assert not {"auc_within_groups", "ndcg_at_10"} & set(frame)


def test_groups_add_how_rows_are_ranked_within():
    comparison = known(["uniform", "better"], GROUPS)
    frame = comparison.to_frame().set_index("strategy")
    within = []
    for one in comparison.trained["better"]:
        score = one.probability["test"]
        within.append(
            np.mean(
                [
                    roc_auc_score(TEST_LABEL[rows], score[rows])
                    for rows in np.arange(400).reshape(100, 4)
                ]
            )
        )
    assert frame.auc_within_groups["better"] == pytest.approx(np.mean(within))
    assert 0.5 < frame.ndcg_at_10["uniform"] < frame.ndcg_at_10["better"] < 1
    rows_alone = known(["uniform", "better"], np.arange(400))
    assert rows_alone.ranking("better") is None  # nothing to rank
    assert "ndcg_at_10" not in rows_alone.to_frame()


def test_rows_of_a_group_that_repeat_each_other_widen_all_intervals():
    label = np.tile(TEST_LABEL, 6)
    draw = np.random.default_rng(0)
    ours, theirs = (
        [np.tile(TEST_LABEL + draw.normal(0, 1, 400), 6)] for _ in range(2)
    )
    alone = weigh(label, {"a": ours}, theirs)["a"]
    grouped = weigh(label, {"a": ours}, theirs, np.tile(range(400), 6))["a"]
    for name in ("interval", "bootstrap_interval"):
        wider = np.ptp(getattr(grouped, name)) / np.ptp(getattr(alone, name))
        assert wider == pytest.approx(6**0.5, rel=0.15)
    assert grouped.p_value > alone.p_value


def test_uniform_training_alone_has_no_evidence(four):
    alone = Comparison(four.parts, {"uniform": four.trained["uniform"]})
    assert alone.evidence() == {}
    assert alone.to_frame().strategy.tolist() == ["uniform"]


def test_the_threshold_is_chosen_on_the_validation_rows():
    """It is 0.3 there; on the test rows 0.8 would have been better."""
    label = np.array([0, 0, 1, 1])
    scores = {
        "validation": np.array([0.1, 0.2, 0.3, 0.4]),
        "test": np.array([0.5, 0.6, 0.8, 0.9]),
    }
    scores["train"] = scores["test"]
    parts = {name: Part(np.zeros((4, 1)), label) for name in scores}
    curve = FitResult({"target_auc": [0.5]}, 1, 0.5)
    one = judged(parts, 0, None, curve, scores)
    figures = Comparison(parts, {"uniform": [one]}).figures("uniform")
    assert figures["test"]["threshold"] == pytest.approx(0.3)
    assert figures["test"]["f1"] == pytest.approx(2 / 3)  # all are taken for 1
    assert figures["validation"]["f1"] == 1


def test_all_figures_survive_json(four):
    figures = four.to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["chosen"] == "better"
    assert list(figures["strategies"]) == list(STRENGTH)
    assert list(figures["evidence"]) == ["better", "alike", "worse"]


def test_the_statement_says_what_the_rows_support(four):
    assert four.statement() == (
        "Of 3 strategies, better than uniform weights: better; worse: worse; "
        "no difference that these rows can show: 1 (95%, all compared at once)."
    )
    assert known(["uniform", "alike"]).statement() == (
        "Of 1 strategy, better than uniform weights: none; worse: none; "
        "no difference that these rows can show: 1 (95%, all compared at once)."
    )


@pytest.mark.parametrize(
    ("negatives", "positives", "warning"),
    [
        (10, 10, ""),
        (300, 9, " Only 9 positive among the test rows: so few cannot"),
        (1, 300, " Only 1 negative among the test rows: so few cannot"),
        (4, 3, " Only 3 positive and 4 negative among the test rows"),
    ],
)
def test_the_statement_says_where_test_rows_are_few(
    negatives, positives, warning
):
    label = np.repeat([0, 1], [negatives, positives])
    draw = np.random.default_rng(5)
    ours, theirs = ([label + draw.normal(size=len(label))] for _ in range(2))
    said = statement(weigh(label, {"a": ours, "b": theirs}, theirs))
    assert said.partition("at once).")[2].startswith(warning)
    assert said.endswith("support much.") == bool(warning)


def test_uniform_weights_must_be_there():
    with pytest.raises(InputError, match=r"'uniform'.*oracle.*uniform=None"):
        compare(PARTS, {"oracle": ORACLE}, **SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": {"train": TRAIN, "test": CLEAN}}, "train, validation and"),
        ({"seeds": ()}, r"seeds=\(\)"),
        ({"strategies": {"uniform": None, "x": "repeat"}}, "x='repeat'"),
    ],
)
def test_what_cannot_be_compared_is_named_before_training(change, message):
    arguments = {"parts": PARTS, "strategies": {"uniform": None}, **change}
    with pytest.raises(InputError, match=message):
        compare(**arguments)


def test_a_recipe_says_on_which_rows_to_train():
    """Here the target's labels are the opposite of the pool's."""
    target = Part(TRAIN.features, 1 - CLEAN.label)
    strategies = {"uniform": None, "target_only": Recipe(rows="target")}
    found = compare(
        {**PARTS, "train": CLEAN, "target": target},
        strategies,
        **{**SETTINGS, "seeds": (0,)},
    )
    figures = found.figures
    assert figures("uniform")["train"]["roc_auc"] > 0.8
    assert figures("target_only")["train"]["roc_auc"] < 0.3
    assert figures("target_only")["target"]["roc_auc"] > 0.7


def test_a_recipe_says_how_weights_are_spent():
    """With half of the rows gone, none that is left is wrong."""
    strategies = {
        "uniform": None,
        "top_k": Recipe(ORACLE + 1e-3, allocation="top_k"),
    }
    found = compare(PARTS, strategies, **{**SETTINGS, "seeds": (3,)})
    assert found.difference("top_k")[0] > 0.01


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
