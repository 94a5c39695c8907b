"""The fit: batches, watching, stopping, going on."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import fail
from tfimportance.allocation import (
    Allocation,
    allocation_of,
    describe,
    sets_step_size,
)
from tfimportance.training.arguments import (
    Validation,
    batches_of,
    check_settings,
    checked_validation,
    watch,
)
from tfimportance.training.batches import Batches, BeginEpoch, fingerprint
from tfimportance.training.callbacks import MONITOR, BestEpoch, TensorBoard
from tfimportance.training.checkpoint import Checkpoint
from tfimportance.training.refresh import RefreshImportance
from tfimportance.training.steps import step_size_by_row


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
    allocation: str | Allocation | Sequence[str | Allocation] = "weight",
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
    best epoch are restored. A model that gives NaN is stopped, with a warning.

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
        allocation: How the weights become training, one word, an object with
            settings, or several, one after the other:
            `"weight"`: the loss of a row is multiplied by its weight
            (`Weight`). `"top_k"`: only the more important half comes (`TopK`).
            `"repeat"`: a row comes as often as its weight says (`Repeat`).
            `"learning_rate"`: the weight is a step size, also under Adam
            (`LearningRate`). `"curriculum"`: important rows first, all in the
            end (`Curriculum`). All but `"weight"` and `"learning_rate"` keep
            the class mix. `("curriculum", "weight")` combines two. A set takes
            `"weight"` or `"learning_rate"`, without settings.
        validation: `(features, labels)` of held-out target rows with both
            classes; None trains for all `epochs`. With a third entry,
            `(num_validation,)` weights, the history has the exact weighted
            `target_weighted_auc` as well. Not with an optimizer that uses
            `use_ema`: the best epoch would take the place of the averages.
        epochs: The most epochs.
        batch_size: Rows per step; a set brings its own.
        patience: Epochs to wait for a better AUC.
        seed: Seeds Keras' global generators and the shuffling, which is a
            function of the seed and the number of the epoch. Layers that were
            made before, such as the dropout of a model, keep theirs: call
            `keras.utils.set_random_seed` before you make the model, too. None
            shuffles by Python's `random`.
        callbacks: Further Keras callbacks; they see `target_auc` in `logs`.
        checkpoint: A folder. After every epoch the state of the run is put
            there; the same call after a crash goes on from it and gives what
            the unbroken run would have given. It needs a `seed`. Data, model,
            optimizer, loss and settings must be as they were, but for
            `epochs`. The state of `callbacks`, of a set without `set_epoch` and
            of generators outside the model's layers (`tf.random`) is not in
            it.
        tensorboard: A folder for TensorBoard's event files: the history, the
            effective sample size and a histogram of the sample weights.

    Raises:
        InputError: The model is not compiled, an argument does not match, or
            `checkpoint` holds another run.
    """
    check_settings(model, epochs, batch_size, patience, seed, checkpoint)
    batch_size, patience = int(batch_size), int(patience)  # not NumPy's
    seed = None if seed is None else int(seed)
    validation = checked_validation(model, validation)
    allocation = allocation_of(allocation)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    batches = batches_of(
        features, labels, sample_weight, allocation, batch_size, seed
    )
    best = None if validation is None else BestEpoch(patience)
    look_on = [
        *watch(validation, best, batch_size),
        *callbacks,
        BeginEpoch(batches),  # after those that may change the weights
        *_log(batches, callbacks, tensorboard),
    ]
    keep = None
    if checkpoint is not None:
        given = None if validation is None else fingerprint(validation)
        run = {"seed": seed, "batch_size": batch_size, "validation": given}
        run["patience"] = None if validation is None else patience
        run["allocation"] = describe(allocation)
        keep = Checkpoint(Path(checkpoint), batches, best, run)
        keep.resume(model)
        look_on.append(keep)
    stepping: AbstractContextManager[None] = nullcontext()
    if sets_step_size(allocation):
        stepping = step_size_by_row(model, batches)
    with stepping:
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
    if np.isnan(auc).all():
        raise fail(
            "`model` must give finite probabilities.",
            "NaN or infinite ones from the first epoch on",
            "Lower the learning rate, or the largest weights.",
        )
    best = int(np.nanargmax(auc))
    return FitResult(history, best + 1, float(auc[best]))


def _first_epoch(keep: Checkpoint | None, epochs: int) -> int:
    if keep is None:
        return 0
    return epochs if keep.stopped else keep.epochs


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
