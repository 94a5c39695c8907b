import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tfimportance import InputError, dense_head, fit

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
