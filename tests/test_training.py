import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tensorflow.core.util import event_pb2

from tfimportance import InputError, RefreshImportance, dense_head, fit

rng = np.random.default_rng(11)
X = rng.normal(size=(237, 5)).astype(np.float32)
Y = (X @ [1, -2, 0.5, 0, 0] + rng.normal(size=237) > 0.4).astype(np.float32)
WEIGHT = rng.gamma(1.0, 1.0, 237)
WEIGHT /= WEIGHT.mean()


def logistic(learning_rate=0.3):
    """A logistic regression that starts at zero, so p = 1/2 everywhere."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(
                1, activation="sigmoid", kernel_initializer="zeros"
            ),
        ]
    )
    model.compile(keras.optimizers.SGD(learning_rate), "binary_crossentropy")
    return model


SET = tf.data.Dataset.from_tensor_slices((X, Y))


def hand_step(weight, learning_rate=0.3):
    """One full-batch gradient step of the weighted mean loss from zero."""
    error = weight * (0.5 - Y)
    return -learning_rate * (X.T @ error) / len(Y)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_weights_reach_the_loss_and_its_gradient(weight):
    model = logistic()
    result = fit(model, X, Y, sample_weight=weight, epochs=2, batch_size=237)
    applied = np.ones(237) if weight is None else weight
    assert result.history["loss"][0] == pytest.approx(
        np.mean(applied) * np.log(2), rel=1e-5
    )
    after_one_step = hand_step(applied)
    probability = 1 / (
        1 + np.exp(-(X @ after_one_step - 0.3 * np.mean(applied * (0.5 - Y))))
    )
    losses = -np.log(np.where(Y == 1, probability, 1 - probability))
    assert result.history["loss"][1] == pytest.approx(
        np.mean(applied * losses), rel=1e-5
    )


def test_rows_of_weight_zero_are_never_seen():
    keep = np.arange(237) % 3 != 0
    weighted, reduced = logistic(), logistic()
    # Keras divides by the batch size: mean-1 weights make up for what is gone.
    fit(
        weighted,
        X,
        Y,
        sample_weight=keep / keep.mean(),
        epochs=1,
        batch_size=237,
    )
    fit(reduced, X[keep], Y[keep], epochs=1, batch_size=237)
    for ours, theirs in zip(
        weighted.get_weights(), reduced.get_weights(), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_best_epoch_is_restored_and_its_auc_is_exact():
    validation = (X[:80], Y[:80])
    model = dense_head(5, learning_rate=0.05)
    result = fit(
        model, X[80:], Y[80:], validation=validation, epochs=12, seed=1
    )
    curve = result.history["target_auc"]
    assert result.target_auc == max(curve) == curve[result.best_epoch - 1]
    restored = model.predict(X[:80], verbose=0)[:, 0]
    assert roc_auc_score(Y[:80], restored) == pytest.approx(max(curve))


def test_training_stops_when_the_target_no_longer_gains():
    flipped = (X[:80], 1 - Y[:80])  # every epoch of learning makes this worse
    result = fit(
        logistic(), X[80:], Y[80:], validation=flipped, epochs=30, patience=2
    )
    assert len(result.history["target_auc"]) == result.best_epoch + 2 < 30


def test_the_same_seed_gives_the_same_model():
    def train(seed):
        keras.utils.set_random_seed(5)
        model = dense_head(5)
        fit(model, X, Y, epochs=2, batch_size=32, seed=seed)
        return model.predict(X, verbose=0)

    assert np.array_equal(train(3), train(3))
    assert not np.array_equal(train(3), train(4))


def test_user_callbacks_see_the_target_auc():
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(logs["target_auc"])
    )
    result = fit(logistic(), X, Y, validation=(X, Y), epochs=3, callbacks=[spy])
    assert seen == result.history["target_auc"]


def test_subclassed_model_with_two_inputs():
    class TwoTowers(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(1, activation="sigmoid")

        def call(self, inputs):
            return self.out(inputs["left"] * inputs["right"])

    model = TwoTowers()
    model.compile("adam", "binary_crossentropy")
    features = {"left": X, "right": X[:, ::-1].copy()}
    result = fit(
        model,
        features,
        Y,
        sample_weight=WEIGHT,
        validation=(features, Y),
        epochs=1,
    )
    assert 0 <= result.target_auc <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_weight": WEIGHT[:-1]}, r"`sample_weight`.*\(237,\)"),
        ({"sample_weight": -WEIGHT}, "negative"),
        ({"sample_weight": np.full(237, np.nan)}, "finite"),
        ({"labels": Y + 1}, "0 and 1"),
        ({"labels": Y[:-1]}, r"`labels`.*\(237,\)"),
        ({"validation": (X[:9], np.ones(9))}, "both classes"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"features": X, "labels": Y, **change}
    with pytest.raises(InputError, match=message):
        fit(logistic(), **arguments)


def test_a_model_that_is_not_compiled_is_refused():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(InputError, match="compile"):
        fit(model, X, Y)


def two_inputs(left, right):
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    return dense(keras.layers.Multiply()([left, right]))


def functional_dict():
    left = keras.Input((5,), name="left")
    right = keras.Input((5,), name="right")
    return keras.Model({"left": left, "right": right}, two_inputs(left, right))


def functional_tuple():
    left, right = keras.Input((5,)), keras.Input((5,))
    return keras.Model((left, right), two_inputs(left, right))


@pytest.mark.parametrize(
    ("build", "pack"),
    [
        (functional_dict, lambda a, b: {"left": a, "right": b}),
        (functional_tuple, lambda a, b: (a, b)),
        (functional_tuple, lambda a, b: [a, b]),
    ],
    ids=["dict", "tuple", "list"],
)
def test_several_inputs_keep_their_rows_together(build, pack):
    model = build()
    model.compile(keras.optimizers.SGD(0.3), "binary_crossentropy")
    features = pack(X, X[:, ::-1].copy())
    fit(model, features, Y, sample_weight=WEIGHT, epochs=1, batch_size=237)
    product = X * X[:, ::-1]
    expected = -0.3 * product.T @ (WEIGHT * (0.5 - Y)) / 237
    assert model.get_weights()[0][:, 0] == pytest.approx(expected, abs=1e-6)


class Batches(keras.utils.PyDataset):
    """All rows in three batches, each row weighted."""

    def __init__(self):
        super().__init__()
        self.told, self.read = [], []

    def __len__(self):
        return 3

    def set_epoch(self, epoch):
        self.told.append(epoch)

    def __getitem__(self, step):
        self.read.append(step)
        return X[step::3], Y[step::3], WEIGHT[step::3].astype(np.float32)


def test_a_set_of_batches_is_read_in_its_own_order():
    batches, by_hand = Batches(), np.zeros((6, 1))
    model = logistic()
    fit(model, batches, epochs=2, validation=(X, Y))
    assert batches.told == [0, 1]
    assert batches.read[-6:] == [0, 1, 2, 0, 1, 2]
    ones = np.c_[X, np.ones(237)]
    for step in [0, 1, 2, 0, 1, 2]:
        rows, label = ones[step::3], Y[step::3, None]
        error = 1 / (1 + np.exp(-rows @ by_hand)) - label
        error *= WEIGHT[step::3, None]
        by_hand -= 0.3 * rows.T @ error / len(rows)
    assert np.vstack(model.get_weights()[:1]) == pytest.approx(
        by_hand[:5], abs=1e-5
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_a_tf_data_set_trains_as_its_arrays_do(weighted):
    arrays = (X, Y, WEIGHT.astype(np.float32))[: 3 if weighted else 2]
    data = tf.data.Dataset.from_tensors(arrays)
    model, other = logistic(), logistic()
    result = fit(model, data, epochs=3, validation=(X, Y))
    expected = fit(
        other,
        X,
        Y,
        sample_weight=WEIGHT if weighted else None,
        batch_size=237,
        epochs=3,
        validation=(X, Y),
    )
    for name, curve in expected.history.items():
        assert result.history[name] == pytest.approx(curve, rel=1e-5)


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own():
    seen = []

    class Recorder(keras.layers.Layer):
        def call(self, inputs):
            tf.py_function(lambda x: seen.append(x.numpy()[:, 0]), [inputs], [])
            return inputs

    def orders(seed):
        seen.clear()
        dense = keras.layers.Dense(1, "sigmoid")
        model = keras.Sequential([keras.Input((1,)), Recorder(), dense])
        model.compile("sgd", "binary_crossentropy", jit_compile=False)
        rows = np.arange(50, dtype=np.float32)[:, None]
        fit(model, rows, np.arange(50) % 2, epochs=2, batch_size=20, seed=seed)
        assert [len(each) for each in seen] == [20, 20, 10] * 2
        return np.concatenate(seen).reshape(2, 50)

    first, again, other = orders(1), orders(1), orders(2)
    for order in (*first, *other):
        assert np.array_equal(np.sort(order), np.arange(50))
        assert not np.array_equal(order, np.arange(50))
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_what_single_precision_does(policy):
    dense = keras.layers.Dense(
        1, "sigmoid", kernel_initializer="zeros", dtype=policy
    )
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(
        keras.optimizers.SGD(0.3), "binary_crossentropy", auto_scale_loss=True
    )
    result = fit(
        model,
        X,
        Y,
        sample_weight=WEIGHT,
        batch_size=237,
        epochs=1,
        validation=(X, Y),
    )
    assert model.get_weights()[0].dtype == np.float32
    assert model.get_weights()[0][:, 0] == pytest.approx(
        hand_step(WEIGHT), abs=3e-3
    )
    assert result.target_auc > 0.8


def pairs_auc(label, score, weight):
    """The share of weighted pairs in the right order; ties count half."""
    right = total = 0.0
    for i in np.flatnonzero(label == 1):
        for j in np.flatnonzero(label == 0):
            pair = weight[i] * weight[j]
            won = (score[i] > score[j]) + (score[i] == score[j]) / 2
            total, right = total + pair, right + pair * won
    return right / total


def test_weighted_and_unweighted_auc_are_exact():
    model = logistic()
    rows = np.round(X[:60])  # ties
    result = fit(model, X, Y, epochs=1, validation=(rows, Y[:60], WEIGHT[:60]))
    score = model.predict(rows, verbose=0)[:, 0]
    assert len(np.unique(score)) < 60
    label = Y[:60]
    assert result.history["target_weighted_auc"][0] == pytest.approx(
        pairs_auc(label, score, WEIGHT[:60])
    )
    assert result.target_auc == pytest.approx(
        pairs_auc(label, score, np.ones(60))
    )


def logged(folder):
    """Every value in the event files of a folder, as {tag: {step: value}}."""
    values = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                steps = values.setdefault((plugin, value.tag), {})
                steps[event.step] = tf.make_ndarray(value.tensor)
    return values


def test_tensorboard_shows_figures_and_weights_of_every_epoch(tmp_path):
    model = dense_head(5)
    encoder = keras.Model(model.input, model.layers[2].output)
    refresh = RefreshImportance(encoder, X[:30], effective_fraction=0.5)
    result = fit(
        model,
        X,
        Y,
        sample_weight=WEIGHT,
        validation=(X, Y),
        epochs=2,
        callbacks=[refresh],
        tensorboard=tmp_path,
    )
    values = logged(tmp_path)
    for name in ("loss", "target_auc"):
        curve = values["scalars", name]
        assert list(curve) == [1, 2]
        assert list(curve.values()) == pytest.approx(result.history[name])
    size = values["scalars", "effective_sample_size"]
    assert size[1] == pytest.approx(WEIGHT.sum() ** 2 / (WEIGHT**2).sum())
    assert size[2] == pytest.approx(237 / 2, rel=1e-4)
    bins = values["histograms", "sample_weight"][1]
    left, right, count = bins.T
    assert (left[0], right[-1]) == pytest.approx((WEIGHT.min(), WEIGHT.max()))
    stored = WEIGHT.astype(np.float32)  # as fit keeps them
    for low, high, rows in bins[:-1]:
        assert rows == np.sum((low <= stored) & (high > stored))
    assert count.sum() == 237
    assert list(values["histograms", "importance"]) == [2]
    assert values["histograms", "importance"][2][:, 2].sum() == 237


def test_tensorboard_of_a_uniform_run(tmp_path):
    fit(logistic(), X, Y, epochs=1, tensorboard=tmp_path)
    values = logged(tmp_path)
    assert values["scalars", "effective_sample_size"] == {1: 237}
    assert not [name for kind, name in values if kind == "histograms"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "labels=None"),
        ({"features": X.tolist()}, "np.asarray"),
        ({"features": (X, X[1:])}, r"\(236,\)"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"labels": Y[:, None]}, r"shape=\(237, 1\). Take its only column"),
        ({"features": X[:0], "labels": Y[:0]}, "at least one row"),
        *(
            ({"features": data, "labels": None}, message)
            for data, message in (
                (SET.repeat().batch(9), "for ever.*take"),
                (SET.take(0).batch(9), "empty set"),
                (SET, "batches.*batch"),
                (SET.map(lambda x, y: x).batch(9), r"\(x, y\)"),
            )
        ),
        ({"features": np.array([[None]] * 237)}, "Fill what"),
        (
            {"features": tf.data.Dataset.from_tensors((X, Y))},
            "`labels` and `sample_weight` must be left out",
        ),
        ({"validation": (X, Y[1:])}, "validation labels"),
        ({"validation": (X, Y, WEIGHT[1:])}, "validation sample_weight"),
        ({"validation": (X, Y, WEIGHT * Y)}, "both classes"),
        (
            {"validation": tf.data.Dataset.from_tensors((X, Y))},
            "`validation`.*Dataset",
        ),
        ({"validation": (X,)}, r"`validation` must be \(features, labels\)"),
    ],
)
def test_bad_sets_and_validation_are_named(change, message):
    arguments = {"features": X, "labels": Y, **change}
    with pytest.raises(InputError, match=message):
        fit(logistic(), **arguments)


@pytest.mark.parametrize("kind", ["Float32", object])
def test_numbers_of_nullable_and_object_columns_are_numbers(kind):
    weights = []
    for features in (X, pd.DataFrame(X).astype(kind)):
        model = logistic()
        fit(model, features, pd.Series(Y).astype(kind), epochs=1, seed=0)
        weights.append(model.get_weights()[0])
    assert weights[0] == pytest.approx(weights[1])


class Diverging(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.optimizer.learning_rate = float("nan")


def test_a_model_that_diverges_is_stopped_at_its_best():
    model = logistic()
    arguments = {"epochs": 9, "validation": (X, Y), "seed": 0}
    with pytest.warns(UserWarning, match="after epoch 3.*learning rate"):
        result = fit(model, X, Y, callbacks=[Diverging(2)], **arguments)
    auc = result.history["target_auc"]
    assert len(auc) == 3
    assert np.isnan(auc[2])
    assert result.target_auc == max(auc[:2]) == auc[result.best_epoch - 1]
    probability = model.predict(X, verbose=0)
    assert roc_auc_score(Y, probability) == pytest.approx(result.target_auc)


def test_a_model_that_never_was_finite_is_named():
    with (
        pytest.warns(UserWarning, match="after epoch 1"),
        pytest.raises(InputError, match=r"finite probabilities.*learning rate"),
    ):
        fit(logistic(), X, Y, callbacks=[Diverging(0)], validation=(X, Y))


def test_averaged_weights_are_not_given_up_for_the_best_epoch():
    model = logistic()
    model.compile(keras.optimizers.SGD(0.3, use_ema=True), "mse")
    with pytest.raises(InputError, match="use_ema=True"):
        fit(model, X, Y, validation=(X, Y))
