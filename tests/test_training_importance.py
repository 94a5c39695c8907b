"""Importance that follows the encoder: every few epochs, and every step."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from scipy.optimize import brentq

from tfimportance import (
    InputError,
    OnlineImportance,
    RefreshImportance,
    dense_head,
    fit,
)
from tfimportance.training.online import temper

rng = np.random.default_rng(37)
X = rng.normal(size=(90, 5)).astype(np.float32)
Y = (X @ [1, -2, 0.5, 0, 0] + rng.normal(size=90) > 0.4).astype(np.int64)
GIVEN = rng.gamma(2.0, 0.5, 90)
TARGET_X = rng.normal(size=(25, 5)).astype(np.float32)
TARGET_Y = (np.arange(25) % 3 == 0).astype(np.int64)


def tower(learning_rate=0.5):
    """p = sigmoid(tanh(x A + a) b + c), and the part up to tanh."""
    keras.utils.set_random_seed(8)
    inputs = keras.Input((5,))
    embedding = keras.layers.Dense(3, activation="tanh")(inputs)
    outputs = keras.layers.Dense(1, "sigmoid")(embedding)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(learning_rate), "binary_crossentropy")
    return model, keras.Model(inputs, embedding)


def by_hand(weights, rows):
    """The tower's embeddings and probabilities in NumPy."""
    a, a0, b, b0 = (np.asarray(each, np.float64) for each in weights)
    embedding = np.tanh(rows.astype(np.float64) @ a + a0)
    return embedding, 1 / (1 + np.exp(-(embedding @ b + b0)[:, 0]))


def losses(probability, label):
    return -np.log(np.where(label == 1, probability, 1 - probability))


def tempered(score, fraction):
    """exp(beta * score) of mean 1 with the effective size asked for."""
    score = (score - score.max()) / score.std()  # exp cannot overflow

    def gap(beta):
        w = np.exp(beta * score)
        return w.sum() ** 2 / (w**2).sum() - fraction * len(score)

    weight = np.exp(brentq(gap, 0, 1e4, xtol=1e-12) * score)
    return weight / weight.mean()


def signed_scores(weights, scale, rows=X, label=Y):
    rows, targets = reference.centered(
        by_hand(weights, rows)[0], by_hand(weights, TARGET_X)[0]
    )
    z = reference.argument(rows, targets, scale=scale)
    return reference.signed(z, label, TARGET_Y, reduction="mean")


class Spy(keras.callbacks.Callback):
    """Keeps the model's weights at the beginning of every epoch."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(self.model.get_weights())


def test_refreshed_weights_come_from_the_encoder_as_it_is_then():
    model, encoder = tower()
    refresh = RefreshImportance(
        encoder,
        TARGET_X,
        TARGET_Y,
        every=2,
        effective_fraction=0.4,
        scale=3.0,
        reference="target",
    )
    spy = Spy()
    result = fit(
        model,
        X,
        Y,
        sample_weight=GIVEN,
        epochs=5,
        batch_size=90,  # one step, so an epoch's loss is that at its begin
        callbacks=[spy, refresh],
    )
    second = tempered(signed_scores(spy.seen[2], 3.0), 0.4)
    fourth = tempered(signed_scores(spy.seen[4], 3.0), 0.4)
    assert np.abs(second - fourth).max() > 0.05  # the encoder did move
    in_use = [GIVEN, GIVEN, second, second, fourth]
    expected = [
        np.mean(weight * losses(by_hand(seen, X)[1], Y))
        for weight, seen in zip(in_use, spy.seen, strict=True)
    ]
    assert result.history["loss"] == pytest.approx(expected, rel=1e-4)
    assert refresh.importance == pytest.approx(
        signed_scores(spy.seen[4], 3.0), abs=1e-3
    )


def test_a_refresh_may_keep_the_class_mix():
    model, encoder = tower()
    refresh = RefreshImportance(
        encoder, TARGET_X, TARGET_Y, per_label=True, reference="target"
    )
    spy = Spy()
    options = {"epochs": 2, "batch_size": 90, "callbacks": [spy, refresh]}
    result = fit(model, X, Y, **options)
    score, weight = signed_scores(spy.seen[1], 4.0), np.empty(90)
    for value in (0, 1):
        weight[value == Y] = tempered(score[value == Y], 0.85)
    expected = np.mean(weight * losses(by_hand(spy.seen[1], X)[1], Y))
    assert result.history["loss"][1] == pytest.approx(expected, rel=1e-4)


def test_the_cost_of_refreshing_is_in_the_history():
    model, encoder = tower()
    refresh = RefreshImportance(encoder, TARGET_X, every=2)
    seconds = fit(model, X, Y, epochs=4, callbacks=[refresh]).history[
        "refresh_seconds"
    ]
    assert [each > 0 for each in seconds] == [False, False, True, False]


def test_the_encoder_may_see_other_columns_than_the_model():
    model, _ = tower()
    _, encoder = tower()
    doubled = RefreshImportance(encoder, TARGET_X, features=X[:, ::-1].copy())
    fit(model, X, Y, epochs=2, callbacks=[doubled])
    rows, targets = reference.centered(
        by_hand([*encoder.get_weights(), np.zeros((3, 1)), 0], X[:, ::-1])[0],
        by_hand([*encoder.get_weights(), np.zeros((3, 1)), 0], TARGET_X)[0],
    )
    expected = reference.similarity(rows, targets).mean(axis=1)
    assert doubled.importance == pytest.approx(expected, abs=1e-4)


def test_refresh_says_where_it_belongs():
    model, encoder = tower()
    refresh = RefreshImportance(encoder, TARGET_X)
    with pytest.raises(InputError, match=r"tfimportance\.fit"):
        model.fit(X, Y, callbacks=[refresh], verbose=0)
    data = tf.data.Dataset.from_tensors((X, Y))
    with pytest.raises(InputError, match="arrays"):
        fit(model, data, callbacks=[refresh])
    with pytest.raises(InputError, match="every=0"):
        RefreshImportance(encoder, TARGET_X, every=0)


@pytest.mark.parametrize("given", [None, GIVEN])
@pytest.mark.parametrize("target_label", [None, TARGET_Y])
def test_one_online_step_by_hand(given, target_label):
    model, encoder = tower(learning_rate=0.5)
    before = model.get_weights()
    online = OnlineImportance(
        model,
        encoder,
        TARGET_X,
        target_label,
        effective_fraction=0.5,
        scale=3.0,
    )
    online.compile(keras.optimizers.SGD(0.5), "binary_crossentropy")
    result = fit(online, X, Y, sample_weight=given, epochs=1, batch_size=90)

    embedding, probability = by_hand(before, X)
    if target_label is None:
        rows, targets = reference.centered(
            embedding, by_hand(before, TARGET_X)[0]
        )
        score = reference.similarity(rows, targets, scale=3.0).mean(axis=1)
    else:
        score = signed_scores(before, 3.0)
    weight = tempered(score, 0.5) * (1 if given is None else given)
    assert result.history["loss"][0] == pytest.approx(
        np.mean(weight * losses(probability, Y)), rel=1e-4
    )
    assert result.history["effective_fraction"][0] == pytest.approx(0.5)
    # The chain rule, with the weights held constant.
    error = (weight * (probability - Y) / 90)[:, None]
    hidden = (error @ before[2].T) * (1 - embedding**2)
    steps = [X.T @ hidden, hidden.sum(0), embedding.T @ error, error.sum(0)]
    for old, step, new in zip(before, steps, model.get_weights(), strict=True):
        assert new == pytest.approx(old - 0.5 * step, abs=1e-5)


def test_the_last_smaller_batch_has_the_same_effective_fraction():
    model, encoder = tower()
    online = OnlineImportance(model, encoder, TARGET_X, effective_fraction=0.6)
    online.compile("adam", "binary_crossentropy")
    history = fit(online, X, Y, epochs=2, batch_size=37).history
    assert history["effective_fraction"] == pytest.approx([0.6, 0.6], abs=1e-3)


def test_the_inner_model_is_saved_as_if_it_had_trained_alone(tmp_path):
    model, encoder = tower()
    online = OnlineImportance(model, encoder, TARGET_X, TARGET_Y)
    online.compile("adam", "binary_crossentropy")
    fit(online, X, Y, epochs=1, validation=(X, Y))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    inner = model.predict(X, verbose=0)
    assert np.array_equal(loaded.predict(X, verbose=0), inner)
    assert np.array_equal(online.predict(X, verbose=0), inner)


def test_an_encoder_of_its_own_is_not_trained():
    model, _ = tower()
    _, teacher = tower()
    before = teacher.get_weights()
    online = OnlineImportance(model, teacher, TARGET_X)
    online.compile("adam", "binary_crossentropy")
    fit(online, X, Y, epochs=1)
    assert len(online.trainable_variables) == 4
    for old, new in zip(before, teacher.get_weights(), strict=True):
        assert np.array_equal(old, new)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9, 1.0])
def test_tempering_reaches_the_effective_size(fraction):
    heavy = np.random.default_rng(5).standard_t(2, 77)
    score = heavy.astype(np.float32) * 1e3
    weight = temper(tf.constant(score), fraction).numpy().astype(np.float64)
    assert weight.mean() == pytest.approx(1, rel=1e-5)
    size = weight.sum() ** 2 / (weight**2).sum()
    assert size == pytest.approx(fraction * 77, rel=1e-3)
    if fraction < 1:
        assert weight == pytest.approx(tempered(score, fraction), abs=0.02)
        assert (np.diff(weight[np.argsort(score)]) >= 0).all()


@pytest.mark.parametrize("size", [1, 6])
def test_equal_scores_weigh_the_same(size):
    score = tf.fill([size], 7.3) * (1 + 1e-7 * tf.range(size, dtype=tf.float32))
    assert temper(score, 0.4).numpy() == pytest.approx(np.ones(size))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effective_fraction": 0.0}, "effective_fraction=0.0"),
        ({"scale": -1.0}, "scale=-1.0"),
        ({"target_labels": TARGET_Y[:-1]}, r"`target_labels`.*\(25,\)"),
        ({"target_labels": np.ones(25)}, "both classes"),
    ],
)
def test_bad_online_settings_are_named(change, message):
    model = dense_head(5)
    arguments = {"target_features": TARGET_X, **change}
    with pytest.raises(InputError, match=message):
        OnlineImportance(model, model, **arguments)
