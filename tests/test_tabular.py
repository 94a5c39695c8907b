import pickle

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfimportance import (
    Examples,
    InputError,
    concat_embeddings,
    datasets,
    encode_columns,
    evaluate,
    fit,
    fit_columns,
    importance_scores,
    model_embeddings,
)

POOL = {
    "age": [20.0, np.nan, 50.0, 30.0, 60.0],
    "city": ["Ulm", "Bonn", "", "Ulm", "Bonn"],
    "size": [7, 40, 7, 7, 40],
}
OTHER = {
    "age": [np.nan, 100.0],
    "city": ["Paris", "Bonn"],
    "size": [40, 41],
}
KIND = {"numeric": ["age"], "categorical": ["city", "size"]}
# By hand: mean 40 and variance 250 of the known ages; cities "", Bonn, Ulm and
# sizes "40", "7", each behind a column for the unknown.
Z = np.array([-20, 0, 10, -10, 20]) / np.sqrt(250)
CITY = [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
SIZE = [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
EXPECTED = np.column_stack([Z, CITY, SIZE])
OTHER_EXPECTED = [
    [0, 1, 0, 0, 0, 0, 1, 0],
    [60 / np.sqrt(250), 0, 0, 1, 0, 1, 0, 0],
]
rng = np.random.default_rng(5)


def test_fitted_on_the_pool_applied_to_others():
    space = fit_columns(POOL, **KIND)
    x = encode_columns(space, POOL)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, EXPECTED, rtol=1e-6)
    other = encode_columns(space, OTHER)
    np.testing.assert_allclose(other, OTHER_EXPECTED, rtol=1e-6)
    np.testing.assert_allclose(encode_columns(space, POOL), EXPECTED, rtol=1e-6)


@pytest.mark.parametrize("form", ["frame", "nullable", "examples", "arrays"])
def test_columns_of_any_source(form):
    frame = pd.DataFrame(POOL)
    arrays = {name: np.array(values) for name, values in POOL.items()}
    columns = {
        "frame": frame,
        "nullable": frame.convert_dtypes().astype({"city": "category"}),
        "examples": Examples(text={}, columns=arrays),
        "arrays": arrays,
    }[form]
    x = encode_columns(fit_columns(columns, **KIND), columns)
    np.testing.assert_allclose(x, EXPECTED, rtol=1e-6)


def test_whole_numbers_are_one_category_however_they_are_stored():
    space = fit_columns({"k": [7, 8]}, categorical=["k"])
    one = encode_columns(space, {"k": [7]})
    for again in ([7.0, np.nan], ["7", None], [7.0, None], [np.int8(7), None]):
        x = encode_columns(space, {"k": np.array(again, object)})
        np.testing.assert_array_equal(x[:1], one)
    x = encode_columns(space, {"k": np.array([7.0, np.nan])})
    np.testing.assert_array_equal(x, [one[0], [1, 0, 0]])  # unknown: missing


def test_missing_categories_of_any_kind_are_one():
    cities = np.array(["a", None, np.nan, pd.NA, ""], object)
    x = encode_columns(
        fit_columns({"c": cities}, categorical=["c"]), {"c": cities}
    )
    assert x.tolist() == [[0, 0, 1]] + [[0, 1, 0]] * 4


def test_hashed_columns_are_one_hot_and_the_same_for_the_same_value():
    rows = {"user": [f"u{i % 40}" for i in range(200)]}
    space = fit_columns(rows, hashed={"user": 16})
    x = encode_columns(space, rows)
    assert x.shape == (200, 16)
    assert (x.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(x[:40], x[40:80])
    assert (x.sum(axis=0) > 0).sum() > 8
    fresh = encode_columns(space, {"user": ["never seen"]})
    assert fresh.sum() == 1


def test_a_constant_column_says_nothing():
    space = fit_columns({"n": [3.0, 3.0]}, numeric=["n"])
    assert encode_columns(space, {"n": [3.0]}).tolist() == [[0.0]]


def test_rows_in_several_blocks(monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.tabular._ROWS", 2)
    x = encode_columns(fit_columns(POOL, **KIND), POOL)
    np.testing.assert_allclose(x, EXPECTED, rtol=1e-6)


def test_saved_and_reloaded(tmp_path):
    odd = [
        "",
        "a\nb",
        "\r",
        " x ",
        "x",
        "[UNK]",
        "é",
        "a\u2028b",
        '"',
        "\ud800",
    ]
    rows = {"c": odd, "n": rng.standard_normal(10), "h": list("abcdefghij")}
    space = fit_columns(rows, numeric=["n"], categorical=["c"], hashed={"h": 5})
    space.save(tmp_path / "columns.keras")
    again = keras.saving.load_model(tmp_path / "columns.keras")
    x = encode_columns(space, rows)
    np.testing.assert_array_equal(encode_columns(again, rows), x)
    assert x.shape[1] == 10 + 5 + 1  # nine categories and the unknown one
    assert x[odd.index("[UNK]"), 0] == 1
    known = [row for row, text in enumerate(odd) if text != "[UNK]"]
    assert len(np.unique(x[known, :10], axis=0)) == len(known)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "columns.keras"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"not accessible|not a valid|zip"):
        keras.saving.load_model(path)
    with pytest.raises(InputError, match="`space` must be a FeatureSpace"):
        encode_columns({"a": 1}, POOL)


def test_raw_columns_inside_a_served_model(tmp_path):
    space = fit_columns(POOL, **KIND)
    head = keras.layers.Dense(1)
    model = keras.Model(space.get_inputs(), head(space.get_encoded_features()))
    raw = {
        "age": tf.constant([[np.nan], [100.0]]),
        "city": tf.constant([["Paris"], ["Bonn"]]),
        "size": tf.constant([["40"], ["41"]]),
    }
    expected = OTHER_EXPECTED @ head.kernel.numpy() + head.bias.numpy()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    for answer in (model, again, loaded.serve):
        np.testing.assert_allclose(answer(raw), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [object, str, bytes])
def test_raw_columns_as_arrays_are_validated_and_evaluated(kind):
    city = np.array([["Ulm"], ["Bonn"], ["Rome"], ["Ulm"]], kind)
    space = fit_columns({"city": ["Bonn", "Ulm"]}, categorical=["city"])
    encoded = space.get_encoded_features()  # unknown, Bonn, Ulm
    embedding = keras.layers.Identity(name="embedding")(encoded)
    head = keras.layers.Dense(1, activation="sigmoid", use_bias=False)
    model = keras.Model(space.get_inputs(), head(embedding))
    head.set_weights([np.array([[-1.0], [1.0], [2.0]])])  # Rome, Bonn, Ulm
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    rows, label = {"city": city}, np.array([1, 1, 0, 0])
    # Of four pairs Ulm beats Rome, ties with Ulm; Bonn beats Rome only.
    result = fit(model, rows, label, validation=(rows, label), epochs=1)
    assert result.target_auc == 2.5 / 4
    assert evaluate(model, rows, label).roc_auc == 2.5 / 4
    found = model_embeddings(model, rows)
    assert found.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_the_bundled_click_log():
    rows = datasets.load_open_bandit()
    users = [f"user_feature_{number}" for number in range(4)]
    space = fit_columns(
        rows[:10_000],
        numeric=["item_feature_0"],
        categorical=[*users, "position"],
        hashed={"item_id": 32},
    )
    x = encode_columns(space, rows)
    values = sum(rows[name][:10_000].nunique() + 1 for name in users)
    assert x.shape == (20_000, 1 + values + (3 + 1) + 32)
    assert np.isfinite(x).all()
    scores = importance_scores(
        x[:10_000],
        x[10_000:],
        labels=rows.click[:10_000],
        target_labels=rows.click[10_000:],
    )
    assert np.isfinite(scores).all()


def blocks():
    left = rng.standard_normal((6, 3)) * rng.gamma(1, 9, (6, 1))
    return left, 1e-3 * rng.standard_normal((6, 5))


def cosines(x):
    x = np.asarray(x, np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


@pytest.mark.parametrize("shares", [None, [0.5, 0.5], [3, 1], [0.01, 0.99]])
def test_the_cosine_of_a_concat_is_the_mean_of_the_cosines(shares):
    left, right = blocks()
    a, b = np.array(shares or [1, 1]) / sum(shares or [1, 1])
    x = concat_embeddings([left, right], shares=shares)
    assert x.shape == (6, 8)
    assert x.dtype == np.float32
    expected = a * cosines(left) + b * cosines(right)
    np.testing.assert_allclose(x.astype("f8") @ x.T, expected, atol=1e-6)
    np.testing.assert_allclose(cosines(x), expected, atol=1e-6)


def test_a_row_that_is_zero_in_one_block():
    left, right = blocks()
    left[2] = 0
    x = concat_embeddings([left, right], shares=[0.8, 0.2])
    assert not x[2, :3].any()
    expected = np.sqrt(0.2) * cosines(right)[2, 4]
    assert cosines(x)[2, 4] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numeric": ["agee"]}, "`columns` must be one of .*mean 'age'"),
        ({"numeric": ["city"]}, "`city` must hold numbers.*'Ulm' in row 0"),
        ({"numeric": ["age", "age"]}, "must name different"),
        ({"numeric": ["age"], "hashed": {"age": 4}}, "must name different"),
        ({}, "at least one"),
        ({"hashed": {"city": 1}}, r"`hashed\['city'\]` must be"),
        ({"numeric": ["far"]}, "`far` must be finite.*1 NaN or infinite"),
        ({"numeric": ["none"]}, "`none` must hold at least one number"),
        ({"numeric": ["when"]}, "`when` must hold numbers.*days"),
        ({"categorical": ["many"]}, r"at most 1000.*1001.*hashed={'many'"),
        ({"categorical": ["wide"]}, r"one value in each row.*\(2, 2\)"),
        ({"categorical": ["no"]}, r"at least one row.*\(0,\)"),
        ({"numeric": ["age", "far2"]}, r"`far2` must have shape \(5,\)"),
    ],
)
def test_bad_columns(change, message):
    columns = POOL | {
        "far": [1.0, np.inf],
        "far2": [1.0, 2.0],
        "none": [np.nan, None],
        "when": np.array(["2020-01-01"], "datetime64[us]"),
        "many": np.arange(1001),
        "wide": [[1, 2], [3, 4]],
        "no": [],
    }
    with pytest.raises(InputError, match=message) as error:
        fit_columns(columns, **change)
    assert "\n" not in str(error.value)


def test_columns_of_the_fit_must_be_there():
    space = fit_columns(POOL, **KIND)
    with pytest.raises(InputError, match=r"`columns` must be one of .*'size'"):
        encode_columns(space, {"age": [1], "size": [2]})


@pytest.mark.parametrize(
    ("given", "shares", "message"),
    [
        ([], None, "0 shares for 0 blocks"),
        ([np.ones((2, 3))], [1, 2], "2 shares for 1 blocks"),
        ([np.ones((2, 3)), np.ones((3, 3))], None, r"blocks\[1\].*\(3, 3\)"),
        ([np.ones(3)], None, r"matrices.*blocks\[0\].shape=\(3,\)"),
        ([np.full((2, 2), np.nan)], None, r"`blocks\[0\]` must be finite"),
        ([np.ones((2, 3))], [0], "`shares` must be a number above 0"),
    ],
)
def test_bad_blocks(given, shares, message):
    with pytest.raises(InputError, match=message):
        concat_embeddings(given, shares=shares)
