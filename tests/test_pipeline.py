import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from tfimportance import (
    InputError,
    RunConfig,
    encode,
    importance_scores,
    load_encoder,
    load_served,
    run,
)
from tfimportance.data import Examples
from tfimportance.pipeline import load_parts
from tfimportance.pipeline.parts import _pool_and_traffic
from tfimportance.pipeline.recipes import recipes_of

GOOD = ["lovely fit", "great fabric", "perfect colour", "so comfortable"]
BAD = ["poor fit", "cheap fabric", "wrong colour", "too scratchy"]


def shop(rows, seed=0):
    """Reviews of two departments; the words tell the label, with noise."""
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.7).astype(int)
    told = np.where(rng.random(rows) < 0.2, 1 - label, label)
    text = [
        f"{rng.choice(GOOD if good else BAD)} for item {rng.integers(50)}"
        for good in told
    ]
    return pd.DataFrame(
        {
            "key": [f"r{i:05d}" for i in range(rows)],
            "text": text,
            "bought": label,
            "department": rng.choice(["socks", "hats"], rows, p=[0.3, 0.7]),
            "query": rng.integers(0, rows // 8, rows),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    shop(900).to_parquet(folder / "pool.parquet")
    shop(200, seed=1).to_csv(folder / "target.csv", index=False)
    return folder


def settings(folder, **change):
    return RunConfig.from_dict(
        {
            "name": "shop",
            "pool": str(folder / "pool.parquet"),
            "id": "key",
            "text": ["text"],
            "label": "bought",
            "target": {"department": "socks"},
            "target_rows": 60,
            "validation_rows": 60,
            "strategy": "scores",
            "seeds": 2,
            "epochs": 2,
            "output": str(folder / "runs"),
            "saved_models": str(folder / "saved_models"),
            **change,
        }
    )


@pytest.fixture(scope="module")
def result(folder):
    return run(settings(folder))


@pytest.fixture(scope="module")
def chosen(folder):
    """A run as it is by default, with two more strategies beside."""
    change = {"strategy": "auto", "compare": ["auto:top_k", "target_only"]}
    return run(settings(folder, name="chosen", **change))


def test_files_and_figures_agree(folder, result):
    names = sorted(path.name for path in result.output.iterdir())
    assert names == [
        "comparison.csv",
        "config.yaml",
        "metrics.json",
        "report.html",
        "weights.parquet",
    ]
    assert json.loads((result.output / "metrics.json").read_text()) == (
        result.metrics
    )
    assert RunConfig.load(result.output / "config.yaml") == settings(folder)
    verdict = result.metrics["comparison"]["verdict"]
    assert verdict in result.report.read_text()


def test_weights_belong_to_the_pool_rows(folder, result):
    frame = pd.read_parquet(result.output / "weights.parquet")
    rows = shop(900)
    pool = rows[rows.department == "hats"]
    assert frame.id.tolist() == pool.key.tolist()
    assert frame.label.tolist() == pool.bought.tolist()
    weight = frame.sample_weight.to_numpy(np.float64)
    assert weight.mean() == pytest.approx(1, abs=1e-5)
    kish = weight.sum() ** 2 / (weight**2).sum()
    assert kish / len(weight) == pytest.approx(0.85, abs=1e-3)
    assert result.metrics["weights"]["effective_sample_size"] == (
        pytest.approx(kish, rel=1e-5)
    )
    assert np.corrcoef(frame.importance, np.log(weight))[0, 1] > 0.999


def test_rows_whose_text_denies_their_label_weigh_less(folder, result):
    frame = pd.read_parquet(result.output / "weights.parquet")
    rows = shop(900).set_index("key").loc[frame.id]
    told = rows.text.str.startswith(tuple(GOOD)).astype(int)
    wrong = (told != rows.bought).to_numpy()
    assert frame.sample_weight[wrong].mean() < frame.sample_weight[~wrong].min()


def test_chosen_weights_too_hear_the_text(folder, chosen):
    frame = pd.read_parquet(chosen.output / "weights.parquet")
    rows = shop(900).set_index("key").loc[frame.id]
    told = rows.text.str.startswith(tuple(GOOD)).astype(int)
    wrong = (told != rows.bought).to_numpy()
    weight = frame.sample_weight
    assert weight.mean() == pytest.approx(1, abs=1e-5)
    assert roc_auc_score(~wrong, weight) > 0.8


def test_how_the_weights_were_chosen_is_in_the_metrics(chosen):
    choice = chosen.metrics["choice"]
    assert json.loads((chosen.output / "metrics.json").read_text())[
        "choice"
    ] == (choice)
    assert choice["candidates"][0]["name"] == "uniform"
    assert choice["candidates"][0]["gain"] == 0
    shares = [each["share"] for each in choice["candidates"]]
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= rate < 1 for rate in choice["flip_rate"])
    assert set(choice["opinion_weight"]) == {"target", "pool", "model"}


def test_what_is_served_compares_as_the_weights_did(chosen):
    facts = json.loads((chosen.model / "signature.json").read_text())
    scale = chosen.metrics["choice"]["scale"]
    assert scale == 8  # not what the configuration says without a choice
    assert facts["target_set"]["scale"] == scale


def test_scores_are_not_chosen(result):
    assert "choice" not in result.metrics


def test_every_strategy_is_a_row_of_the_comparison(result, chosen):
    frame = pd.read_csv(result.output / "comparison.csv")
    assert frame.strategy.tolist() == ["uniform", "importance"]
    frame = pd.read_csv(chosen.output / "comparison.csv").set_index("strategy")
    assert frame.index.tolist() == [
        *("uniform", "importance", "auto:top_k", "target_only"),
    ]
    for name, figures in chosen.metrics["strategies"].items():
        assert frame.roc_auc[name] == pytest.approx(figures["test"]["roc_auc"])
    comparison = chosen.metrics["comparison"]
    assert frame.difference["importance"] == pytest.approx(
        comparison["test_roc_auc_difference"]
    )
    assert comparison["statement"].startswith("Of 3 strategies")


def test_the_model_answers_with_strings_in(result):
    served = tf.saved_model.load(result.model).signatures["serving_default"]
    probability = served(text=tf.constant(["lovely fit", "poor fit"]))
    good, bad = probability["probability"].numpy()
    assert 0 <= bad < good <= 1


def test_the_served_importance_is_that_of_the_target_rows(folder, result):
    """Centred by the pool, against the rows that guided the weights."""
    parts = load_parts(settings(folder))
    encoder = load_encoder("static")
    x, t = (encode(encoder, parts[name]) for name in ("pool", "target"))
    expected = importance_scores(
        x,
        t,
        labels=parts["pool"].label,
        target_labels=parts["target"].label,
        reference="target",
    )
    found = load_served(result.model).ask(
        "importance_signed",
        text=parts["pool"].text["text"],
        label=parts["pool"].labels.astype(int),
    )
    np.testing.assert_allclose(found["importance"], expected, atol=1e-4)
    card = (result.model / "MODEL_CARD.md").read_text()
    assert "The probability of bought from text" in card
    assert f"- training: {result.metrics['comparison']['chosen']}" in card
    chosen = result.metrics["comparison"]["chosen"]
    best = max(
        result.metrics["strategies"][chosen]["seeds"],
        key=lambda each: each["validation_roc_auc"],
    )
    assert f"  - seed: {best['seed']}\n" in card
    assert f"  - test_roc_auc: {best['test_roc_auc']:.4g}\n" in card
    assert "## Licence\n\nNot stated" in card


def test_purpose_and_licence_stand_on_the_model_card(folder):
    said = {"intended_use": "Ranks socks.", "licence": "MIT"}
    model = run(settings(folder, name="said", seeds=1, epochs=1, **said)).model
    card = (model / "MODEL_CARD.md").read_text()
    assert "## Intended use\n\nRanks socks." in card
    assert "## Licence\n\nMIT" in card


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(folder, result):
    again = run(settings(folder))
    assert again.model.name == str(int(result.model.name) + 1)
    old, new = dict(result.metrics), dict(again.metrics)
    assert old.pop("model") != new.pop("model")
    assert old == new


def test_parts_are_disjoint_and_complete(folder):
    config = settings(folder)
    parts = load_parts(config)
    ids = [set(part.id) for part in parts.values()]
    assert sum(map(len, ids)) == len(set().union(*ids)) == 900
    assert (len(parts["target"]), len(parts["validation"])) == (60, 60)


def test_no_group_is_in_the_pool_and_in_unseen_rows(folder):
    parts = load_parts(settings(folder, group="query"))
    groups = {name: set(part.group) for name, part in parts.items()}
    assert not groups["pool"] & (groups["validation"] | groups["test"])
    assert not groups["validation"] & groups["test"]


def test_target_and_test_from_their_own_files(folder):
    parts = load_parts(
        settings(
            folder,
            id=None,
            target=str(folder / "target.csv"),
            test=str(folder / "pool.parquet"),
        )
    )
    assert len(parts["pool"]) == len(parts["test"]) == 900
    assert len(parts["target"]) + len(parts["validation"]) <= 200


def test_the_report_says_what_the_test_rows_are(folder, result):
    assert "the remaining target rows" in result.report.read_text()
    shop(200, seed=4).to_csv(folder / "unseen.csv", index=False)
    files = {
        "target": str(folder / "target.csv"),
        "test": str(folder / "unseen.csv"),
    }
    config = settings(folder, name="tested", seeds=1, epochs=1, **files)
    page = run(config).report.read_text()
    assert "the target rows of `test`" in page
    assert "remaining target rows" not in page


def test_rows_cut_from_the_pool_leave_it(folder, caplog):
    rows = shop(900).assign(key=range(900))  # numbers here, text in a CSV
    rows.to_parquet(folder / "numbered.parquet")
    rows[100:300].to_csv(folder / "cut.csv", index=False)
    rows[500:600].to_csv(folder / "test.csv", index=False)
    config = settings(
        folder,
        pool=str(folder / "numbered.parquet"),
        target=str(folder / "cut.csv"),
        test=str(folder / "test.csv"),
        target_rows=100,
        validation_rows=100,
    )
    with caplog.at_level("INFO", "tfimportance"):
        pool = load_parts(config)["pool"]
    kept = [*range(100), *range(300, 500), *range(600, 900)]
    assert pool.id.tolist() == kept
    assert "300 rows are those of another part" in caplog.text


def test_rows_and_queries_of_the_test_file_leave_the_target(folder):
    rows = shop(600, seed=3)
    rows.to_parquet(folder / "traffic.parquet")
    tested = rows.sample(150, random_state=0)
    tested.to_parquet(folder / "tested.parquet")
    parts = load_parts(
        settings(
            folder,
            group="query",
            target=str(folder / "traffic.parquet"),
            test=str(folder / "tested.parquet"),
            target_rows=40,
            validation_rows=30,
        )
    )
    assert len(parts["test"]) == 150
    for name in ("target", "validation"):
        assert len(parts[name]) > 10
        assert not set(parts[name].id) & set(tested.key)
        assert not set(parts[name].group) & set(tested["query"])


def test_rows_of_the_test_file_leave_the_target_without_groups(folder):
    shop(200, seed=1).head(90).to_csv(folder / "some.csv", index=False)
    files = {"target": "target.csv", "test": "some.csv"}
    paths = {name: str(folder / file) for name, file in files.items()}
    parts = load_parts(
        settings(folder, **paths, target_rows=60, validation_rows=50)
    )
    assert len(parts["target"]) + len(parts["validation"]) == 110
    for name in ("target", "validation"):
        assert not set(parts[name].id) & set(parts["test"].id)


@pytest.mark.parametrize(
    ("rows", "test", "sizes"),
    [
        (1000, False, (300, 300, 400)),
        (240, False, (80, 80, 80)),
        (240, True, (120, 120, 500)),
    ],
)
def test_a_small_target_is_divided_evenly(folder, rows, test, sizes):
    shop(rows, seed=11).assign(key=None).to_parquet(folder / "small.parquet")
    shop(500, seed=12).to_parquet(folder / "other.parquet")
    config = settings(
        folder,
        id=None,
        target=str(folder / "small.parquet"),
        test=str(folder / "other.parquet") if test else None,
        target_rows=None,
        validation_rows=None,
    )
    parts = load_parts(config)
    names = ("target", "validation", "test")
    assert tuple(len(parts[name]) for name in names) == sizes


def test_rows_that_only_share_a_number_stay(folder):
    """Two files that number their rows each from 0."""
    shop(900).assign(key=range(900)).to_parquet(folder / "here.parquet")
    other = shop(300, seed=5).assign(key=range(300))
    other["text"] += " of another shop"
    other.to_parquet(folder / "there.parquet")
    parts = load_parts(
        settings(
            folder,
            pool=str(folder / "here.parquet"),
            target=str(folder / "there.parquet"),
        )
    )
    assert len(parts["pool"]) == 900


def test_labels_may_be_trusted_in_the_rows_of_the_target_alone(folder):
    rows = shop(900)
    is_target = rows.department == "socks"
    rows["trusted"] = (1 - rows.bought).where(is_target)
    for name, write in (("p.csv", rows.to_csv), ("p.parquet", rows.to_parquet)):
        write(folder / name, index=False)
        pool = str(folder / name)
        parts = load_parts(settings(folder, pool=pool, target_label="trusted"))
        given = rows.set_index("key")
        for part, column in (("pool", "bought"), ("test", "trusted")):
            expected = given.loc[parts[part].id, column]
            assert parts[part].label.tolist() == expected.tolist()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("target", "group", "expected"),
    [
        ({"department": ["socks", "shoes"]}, None, "department != 'hats'"),
        ({"wrong": True}, None, "wrong"),
        ({"wrong": True, "size": [1, 2]}, None, "wrong and size in [1, 2]"),
        ({"size": [1, "3"]}, "size", "size in [1, 3]"),
    ],
)
def test_the_values_that_the_target_names(
    folder, ending, target, group, expected
):
    rng = np.random.default_rng(2)
    rows = shop(900)
    rows["department"] = rng.choice(["socks", "hats", "shoes"], 900)
    rows["wrong"] = rng.random(900) < 0.6
    rows["size"] = rng.integers(0, 4, 900)
    path = folder / f"named.{ending}"
    (rows.to_csv if ending == "csv" else rows.to_parquet)(path, index=False)
    config = settings(
        folder,
        pool=str(path),
        target=target,
        group=group,
    )
    pool, traffic = _pool_and_traffic(config)
    wanted = rows.eval(expected)
    assert traffic.id.tolist() == rows.key[wanted].tolist()
    assert pool.id.tolist() == rows.key[~wanted].tolist()


@pytest.mark.parametrize(
    ("column", "value", "meant"),
    [
        ("department", "scks", "Did you mean 'socks'?"),
        ("department", True, "YAML reads yes"),
        ("bought", "yes", "'bought' with values '1', '0'."),
    ],
)
def test_a_value_of_the_target_that_no_row_has_is_warned_of(
    folder, column, value, meant
):
    target = {"department": "socks", "bought": 1}
    rows = _pool_and_traffic(settings(folder, target=target))[1].id
    target[column] = [target[column], value]
    with pytest.warns(UserWarning, match="`target`") as warned:
        again = _pool_and_traffic(settings(folder, target=target))[1].id
    assert again.tolist() == rows.tolist()
    (said,) = [str(each.message) for each in warned]
    assert f"`target` names {value!r}, which no row has: column" in said
    assert meant in said


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "nearest"},
        {"reference": "all"},
        {"reduction": "median"},
        {"scale": 0},
        {"clip": -1},
    ],
)
def test_settings_of_the_scores_are_refused_before_the_data(folder, change):
    (name,) = change
    with pytest.raises(InputError, match=f"`{name}`"):
        run(settings(folder, pool="missing.csv", **change))
    change = {**change, "strategy": "auto", "compare": ["scores:top_k"]}
    with pytest.raises(InputError, match=f"`{name}`"):
        run(settings(folder, pool="missing.csv", **change))


def test_the_seed_draws_the_reference_of_the_scores(folder):
    rng = np.random.default_rng(1)
    sizes = {"pool": 3000, "target": 40}  # more than vote
    vectors = {name: rng.normal(size=(n, 4)) for name, n in sizes.items()}
    parts = {
        name: Examples({"text": np.full(n, "", object)}, rng.integers(0, 2, n))
        for name, n in sizes.items()
    }
    config = settings(folder, seed=3)
    found = recipes_of(config, parts, vectors)["importance"].score
    first, expected = (
        importance_scores(
            vectors["pool"],
            vectors["target"],
            labels=parts["pool"].label,
            target_labels=parts["target"].label,
            seed=seed,
        )
        for seed in (0, 3)
    )
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, first)


def test_a_share_of_the_queries_is_the_target_and_has_trusted_labels(folder):
    rows = shop(900).assign(trusted=lambda frame: 1 - frame.bought)
    rows.to_parquet(folder / "rated.parquet")
    parts = load_parts(
        settings(
            folder,
            pool=str(folder / "rated.parquet"),
            target=0.6,
            target_label="trusted",
            group="query",
        )
    )
    given = rows.set_index("key")
    for name, part in parts.items():
        column = "bought" if name == "pool" else "trusted"
        assert part.label.tolist() == given.loc[part.id, column].tolist()
    groups = [set(part.group) for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sum(map(len, parts.values())) == 900
    assert 300 < len(parts["pool"]) < 420


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target_label": "brought"},
            "`target_label` must.*pool.parquet'.*'bought'",
        ),
        (
            {"target_label": "brought", "target": "target.csv"},
            "`target_label` must.*target.csv'.*'bought'",
        ),
        ({"target": 1.0}, "every row has"),
        ({"target": 1e-9}, "no row has"),
        (
            {"target": {"department": "socks"}, "group": "department"},
            "`group` must divide.*1 groups.*`target_rows`",
        ),
        ({"target": {"department": "shoes"}}, "no row has"),
        ({"target": {"bought": 1}}, "both classes"),
        (
            {"target": {"departmint": "socks"}},
            "`target` must.*departmint.*mean 'department'",
        ),
        ({"label": "boughd"}, "`label` must be.*boughd', source=.*pool.parq"),
        ({"target_rows": 5000}, "Lower `target_rows`"),
        ({"mode": "lable_signed"}, "`mode`.*label_signed"),
        ({"encoder": "sttatic"}, "sttatic"),
        ({"scale": -1.0}, "`scale`"),
        ({"strategy": "outo"}, "`strategy`"),
        ({"compare": ["similarity", "similarty"]}, "`strategy`.*similarity"),
        ({"compare": ["auto:repaet"]}, "repaet"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    folder, monkeypatch, change, message
):
    output = folder / "nothing"
    monkeypatch.chdir(folder)
    config = settings(
        folder, output=str(output), saved_models=str(output), **change
    )
    with pytest.raises((InputError, FileNotFoundError), match=message) as error:
        run(config)
    assert "\n" not in str(error.value)
    assert not output.exists() or not any(output.iterdir())


def test_a_part_without_positives_says_how_many_there_are(folder, tmp_path):
    rows = pd.read_parquet(folder / "pool.parquet")
    target = rows.index[rows.department == "socks"]
    rows.loc[target, "bought"] = 0
    rows.loc[target[:8], ["bought", "query"]] = [1, 9999]  # in one part only
    rows.to_parquet(tmp_path / "rare.parquet")
    config = settings(
        folder, pool=str(tmp_path / "rare.parquet"), group="query"
    )
    with pytest.raises(
        InputError,
        match=rf"rows must hold both classes.*8 positives in {len(target)} "
        r"rows, of which 0 in the \d+ \w+ rows\. .* or change `seed`",
    ):
        load_parts(config)


def test_an_output_that_cannot_be_written_is_refused_first(folder):
    (folder / "a_file").touch()
    with pytest.raises(InputError, match="`output`"):
        run(settings(folder, output=str(folder / "a_file"), pool="missing"))
