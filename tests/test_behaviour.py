"""User behaviour from end to end, on click logs of a known model."""

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import tfimportance as tfi

ITEMS, LENGTH = 60, 12


def click_log(rows, seed):
    """Users with a taste in four dimensions, who click on what suits it.

    A history has 2 to 12 items that follow the taste; the clicks follow the
    history, what is latest most: 0.7^recency. Items are numbered from 1.
    """
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((ITEMS, 4))
    taste = np.exp(1.5 * rng.standard_normal((rows, 4)) @ items.T)
    taste /= taste.sum(axis=1, keepdims=True)
    below = (taste.cumsum(axis=1)[:, None] < rng.random((rows, LENGTH, 1))).sum(
        2
    )
    seen = np.minimum(below, ITEMS - 1)
    later = np.arange(LENGTH)[::-1]
    real = later < rng.integers(2, LENGTH + 1, (rows, 1))
    share = 0.7**later * real
    user = np.einsum("nl,nld->nd", share, items[seen]) / share.sum(1)[:, None]
    item = rng.integers(ITEMS, size=rows)
    logit = 2 * (user * items[item]).sum(axis=1)
    return pd.DataFrame(
        {
            "history": [
                (row + 1)[keep] for row, keep in zip(seen, real, strict=True)
            ],
            "item": item + 1,
            "click": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


def with_noise(log, share, seed):
    """The log with that share of its clicks flipped, and which they are."""
    flipped = np.random.default_rng(seed).random(len(log)) < share
    return log.assign(
        click=np.where(flipped, 1 - log.click, log.click)
    ), flipped


def run(pool_file, target_file, test_file, seed=0):
    """What a user would write; returns all that there is to check."""
    log = {"label": "click", "keep": ["history", "item"]}
    pool = tfi.load_examples(pool_file, **log)
    target = tfi.load_examples(target_file, **log)  # few rows that we trust
    test = tfi.load_examples(test_file, **log)

    def features(rows):
        history = keras.utils.pad_sequences(rows.columns["history"], LENGTH)
        return {"history": history, "item": rows.columns["item"][:, None]}

    x, x_target, x_test = map(features, (pool, target, test))
    validation = (x_target, target.label)

    base = tfi.sequence_model(ITEMS + 1, candidate=True)
    tfi.fit(base, x, pool.label, validation=validation, seed=seed)
    scores = tfi.importance_scores(
        tfi.model_embeddings(base, x),
        tfi.model_embeddings(base, x_target),
        labels=pool.label,
        target_labels=target.label,
    )
    weight = tfi.to_sample_weight(scores, effective_fraction=0.6)

    model = tfi.sequence_model(ITEMS + 1, candidate=True)
    tfi.fit(
        model,
        x,
        pool.label,
        sample_weight=weight,
        validation=validation,
        seed=seed,
    )
    before = tfi.evaluate(base, x_test, test.label)
    after = tfi.evaluate(model, x_test, test.label)
    return pool, base.predict(x, verbose=0)[:, 0], scores, weight, before, after


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clicks")
    log = click_log(6000, seed=0)
    noisy, flipped = with_noise(log[:3500], 0.2, seed=1)
    files = [folder / f"{part}.parquet" for part in ("pool", "target", "test")]
    for file, part in zip(
        files, (noisy, log[3500:3900], log[3900:]), strict=True
    ):
        part.to_parquet(file)
    keras.utils.set_random_seed(2)
    return flipped, *run(*files)


def test_clicks_that_were_flipped_are_found(outcome):
    flipped, pool, _, scores, weight, *_ = outcome
    assert len(pool) == 3500
    assert roc_auc_score(flipped, -scores) > 0.75
    assert weight[flipped].mean() < 0.5 * weight[~flipped].mean()
    assert weight.effective_fraction == pytest.approx(0.6, abs=1e-3)


def test_training_with_the_weights_holds_up_on_clean_clicks(outcome):
    *_, before, after = outcome
    assert before.rows == after.rows == 2100
    assert before.roc_auc > 0.8
    assert after.roc_auc > before.roc_auc - 0.01


@pytest.mark.slow
def test_what_the_readme_says_of_a_click_log(tmp_path, monkeypatch):
    readme = Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "sequence_model" in block]
    log = click_log(3400, seed=8)
    log["user"] = 2**53 + np.arange(3400) // 4
    log["price"] = [None, 3.5, 20.0, 7.0] * 850
    log["device"] = ["phone", "web", None, "phone"] * 850
    noisy, flipped = with_noise(log[:2400], 0.2, seed=9)
    monkeypatch.chdir(tmp_path)
    for part, name in (
        (noisy, "log"),
        (log[2400:2800], "target"),
        (log[2800:3200], "held_out"),
        (log[3200:].drop(columns=["click", "price"]), "new"),
    ):
        part.to_json(f"{name}.jsonl", orient="records", lines=True)
    keras.utils.set_random_seed(0)
    exec(code, names := {})
    weight = np.asarray(names["choice"].sample_weight)
    assert weight[flipped].mean() < 0.7 * weight[~flipped].mean()
    tfi.predict_file("saved_models/clicks", "new.jsonl", "clicks.parquet")
    found = pd.read_parquet("clicks.parquet")["probability"]
    assert roc_auc_score(log.click[3200:], found) > 0.7


def test_texts_of_items_and_columns_together():
    rng = np.random.default_rng(4)
    likes = rng.random(900) < 0.5  # hidden: garden or fashion
    words = np.array(
        [
            ["garden hose", "lawn mower", "tulip bulbs", "spade", "oak fence"],
            ["red dress", "silk scarf", "leather boots", "handbag", "skirt"],
        ]
    )
    side = (rng.random((900, 4)) < 0.8) == likes[:, None]
    titles = words[side.astype(int), rng.integers(5, size=(900, 4))]
    titles = [[*row[: rng.integers(1, 5)]] for row in titles.tolist()]
    columns = {
        "visits": rng.gamma(2.0, 2.0, 900) + 2 * likes,
        "device": np.where(rng.random(900) < 0.3, None, "phone"),
    }
    columns["visits"][::10] = np.nan
    flipped = rng.random(900) < 0.2
    flipped[600:] = False
    labels = (likes != flipped).astype(np.float32)
    pool, target = slice(0, 600), slice(600, 900)

    space = tfi.fit_columns(
        {name: values[pool] for name, values in columns.items()},
        numeric=["visits"],
        categorical=["device"],
    )
    text = tfi.encode_sequences(
        tfi.load_encoder("static"), titles, pooling="recency", progress=False
    )
    x = tfi.concat_embeddings(
        [text, tfi.encode_columns(space, columns)], shares=[0.8, 0.2]
    )
    scores = tfi.importance_scores(
        x[pool], x[target], labels=labels[pool], target_labels=labels[target]
    )
    assert roc_auc_score(flipped[pool], -scores) > 0.8
