"""The fit: batches, watching, stopping, going on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_binary,
    check_count,
    check_finite,
    check_length,
    fail,
)
from tfimportance.training.batches import (
    Batches,
    BeginEpoch,
    GivenBatches,
    RowBatches,
    fingerprint,
)
from tfimportance.training.callbacks import (
    MONITOR,
    BestEpoch,
    TargetAUC,
    TensorBoard,
)
from tfimportance.training.checkpoint import Checkpoint
from tfimportance.training.refresh import RefreshImportance

Validation = tuple[Any, ArrayLike] | tuple[Any, ArrayLike, ArrayLike]


@dataclass(frozen=True)
class FitResult:
    """What `fit` saw; the model itself holds the best epoch's weights.

    Attributes:
        history: Metric name to one value per epoch; `target_auc` is the exact
            ROC AUC on the validation rows.
        best_epoch: The restored epoch, counted from 1.
        target_auc: Exact ROC AUC of the restored weights on the validation
            rows, in [0, 1]; NaN without validation rows.
    """

    history: dict[str, list[float]]
    best_epoch: int
    target_auc: float


def fit(
    model: keras.Model,
    features: Any,  # whatever structure of arrays the model takes, or a set
    labels: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    validation: Validation | None = None,
    epochs: int = 20,
    batch_size: int = 256,
    patience: int = 3,
    seed: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: str | Path | None = None,
    tensorboard: str | Path | None = None,
) -> FitResult:
    """Trains `model` in place; the AUC on held-out target rows decides.

    After every epoch the exact ROC AUC on the validation rows is computed
    (never weighted: these rows are the traffic that counts). The training
    stops after `patience` epochs without a better one, and the weights of the
    best epoch are restored.

    Keras divides the weighted loss of a batch by the batch size, not by the
    sum of the weights, so weights of mean 1 keep the learning rate as it was:
    that is what `to_sample_weight` gives. Under a distribution strategy this
    holds for each replica's part of a batch, and the parts count the same.

    Args:
        model: Any compiled Keras model with one probability per row.
        features: The training features, `num_samples` rows: an array, or a
            dict or tuple of arrays for several inputs. Or a batched
            `tf.data.Dataset` or a `keras.utils.PyDataset` of `(x, y)` or
            `(x, y, sample_weight)`, read in its own order, to which
            `set_epoch(epoch)` is said before each epoch if it has that method.
        labels: `(num_samples,)` of 0 and 1; None where a set brings them.
        sample_weight: `(num_samples,)`, finite and not negative; None trains
            uniformly.
        validation: `(features, labels)` of held-out target rows with both
            classes; None trains for all `epochs`. With a third entry,
            `(num_validation,)` weights, the history has the exact weighted
            `target_weighted_auc` as well.
        epochs: The most epochs.
        batch_size: Rows per step; a set brings its own.
        patience: Epochs to wait for a better AUC.
        seed: Seeds Keras' global generators, for dropout, and the shuffling,
            which is a function of the seed and the number of the epoch. None
            leaves the generators alone.
        callbacks: Further Keras callbacks; they see `target_auc` in `logs`.
        checkpoint: A folder. After every epoch the state of the run is put
            there; the same call after a crash goes on from it and gives what
            the unbroken run would have given. It needs a `seed`. The state of
            `callbacks` and of a set without `set_epoch` is not in it.
        tensorboard: A folder for TensorBoard's event files: the history, the
            effective sample size and a histogram of the sample weights.

    Raises:
        InputError: The model is not compiled, an argument does not match, or
            `checkpoint` holds another run.
    """
    _check_settings(model, epochs, batch_size, patience, seed, checkpoint)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    batches = _batches(features, labels, sample_weight, batch_size, seed)
    best = None if validation is None else BestEpoch(patience)
    watch = _watch(batches, validation, best, batch_size)
    look_on = [*watch, *callbacks, *_log(batches, callbacks, tensorboard)]
    keep = None
    if checkpoint is not None:
        given = None if validation is None else fingerprint(validation)
        run = {"seed": seed, "batch_size": batch_size, "validation": given}
        keep = Checkpoint(Path(checkpoint), batches, best, run)
        keep.resume(model)
        look_on.append(keep)
    history = model.fit(
        batches.dataset(),
        epochs=epochs,
        initial_epoch=_first_epoch(keep, epochs),
        callbacks=look_on,
        shuffle=False,  # the order is the data's own
        verbose=0,
    ).history
    return _result(history if keep is None else keep.history)


def _result(history: dict[str, list[float]]) -> FitResult:
    if MONITOR not in history:
        epochs = max(map(len, history.values()))
        return FitResult(history, epochs, float("nan"))
    auc = history[MONITOR]
    best = int(np.argmax(auc))
    return FitResult(history, best + 1, float(auc[best]))


def _first_epoch(keep: Checkpoint | None, epochs: int) -> int:
    if keep is None:
        return 0
    return epochs if keep.stopped else keep.epochs


def _check_settings(
    model: keras.Model,
    epochs: int,
    batch_size: int,
    patience: int,
    seed: int | None,
    checkpoint: str | Path | None,
) -> None:
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_count("patience", patience)
    if seed is not None:
        check_count("seed", seed, at_least=0)
    elif checkpoint is not None:
        raise fail(
            "`seed` must be given with `checkpoint`.",
            "seed=None",
            "Without one, a run that goes on would shuffle differently.",
        )
    if not getattr(model, "compiled", False):
        raise fail(
            "`model` must be compiled.",
            f"model={model.name!r}, not compiled",
            "Call model.compile(optimizer, loss) first.",
        )


def _batches(
    features: Any,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
    batch_size: int,
    seed: int | None,
) -> Batches:
    if isinstance(features, (tf.data.Dataset, keras.utils.PyDataset)):
        if labels is None and sample_weight is None:
            return GivenBatches(features)
        raise fail(
            "`labels` and `sample_weight` must be left out where `features` is "
            "a data set.",
            f"features of type {type(features).__name__}",
            "Let it give (x, y, sample_weight).",
        )
    if labels is None:
        raise fail("`labels` must be given with arrays.", "labels=None")
    label = np.asarray(labels)
    for part in keras.tree.flatten(features):
        check_length("labels", label, _num_rows(part), "features")
    check_binary("labels", label)
    weight = _checked_weight("sample_weight", sample_weight, len(label))
    return RowBatches(features, label, weight, batch_size=batch_size, seed=seed)


def _num_rows(array: Any) -> int:
    if getattr(array, "shape", ()):
        return int(array.shape[0])
    raise fail(
        "`features` must be an array, or a dict or tuple of arrays.",
        f"a {type(array).__name__} in features",
        "Turn lists into arrays with np.asarray.",
    )


def _checked_weight(
    name: str, sample_weight: ArrayLike | None, num_samples: int
) -> Array | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, np.float32)
    check_length(name, weight, num_samples, "labels")
    check_finite(name, weight)
    if weight.min() < 0:
        raise fail(
            f"`{name}` must not be negative.",
            f"{name} with a minimum of {weight.min():g}",
            "Turn scores into weights with `to_sample_weight`.",
        )
    return weight


def _watch(
    batches: Batches,
    validation: Validation | None,
    best: BestEpoch | None,
    batch_size: int,
) -> list[keras.callbacks.Callback]:
    if validation is None or best is None:
        return [BeginEpoch(batches)]
    features, labels, *rest = validation
    label = np.asarray(labels)
    for part in keras.tree.flatten(features):
        check_length(
            "validation labels", label, _num_rows(part), "validation features"
        )
    check_binary("validation labels", label, both=True)
    weight = _checked_weight(
        "validation sample_weight", rest[0] if rest else None, len(label)
    )
    if weight is not None:
        seen = label[weight > 0]
        check_binary("validation labels of positive weight", seen, both=True)
    # Without gradients a batch needs far less memory than in training.
    auc = TargetAUC(features, label, weight, 4 * batch_size)
    return [BeginEpoch(batches), auc, best]


def _log(
    batches: Batches,
    callbacks: Sequence[keras.callbacks.Callback],
    tensorboard: str | Path | None,
) -> list[keras.callbacks.Callback]:
    """Tells the refreshing callbacks of the rows; returns what logs them."""
    refresh = [
        each for each in callbacks if isinstance(each, RefreshImportance)
    ]
    for each in refresh:
        each.connect(batches)
    if tensorboard is None:
        return []
    return [TensorBoard(Path(tensorboard), batches, refresh)]
