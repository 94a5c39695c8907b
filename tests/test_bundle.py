import keras
import numpy as np
import pytest

from tfimportance import (
    Bundle,
    InputError,
    TargetSet,
    datasets,
    dense_head,
    load_encoder,
    load_served,
)
from tfimportance.cli import main
from tfimportance.importance import TopM
from tfimportance.stages import export_model

FEATURES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def test_round_trip(tmp_path):
    keras.utils.set_random_seed(1)
    model = dense_head(3)
    Bundle(model, "static", ("query", "title"), "interaction").save(
        tmp_path / "model"
    )
    loaded = Bundle.load(tmp_path / "model")
    assert loaded.text == ("query", "title")
    assert (loaded.encoder, loaded.fields) == ("static", "interaction")
    assert (loaded.targets, dict(loaded.card)) == (None, {})
    assert np.array_equal(
        loaded.model.predict(FEATURES, verbose=0),
        model.predict(FEATURES, verbose=0),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("labels", [None, [1, 0, 1, 0, 0, 1]])
def test_the_target_set_comes_back(tmp_path, labels):
    targets = TargetSet(
        FEATURES,
        labels,
        offset=None if labels is None else [0.5, -1.0, 1 / 3],
        scale=6.5,
        clip=11.0,
        normalize=False,
        reduction="top_m",
    )
    card = {"data": {"rows": 6}}
    bundle = Bundle(dense_head(3), "static", ("text",), "auto", targets, card)
    loaded = Bundle.load(bundle.save(tmp_path / "model"))
    assert loaded.card == card
    assert loaded.targets.facts() == targets.facts()
    for name in ("embeddings", "labels", "offset"):
        found, expected = (getattr(x, name) for x in (loaded.targets, targets))
        assert (found is None) == (expected is None)
        if expected is not None:
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)


def test_numbers_of_numpy_are_saved_as_numbers(tmp_path):
    targets = TargetSet(FEATURES, scale=np.float32(6.5))
    card = {"metrics": {"roc_auc": np.float32(0.5), "rows": np.int64(6)}}
    bundle = Bundle(dense_head(3), "static", ("text",), "auto", targets, card)
    loaded = Bundle.load(bundle.save(tmp_path / "model"))
    assert loaded.card == {"metrics": {"roc_auc": 0.5, "rows": 6}}
    assert loaded.targets.scale == 6.5


def test_a_reduction_without_a_name_cannot_be_saved(tmp_path):
    targets = TargetSet(FEATURES, reduction=TopM(3))
    bundle = Bundle(dense_head(3), "static", ("text",), targets=targets)
    with pytest.raises(InputError, match=r"reduction=TopM\(m=3\)"):
        bundle.save(tmp_path / "model")
    assert [*tmp_path.iterdir()] == []


def test_what_is_not_a_bundle(tmp_path):
    with pytest.raises(FileNotFoundError, match="`model`"):
        Bundle.load(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"`model`.*bundle\.json"):
        Bundle.load(tmp_path)


def test_from_fit_to_the_importance_of_a_served_model(tmp_path, monkeypatch):
    """The target set is the validation rows, or the file that is named."""
    monkeypatch.chdir(tmp_path)
    rows = datasets.load("womens_clothing_reviews")
    rows[:300].to_parquet("train.parquet")
    rows[300:420].to_parquet("held_out.parquet")
    rows[420:480].to_parquet("target.parquet")
    columns = ["--text", "review", "--label", "recommended"]
    files = ["train.parquet", "--validation", "held_out.parquet"]
    fit = ["fit", *files, *columns, "--epochs", "1", "--output", "model"]
    assert main(fit) == 0
    assert main(["export", "model", "m"]) == 0
    other = ["--target", "target.parquet", "--label", "recommended"]
    said = ["--licence", "CC0-1.0", "--use", "Reviews of one shop."]
    assert main(["export", "model", "m", *other, *said]) == 0

    encoder = load_encoder("static")
    train, held_out, target, some = (
        encoder(rows["review"][part].to_list()).numpy().astype(np.float64)
        for part in (
            slice(0, 300),
            slice(300, 420),
            slice(420, 480),
            slice(500, 520),
        )
    )
    for version, targets in (("1", held_out), ("2", target)):
        served = load_served(tmp_path / "m" / version)
        found = served.ask(
            "importance", review=rows["review"][500:520].to_list()
        )
        expected = by_hand(some, targets, train.mean(axis=0))
        np.testing.assert_allclose(found["importance"], expected, atol=1e-4)
    card = (tmp_path / "m" / "2" / "MODEL_CARD.md").read_text()
    for words in (
        "- train: train.parquet",
        "- validation_roc_auc: ",
        "CC0-1.0",
        "Reviews of one shop.",
        "- rows: 60",
    ):
        assert words in card


def by_hand(rows, targets, offset):
    v, t = rows - offset, targets - offset
    norms = np.linalg.norm(v, axis=1)[:, None] * np.linalg.norm(t, axis=1)
    return np.sinh(4 * (v @ t.T) / norms).mean(axis=1)


def test_other_targets_are_compared_as_those_of_the_folder(tmp_path):
    encoder = load_encoder("static")
    targets = TargetSet(np.eye(encoder.dim)[:2], scale=6.5, reduction="max")
    bundle = Bundle(dense_head(encoder.dim), "static", ("t",), "join", targets)
    bundle.save(tmp_path / "model")
    (tmp_path / "rows.csv").write_text("t\na red dress\na desk\nlamp\n")
    version = export_model(
        tmp_path / "model",
        tmp_path / "served",
        target=str(tmp_path / "rows.csv"),
    )
    facts = load_served(version).facts["target_set"]
    assert (facts["rows"], facts["scale"], facts["reduction"]) == (
        3,
        6.5,
        "max",
    )
