"""A training with all that has a state; as a program it kills itself.

`python broken_run.py FOLDER EPOCH STEP` trains with FOLDER as checkpoint and
sends itself SIGKILL before that step of that epoch.
"""

import os
import signal
import sys

import keras
import numpy as np

import tfimportance as tfi

rng = np.random.default_rng(29)
X = rng.normal(size=(400, 6)).astype(np.float32)
Y = (X @ [1, -2, 0.5, 0, 0, 1] + rng.normal(size=400) > 0.4).astype(np.int64)
WEIGHT = rng.gamma(2.0, 0.5, 400)
# Half of the labels are of the other sign: the AUC rises, then falls.
TARGET_X = rng.normal(size=(150, 6)).astype(np.float32)
TARGET_Y = (TARGET_X @ [1, -1, 2, 3, 0, 0] > 0.2).astype(np.int64)
EPOCHS = 12


class Kill(keras.callbacks.Callback):
    """Ends the process without a chance to clean up."""

    def __init__(self, epoch, step):
        super().__init__()
        self.place, self.now = (epoch, step), -1

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.now, batch) == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def train(checkpoint=None, callbacks=(), *, patience=4, seed=7, **options):
    """Dropout, batch statistics, Adam on a schedule, refreshed weights."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6,))
    embedding = keras.layers.Dense(8, activation="tanh")(inputs)
    x = keras.layers.BatchNormalization()(embedding)
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(x))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 20, 0.9)
    model.compile(keras.optimizers.Adam(schedule), "binary_crossentropy")
    refresh = tfi.RefreshImportance(
        keras.Model(inputs, embedding), X[:60], Y[:60], every=3
    )
    result = tfi.fit(
        model,
        X,
        Y,
        sample_weight=WEIGHT,
        validation=(TARGET_X, TARGET_Y),
        epochs=EPOCHS,
        batch_size=64,
        patience=patience,
        seed=seed,
        callbacks=[refresh, *callbacks],
        checkpoint=checkpoint,
        **options,
    )
    return model, result


if __name__ == "__main__":
    folder, epoch, step = sys.argv[1:]
    train(folder, [Kill(int(epoch), int(step))])
