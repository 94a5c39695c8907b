"""A run killed in the middle ends as if nothing had happened."""

import signal
import subprocess
import sys
from pathlib import Path

import broken_run
import keras
import numpy as np
import pytest
import tensorflow as tf
from broken_run import EPOCHS, TARGET_X, TARGET_Y, X, Y, train
from safetensors import safe_open

from tfimportance import InputError, dense_head, fit


class Crash(keras.callbacks.Callback):
    """Raises in the middle of an epoch, as a full disk would."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.broken = epoch == self.epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.broken:
            raise OSError("No space left on device")


def same(history, other):
    """All figures to the last bit; only the time taken differs."""
    keys = history.keys() - {"refresh_seconds"}
    return keys == other.keys() - {"refresh_seconds"} and all(
        history[key] == other[key] for key in keys
    )


def state(model):
    return [
        keras.ops.convert_to_numpy(each)
        for each in [*model.variables, *model.optimizer.variables]
    ]


@pytest.fixture(scope="module")
def unbroken():
    model, result = train()
    # The case is only worth its name if the best epoch is not the last one.
    assert result.best_epoch <= 4
    assert len(result.history["loss"]) == 7 < EPOCHS
    return state(model), result


def test_a_killed_run_ends_as_the_unbroken_one(unbroken, tmp_path):
    killed = subprocess.run(
        [sys.executable, broken_run.__file__, str(tmp_path), "5", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with safe_open(tmp_path / "training.safetensors", "np") as file:
        assert '"epochs": 5' in file.metadata()["state"]
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch)
    )
    model, result = train(tmp_path, [spy])
    variables, expected = unbroken
    assert seen == [5, 6]
    assert same(result.history, expected.history)
    assert result.best_epoch == expected.best_epoch
    assert result.target_auc == expected.target_auc
    for ours, theirs in zip(state(model), variables, strict=True):
        assert np.array_equal(ours, theirs)


def test_a_finished_run_is_not_trained_further(unbroken, tmp_path):
    train(tmp_path)
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch)
    )
    model, result = train(tmp_path, [spy])
    assert seen == []
    variables, expected = unbroken
    assert same(result.history, expected.history)
    assert result.best_epoch == expected.best_epoch
    for ours, theirs in zip(state(model), variables, strict=True):
        assert np.array_equal(ours, theirs)


def subclassed(policy="float32"):
    class Tower(keras.Model):
        def __init__(self):
            super().__init__(dtype=policy)
            self.hidden = keras.layers.Dense(4, activation="relu", dtype=policy)
            self.drop = keras.layers.Dropout(0.5, dtype=policy)
            self.out = keras.layers.Dense(1, "sigmoid", dtype="float32")

        def call(self, inputs, training=None):
            return self.out(self.drop(self.hidden(inputs), training=training))

    keras.utils.set_random_seed(3)
    model = Tower()
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    return model


class Shifting(keras.utils.PyDataset):
    """Other rows in each epoch, as resampling gives."""

    def __init__(self):
        super().__init__()
        self.epoch = None

    def __len__(self):
        return 5

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, step):
        rows = np.random.default_rng([self.epoch or 0, step]).integers(
            400, size=50
        )
        return X[rows], Y[rows], np.ones(50, np.float32)


def fixed_order():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(64)


@pytest.mark.parametrize(
    ("make_model", "data"),
    [
        (subclassed, lambda: (X, Y)),  # not built before the first batch
        (lambda: subclassed("mixed_float16"), lambda: (X, Y)),
        (lambda: subclassed("bfloat16"), lambda: (X, Y)),
        (subclassed, lambda: (Shifting(),)),
        (subclassed, lambda: (fixed_order(),)),
    ],
    ids=["subclassed", "float16", "bfloat16", "PyDataset", "tf.data"],
)
@pytest.mark.filterwarnings("ignore:.*divide by zero")
def test_every_kind_of_model_and_data_goes_on(make_model, data, tmp_path):
    options = {"validation": (TARGET_X, TARGET_Y), "epochs": 4, "seed": 5}
    options |= {"batch_size": 50, "patience": 9}
    whole, broken, resumed = make_model(), make_model(), make_model()
    expected = fit(whole, *data(), **options)
    options["checkpoint"] = tmp_path
    with pytest.raises(OSError, match="space"):
        fit(broken, *data(), callbacks=[Crash(2)], **options)
    result = fit(resumed, *data(), **options)
    assert result.history == expected.history
    for ours, theirs in zip(state(resumed), state(whole), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.slow
def test_more_epochs_go_on_from_a_finished_run(tmp_path):
    def run(epochs, checkpoint=None):
        keras.utils.set_random_seed(1)
        model = dense_head(6)
        fit(model, X, Y, epochs=epochs, seed=5, checkpoint=checkpoint)
        return model.predict(X, verbose=0)

    run(2, tmp_path)
    assert np.array_equal(run(4, tmp_path), run(4))


def compiled(optimizer=None, loss="binary_crossentropy"):
    model = dense_head(6)
    model.compile(optimizer or model.optimizer, loss)
    return model


OPTIONS = {"validation": (TARGET_X, TARGET_Y), "seed": 5, "epochs": 1}


@pytest.mark.parametrize(
    ("make_model", "change", "named"),
    [
        (lambda: dense_head(6, hidden=9), {}, "another model"),
        (subclassed, {}, "another model"),
        (lambda: dense_head(6, dropout=0.3), {}, "another model"),
        (lambda: dense_head(6), {"features": X + 1}, "another data"),
        (lambda: dense_head(6), {"labels": 1 - Y}, "another data"),
        (lambda: dense_head(6), {"sample_weight": Y + 1.0}, "another data"),
        (lambda: dense_head(6), {"seed": 6}, "another seed"),
        (lambda: dense_head(6), {"batch_size": 9}, "another batch_size"),
        (lambda: dense_head(6), {"patience": 9}, "another patience"),
        (lambda: dense_head(6, learning_rate=0.5), {}, "another optimizer"),
        (
            lambda: compiled(keras.optimizers.Adam(epsilon=1e-3)),
            {},
            "another optimizer",
        ),
        (lambda: compiled(loss="mse"), {}, "another loss"),
        (
            lambda: dense_head(6),
            {"validation": (TARGET_X, 1 - TARGET_Y)},
            "another validation",
        ),
    ],
)
def test_another_run_is_refused(make_model, change, named, tmp_path):
    fit(dense_head(6), X, Y, checkpoint=tmp_path, **OPTIONS)
    before = (tmp_path / "training.safetensors").read_bytes()
    arguments = {"features": X, "labels": Y, **OPTIONS, **change}
    with pytest.raises(InputError, match=f"checkpoint.*{named}.*delete"):
        fit(make_model(), checkpoint=tmp_path, **arguments)
    assert (tmp_path / "training.safetensors").read_bytes() == before


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"\x05nothing")
    with pytest.raises(InputError, match=r"checkpoint.*delete"):
        fit(dense_head(6), X, Y, checkpoint=tmp_path, **OPTIONS)


def test_only_one_file_is_left_and_a_half_written_one_goes(tmp_path):
    (tmp_path / ".training-17.safetensors").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("kept")
    fit(dense_head(6), X, Y, checkpoint=tmp_path, **OPTIONS)
    assert {path.name for path in Path(tmp_path).iterdir()} == {
        "training.safetensors",
        "mine.txt",
    }


def test_numbers_of_numpy_and_no_weights_of_the_validation(tmp_path):
    options = {**OPTIONS, "checkpoint": tmp_path}
    expected = fit(dense_head(6), X, Y, batch_size=32, **options)
    options |= {"validation": (TARGET_X, TARGET_Y, None), "seed": np.int64(5)}
    again = fit(dense_head(6), X, Y, batch_size=np.int64(32), **options)
    assert again == expected  # the same run, which was at its end


def test_a_seed_is_needed(tmp_path):
    with pytest.raises(InputError, match="seed=None"):
        fit(dense_head(6), X, Y, checkpoint=tmp_path)
