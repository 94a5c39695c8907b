"""Training under every allocation, against gradient steps by hand."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfimportance import (
    Curriculum,
    InputError,
    LearningRate,
    OnlineImportance,
    RefreshImportance,
    TopK,
    Weight,
    dense_head,
    fit,
)
from tfimportance.cli import main

rng = np.random.default_rng(41)
N = 60
X = rng.normal(size=(N, 4)).astype(np.float32)
Y = (np.arange(N) % 4 == 0).astype(np.int64)
X[:, 0] += Y
ONES = np.c_[X, np.ones(N)].astype(np.float64)
# Whole numbers of mean 1 in each class: what is due can be had exactly.
WHOLE = np.empty(N, np.int64)
for value in (0, 1):
    WHOLE[value == Y] = np.arange(np.sum(value == Y)) % 3
WEIGHT = rng.gamma(2.0, 0.5, N)
WEIGHT /= WEIGHT.mean()


def logistic(optimizer):
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((4,)), dense])
    model.compile(optimizer, "binary_crossentropy")
    return model


def trained(optimizer, weight, allocation, epochs=1, batch_size=N, **options):
    model = logistic(optimizer)
    fit(
        model,
        X,
        Y,
        sample_weight=weight,
        allocation=allocation,
        epochs=epochs,
        batch_size=batch_size,
        seed=2,
        **options,
    )
    return np.concatenate([each.ravel() for each in model.get_weights()])


def gradient(parameters, rows, weight):
    """The mean over rows of weight times the gradient of the log-loss."""
    x = ONES[rows]
    error = 1 / (1 + np.exp(-x @ parameters)) - Y[rows]
    return x.T @ (weight * error) / len(rows)


def descended(plans, rate=0.3):
    """Plain gradient descent, a step for each (rows, weights)."""
    parameters = np.zeros(5)
    for rows, weight in plans:
        parameters -= rate * gradient(parameters, rows, weight)
    return parameters


SGD = keras.optimizers.SGD


def heaviest(number, weight=WEIGHT):
    """So many of the heaviest rows of each class, in its proportion."""
    chosen = []
    for value in (0, 1):
        own = sorted(np.flatnonzero(value == Y), key=lambda i: -weight[i])
        chosen += own[: number * len(own) // N]
    return np.array(chosen)


def test_top_k_trains_on_the_heaviest_rows_alone():
    rows = heaviest(20)
    expected = descended([(rows, 1)] * 3)
    ours = trained(SGD(0.3), WEIGHT, TopK(20), epochs=3, batch_size=20)
    assert ours == pytest.approx(expected, abs=1e-6)
    with_weights = WEIGHT[rows] / WEIGHT[rows].mean()
    expected = descended([(rows, with_weights)] * 3)
    both = (TopK(20), "weight")
    ours = trained(SGD(0.3), WEIGHT, both, epochs=3, batch_size=20)
    assert ours == pytest.approx(expected, abs=1e-6)


def test_repeated_rows_are_seen_as_often_as_is_due():
    assert [WHOLE[value == Y].mean() for value in (0, 1)] == [1, 1]
    rows = np.repeat(np.arange(N), WHOLE)
    expected = descended([(rows, 1)] * 3)
    ours = trained(SGD(0.3), WHOLE, "repeat", epochs=3)
    assert ours == pytest.approx(expected, abs=1e-6)
    uniform = descended([(np.arange(N), 1)] * 3)
    assert np.abs(ours - uniform).max() > 0.01


def test_a_curriculum_goes_from_the_first_rows_to_all():
    curriculum = Curriculum(start=1 / 3, until=2)
    plans = [heaviest(20), heaviest(40), np.arange(N), np.arange(N)]
    # 60 places for 40 rows: chance says which come twice.
    ours = trained(SGD(0.3), WEIGHT, curriculum, epochs=1)
    assert ours == pytest.approx(descended([(plans[0], 1)]), abs=1e-6)
    step = Curriculum(start=1 / 3, until=2, pace="step")
    ours = trained(SGD(0.3), WEIGHT, step, epochs=4)
    by_hand = descended([(plans[i], 1) for i in (0, 0, 2, 3)])
    assert ours == pytest.approx(by_hand, abs=1e-6)


# --- A step size for every row ----------------------------------------------

RATE, B1, B2, EPSILON = 0.05, 0.8, 0.9, 1e-7


def adam(weight, steps, *, second="unweighted", rows=slice(None), decay=0.0):
    """Adam in NumPy; `second` says which gradient its divisor knows."""
    parameters, m, v = np.zeros(5), np.zeros(5), np.zeros(5)
    every = np.arange(N)[rows]
    clipped = 0
    for t in range(1, steps + 1):
        given = gradient(parameters, every, weight[every])
        even = gradient(parameters, every, 1)
        known = even if second == "unweighted" else given
        v = B2 * v + (1 - B2) * known**2
        bound = weight[every].max() * np.sqrt(v / (1 - B2))
        clipped += np.sum(np.abs(given) > bound)
        given = np.clip(given, -bound, bound)
        m = B1 * m + (1 - B1) * given
        divisor = np.sqrt(v / (1 - B2**t)) + EPSILON
        parameters = parameters * (1 - RATE * decay)
        parameters -= RATE * m / (1 - B1**t) / divisor
    return parameters, clipped


def keras_adam(kind=keras.optimizers.Adam, **options):
    return kind(RATE, beta_1=B1, beta_2=B2, epsilon=EPSILON, **options)


@pytest.mark.parametrize("steps", [1, 7])
def test_under_adam_the_weighted_gradient_moves_the_unweighted_divides(steps):
    ours = trained(keras_adam(), WEIGHT, "learning_rate", epochs=steps)
    expected, clipped = adam(WEIGHT, steps)
    assert clipped == 0  # the plain formula of the docstring
    assert ours == pytest.approx(expected, abs=2e-6)
    loss = trained(keras_adam(), WEIGHT, "weight", epochs=steps)
    as_loss, _ = adam(WEIGHT, steps, second="weighted")
    assert loss == pytest.approx(as_loss, abs=2e-6)
    assert np.abs(expected - as_loss).max() > 1e-3


def test_twice_the_weight_moves_twice_as_far_but_not_in_the_loss():
    one = trained(keras_adam(), WEIGHT, "learning_rate")
    two = trained(keras_adam(), 2 * WEIGHT, "learning_rate")
    assert two == pytest.approx(2 * one, rel=1e-5)
    as_loss = trained(keras_adam(), 2 * WEIGHT, "weight")
    assert as_loss == pytest.approx(
        trained(keras_adam(), WEIGHT, "weight"), rel=1e-4
    )


@pytest.mark.parametrize("row", [5, 12])
def test_what_one_row_moves_is_proportional_to_its_weight(row):
    moved = []
    for own in (0.0, 1.0, 2.0):
        weight = np.ones(N)
        weight[[row, 30]] = own, 6.0  # the bound is far away
        moved.append(trained(keras_adam(), weight, "learning_rate"))
    once, twice = moved[1] - moved[0], moved[2] - moved[0]
    alone = gradient(np.zeros(5), np.array([row]), 1) / N
    even = np.abs(gradient(np.zeros(5), np.arange(N), 1)) + EPSILON
    assert once == pytest.approx(-RATE * alone / even, rel=1e-3, abs=1e-6)
    assert twice == pytest.approx(2 * once, rel=1e-3, abs=1e-6)


def test_a_weighted_gradient_out_of_all_proportion_is_held():
    """Rows that cancel without weights leave a divisor near zero."""
    x = np.array([[1.0, 0.5], [1.0001, -1.0]], np.float32)
    label, weight = np.array([1, 0]), np.array([3.0, 1.0])
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((2,)), dense])
    model.compile(keras_adam(), "binary_crossentropy")
    choice = "learning_rate"
    fit(model, x, label, sample_weight=weight, allocation=choice, epochs=1)
    # First step: v is the square of one gradient, so the bound is 3 * |g|.
    even = np.array([1 - 1.0001, 0.5 + 1.0]) * -0.5 / 2
    given = np.array([3 - 1.0001, 1.5 + 1.0]) * -0.5 / 2
    held = np.clip(given, -3 * np.abs(even), 3 * np.abs(even))
    assert held[0] != given[0]
    assert held[1] == given[1]
    expected = -RATE * held / (np.abs(even) + EPSILON / np.sqrt(1 - B2))
    assert model.get_weights()[0][:, 0] == pytest.approx(expected, rel=1e-3)
    assert np.abs(expected).max() <= 3 * RATE


def test_a_row_of_any_weight_counts_for_a_thousand_at_most():
    """Alone in a first step, each row is held: the sign times a thousand."""
    weight = np.array([2e4])
    for row in range(2):
        model = logistic(keras_adam())
        rows = slice(row, row + 1)
        options = {"allocation": "learning_rate", "epochs": 1}
        fit(model, X[rows], Y[rows], sample_weight=weight, **options)
        sign = np.sign(gradient(np.zeros(5), np.array([row]), 1))
        moved = np.concatenate([each.ravel() for each in model.get_weights()])
        # What is left after the subtraction of squares has few digits.
        assert moved == pytest.approx(-1000 * RATE * sign, rel=0.15)


def test_an_optimizer_that_knows_frozen_layers_too():
    """Weights of one are no weights, and what is frozen keeps its moment."""
    trained, moments = [], []
    for choice in ("weight", "learning_rate"):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(4), keras.layers.Dense(1, "sigmoid")]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile(keras_adam(), "binary_crossentropy")
        options = {"epochs": 2, "batch_size": N, "seed": 2}
        fit(model, X, Y, **options)
        layers[0].trainable = False
        model.compile(model.optimizer, "binary_crossentropy")
        options |= {"sample_weight": np.ones(N), "allocation": choice}
        fit(model, X, Y, **options)
        trained.append(model.get_weights())
        moments.append([each.numpy() for each in model.optimizer._velocities])
    for left, right in (trained, moments):
        for ours, theirs in zip(left, right, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-7)


OPTIMIZERS = {
    "Adam": lambda rate: keras.optimizers.Adam(rate, amsgrad=True),
    "Nadam": keras.optimizers.Nadam,
    "RMSprop": lambda rate: keras.optimizers.RMSprop(rate, momentum=0.5),
    "SGD": lambda rate: SGD(rate, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_equal_step_sizes_are_a_learning_rate(make):
    """All weights 2 at rate r are as all weights 1 at rate 2 r."""
    twice = trained(make(0.02), np.full(N, 2.0), "learning_rate", 3, 16)
    rate = trained(make(0.04), None, "weight", 3, 16)
    assert twice == pytest.approx(rate, rel=1e-4, abs=1e-6)
    uniform = trained(make(0.02), None, "weight", 3, 16)
    assert np.abs(twice - uniform).max() > 0.01


def test_weight_decay_is_not_weighted():
    optimizer = keras_adam(keras.optimizers.AdamW, weight_decay=0.7)
    ours = trained(optimizer, WEIGHT, "learning_rate", epochs=4)
    expected, _ = adam(WEIGHT, 4, decay=0.7)
    assert ours == pytest.approx(expected, abs=2e-6)


def test_gradients_of_an_embedding_are_steered_too():
    """Adam's first step is the sign of the gradient, times the weight.

    Keras' own first step is shorter: of an embedding's gradient it squares
    each occurrence of an id by itself.
    """
    ids = np.arange(N)[:, None] % 6
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")
    embedding = keras.layers.Embedding(6, 2)
    layers = [keras.Input((1,)), embedding, keras.layers.Flatten(), dense]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.Adam(0.01, epsilon=1e-12)
    model.compile(optimizer, "binary_crossentropy")
    before = embedding.get_weights()[0]
    options = {"allocation": "learning_rate", "epochs": 1, "batch_size": N}
    fit(model, ids, Y, sample_weight=np.full(N, 2.0), **options)
    error = 1 / (1 + np.exp(-before.sum(axis=1)[ids[:, 0]])) - Y
    gradient = np.bincount(ids[:, 0], error)
    moved = embedding.get_weights()[0] - before
    expected = np.tile(-0.02 * np.sign(gradient)[:, None], 2)
    assert moved == pytest.approx(expected, rel=1e-4)


class Penalised(keras.Model):
    """Has a loss of its own, in Keras' older form, and a metric before it."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, "sigmoid")
        self.seen = keras.metrics.Mean("seen")

    def call(self, inputs):
        return self.dense(inputs)

    @property
    def metrics(self):
        return [self.seen, *super().metrics]

    def compute_loss(self, x, y, y_pred, sample_weight):
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        return loss + 0.01 * tf.reduce_sum(self.dense.kernel**2)


def test_a_model_with_its_own_loss_and_metrics_steps_as_keras_does():
    results = []
    for choice in ("weight", "learning_rate"):
        keras.utils.set_random_seed(3)
        model = Penalised()
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
        arguments = {"allocation": choice, "epochs": 3, "batch_size": 16}
        result = fit(model, X, Y, sample_weight=np.ones(N), seed=4, **arguments)
        results.append((result.history, model.dense.get_weights()))
    (history, weights), (ours, our_weights) = results
    assert ours["loss"] == pytest.approx(history["loss"], rel=1e-5)
    assert min(ours["loss"]) > 0.1
    for one, other in zip(our_weights, weights, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_small_equal_weights_do_not_hold_a_penalty():
    """The gradient of the data and of the penalty nearly cancel."""
    dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(keras_adam(), "mse")
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    x, y = np.ones((1, 1), np.float32), np.array([0])
    fit(model, x, y, sample_weight=[0.1], allocation="learning_rate", epochs=1)
    data, penalty = 2.0, 1.0  # (1 * w - 0)^2 and 0.5 * w^2 at w = 1
    given, even = 0.1 * data + penalty, data + penalty
    assert model.get_weights()[0][0, 0] == pytest.approx(
        1 - RATE * given / (even + EPSILON / np.sqrt(1 - B2)), abs=1e-6
    )


def test_metrics_and_loss_are_as_without_step_sizes():
    results = []
    for choice in ("weight", "learning_rate"):
        model = logistic(SGD(0.0) if choice == "weight" else keras_adam())
        model.compile(
            model.optimizer,
            "binary_crossentropy",
            metrics=["accuracy"],
            weighted_metrics=["mse"],
        )
        # The last batch has fewer rows, and counts less in the mean loss.
        model.optimizer.learning_rate = 0.0
        arguments = {"sample_weight": WEIGHT, "epochs": 1, "batch_size": 50}
        result = fit(model, X, Y, allocation=choice, **arguments, seed=0)
        results.append(result.history)
    assert results[0].keys() == results[1].keys() == {"loss", "accuracy", "mse"}
    for name, curve in results[0].items():
        assert results[1][name] == pytest.approx(curve, rel=1e-5)


def test_the_model_is_its_own_again_afterwards():
    model = logistic(keras_adam())
    options = {"sample_weight": WEIGHT, "epochs": 1, "batch_size": N}
    fit(model, X, Y, allocation="learning_rate", **options)
    assert "train_step" not in vars(model)
    assert model.train_step.__func__ is keras.Model.train_step
    before = np.concatenate([each.ravel() for each in model.get_weights()])
    fit(model, X, Y, **options)
    after = np.concatenate([each.ravel() for each in model.get_weights()])
    assert np.abs(after - before).max() > 0


def half_precision(initial_scale):
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((4,)), dense])
    dense.dtype_policy = keras.DTypePolicy("mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras_adam(), initial_scale=initial_scale
    )
    model.compile(optimizer, "binary_crossentropy")
    return model


def test_scaled_losses_of_mixed_precision():
    model = half_precision(64.0)
    options = {"sample_weight": WEIGHT, "batch_size": N, "epochs": 7}
    fit(model, X, Y, allocation="learning_rate", **options)
    ours = np.concatenate([each.ravel() for each in model.get_weights()])
    assert ours == pytest.approx(adam(WEIGHT, 7)[0], abs=0.01)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_step_that_overflows_is_skipped_whole():
    model = half_precision(1e38)
    weight = WEIGHT * 1e3
    options = {"sample_weight": weight, "batch_size": N, "epochs": 1}
    fit(model, X, Y, allocation="learning_rate", **options)
    assert not any(np.any(each) for each in model.get_weights())
    for each in model.optimizer.inner_optimizer.variables[2:]:
        assert not np.any(each.numpy())
    assert float(model.optimizer.dynamic_scale.numpy()) < 1e38


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def own_step():
    model = OwnStep([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def online():
    model = OnlineImportance(dense_head(4), dense_head(4), X[:5])
    model.compile("adam", "binary_crossentropy")
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (own_step, "OwnStep with its own"),
        (online, "OnlineImportance with its own"),
        (lambda: logistic("lion"), "optimizer Lion"),
        (lambda: logistic(keras_adam(clipnorm=1.0)), "clipnorm=1.0"),
        (
            lambda: logistic(keras_adam(gradient_accumulation_steps=2)),
            "gradient_accumulation_steps=2",
        ),
        (
            lambda: logistic(keras.optimizers.RMSprop(0.1, centered=True)),
            "centered=True",
        ),
    ],
)
def test_optimizers_and_steps_it_is_not_right_for(make, message):
    with pytest.raises(InputError, match=message):
        fit(make(), X, Y, sample_weight=WEIGHT, allocation="learning_rate")


# --- With everything else ---------------------------------------------------

CHOICES = [
    "top_k",
    "repeat",
    "learning_rate",
    "curriculum",
    ("curriculum", "weight"),
]


class Crash(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise OSError("No space left on device")


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_broken_run_goes_on_as_if_nothing_had_happened(choice, tmp_path):
    def run(**options):
        keras.utils.set_random_seed(6)
        model = dense_head(4, hidden=8, learning_rate=0.02)
        encoder = keras.Model(model.input, model.layers[2].output)
        callbacks = [RefreshImportance(encoder, X[:9], Y[:9], every=3)]
        result = fit(
            model,
            X,
            Y,
            sample_weight=WEIGHT,
            allocation=choice,
            validation=(X, Y),
            epochs=5,
            patience=9,
            batch_size=16,
            seed=3,
            callbacks=[*callbacks, *options.pop("callbacks", ())],
            **options,
        )
        result.history.pop("refresh_seconds")
        return result.history, model.get_weights()

    history, weights = run()
    with pytest.raises(OSError, match="space"):
        run(callbacks=[Crash()], checkpoint=tmp_path)
    resumed_history, resumed = run(checkpoint=tmp_path)
    assert resumed_history == history
    for ours, theirs in zip(resumed, weights, strict=True):
        assert np.array_equal(ours, theirs)


def test_another_allocation_is_another_run(tmp_path):
    options = {"sample_weight": WEIGHT, "epochs": 1, "seed": 1}
    options["checkpoint"] = tmp_path
    fit(logistic(SGD(0.1)), X, Y, allocation=TopK(0.5), **options)
    with pytest.raises(InputError, match="another allocation"):
        fit(logistic(SGD(0.1)), X, Y, allocation=TopK(0.4), **options)


def test_a_set_takes_step_sizes_but_no_selection():
    data = tf.data.Dataset.from_tensors((X, Y, WEIGHT.astype(np.float32)))
    model = logistic(keras_adam())
    fit(model, data, allocation="learning_rate", epochs=3)
    ours = np.concatenate([each.ravel() for each in model.get_weights()])
    assert ours == pytest.approx(adam(WEIGHT, 3)[0], abs=2e-6)
    with pytest.raises(InputError, match="brings its own rows"):
        fit(model, data, allocation="top_k")
    for choice in (Weight(per_label=True), LearningRate(floor=0.5)):
        with pytest.raises(InputError, match="without settings"):
            fit(model, data, allocation=choice)


class Shrinking:
    def plan(self, epoch):
        return replace(epoch, rows=np.arange(N - epoch.number))


def test_epochs_of_different_size_are_refused():
    with pytest.raises(InputError, match=r"59 rows.*60"):
        fit(logistic(SGD(0.1)), X, Y, allocation=Shrinking(), epochs=2)


class Own:
    """Plans what it is told for each epoch."""

    def __init__(self, *plans):
        self.plans = plans

    def plan(self, epoch):
        return replace(epoch, **self.plans[epoch.number])


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ([{"rows": np.arange(N + 1)}], f"from 0 to {N - 1}.*Own"),
        ([{"rows": np.array([-1])}], f"from 0 to {N - 1}"),
        ([{"rows": np.array([0.0])}], "float64"),
        ([{"rows": np.arange(0)}], r"one or more rows.*\(0,\)"),
        ([{"row_weight": np.ones(N - 1)}], "row_weight"),
        ([{"row_weight": np.ones(N)}, {}], "every epoch or for none"),
    ],
)
def test_an_allocation_that_plans_what_cannot_be_is_named(plans, message):
    with pytest.raises(InputError, match=message):
        fit(logistic(SGD(0.1)), X, Y, allocation=Own(*plans), epochs=2)


def test_a_list_of_rows_is_a_plan():
    rows, by_hand = [3, 5, 5], np.array([3, 5, 5])
    weights = []
    for each in (rows, by_hand):
        model = logistic(SGD(0.1))
        fit(model, X, Y, allocation=Own({"rows": each}), epochs=1, seed=0)
        weights.append(model.get_weights()[0])
    assert np.array_equal(*weights)
    assert weights[0].any()


def test_rows_that_come_to_have_weight_are_refused_with_a_mend():
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    callbacks = [RefreshImportance(encoder, X[:9], Y[:9])]
    arguments = {"allocation": "curriculum", "callbacks": callbacks}
    weight = np.where(np.arange(N) % 3, 1.0, 0.0)
    with pytest.raises(InputError, match="give all a positive weight"):
        fit(logistic(SGD(0.1)), X, Y, sample_weight=weight, **arguments)


def test_a_selection_without_weights_is_refused_before_training():
    with pytest.raises(InputError, match="sample_weight=None"):
        fit(logistic(SGD(0.1)), X, Y, allocation="top_k")


def test_the_command_takes_the_words(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"text": [f"word{i}" for i in range(N)], "y": Y})
    frame.to_csv("rows.csv", index=False)
    frame.to_csv("held_out.csv", index=False)
    weights = pd.DataFrame({"id": np.arange(N), "sample_weight": WEIGHT})
    weights.to_parquet("weights.parquet")
    given = ["rows.csv", "--validation", "held_out.csv", "--epochs", "1"]
    given += ["--text", "text", "--label", "y", "--output", "model"]
    words = ["--allocation", "top_k", "weight"]
    assert main(["fit", *given, *words]) == 2
    assert "sample_weight=None" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert main(["fit", *given, *words, "--weights", "weights.parquet"]) == 0
    assert "AUC" in capsys.readouterr().out
    assert main(["fit", *given, "--allocation", "topk"]) == 2
    assert "Did you mean 'top_k'" in capsys.readouterr().err
