"""Trainings on two replicas, two halves of one processor; prints JSON."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

import tfimportance as tfi

rng = np.random.default_rng(31)
X = rng.normal(size=(240, 5)).astype(np.float32)
Y = (X @ [1, -2, 0.5, 0, 0] + rng.normal(size=240) > 0.4).astype(np.int64)
WEIGHT = rng.gamma(1.0, 1.0, 240)


def logistic():
    """A logistic regression that starts at zero, so p = 1/2 everywhere."""
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(keras.optimizers.SGD(0.3), "binary_crossentropy")
    return model


def train(model, rows, **options):
    return tfi.fit(
        model,
        X[:rows],
        Y[:rows],
        sample_weight=WEIGHT[:rows],
        validation=(X, Y),
        seed=4,
        **options,
    )


def plain(rows, batch_size, epochs):
    """The weights and the curve of a weighted logistic regression."""
    model = logistic()
    result = train(model, rows, batch_size=batch_size, epochs=epochs)
    weights = [each.tolist() for each in model.get_weights()]
    return {"weights": weights, "history": result.history}


def stepping(rows, batch_size, epochs):
    """A logistic regression whose rows have step sizes of their own."""
    model = logistic()
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    options = {"batch_size": batch_size, "epochs": epochs}
    result = train(model, rows, allocation="learning_rate", **options)
    weights = [each.tolist() for each in model.get_weights()]
    return {"weights": weights, "history": result.history}


def following(folder, epochs):
    """A head whose weights are refreshed, with a checkpoint."""
    keras.utils.set_random_seed(4)
    model = tfi.dense_head(5)
    encoder = keras.Model(model.input, model.layers[2].output)
    refresh = tfi.RefreshImportance(encoder, X[:40], Y[:40])
    options = {"epochs": epochs, "batch_size": 60, "checkpoint": folder}
    history = train(model, 240, callbacks=[refresh], **options).history
    return history["loss"]


def online():
    """A head that weights every batch by itself."""
    model = tfi.dense_head(5)
    encoder = keras.Model(model.input, model.layers[2].output)
    whole = tfi.OnlineImportance(model, encoder, X[:40], Y[:40])
    whole.compile("adam", "binary_crossentropy")
    return train(whole, 240, epochs=2, batch_size=60).history


def main(folder):
    processor = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        results = {
            "one step": plain(240, 240, 1),
            "steps": plain(240, 60, 3),
            "uneven": plain(61, 60, 1),
            "stepping": stepping(240, 60, 3),
            "whole": following(f"{folder}/whole", 4),
            "broken": following(f"{folder}/broken", 2),
            "resumed": following(f"{folder}/broken", 4),
            "online": online(),
        }
    print(json.dumps(results))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
