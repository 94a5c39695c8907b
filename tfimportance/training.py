"""Weighted training of any compiled Keras model, watched on target rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_binary,
    check_count,
    check_finite,
    check_length,
    fail,
)
from tfimportance.evaluation import predict_probability, roc_auc

MONITOR = "target_auc"


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


def dense_head(
    embedding_dim: int,
    *,
    hidden: int = 128,
    dropout: float = 0.2,
    learning_rate: float = 1e-3,
) -> keras.Model:
    """Returns a compiled model from embeddings to a probability.

    One hidden layer with dropout; Adam on binary cross-entropy. Unit-length
    embeddings are rescaled to unit variance, so that the learning rate does
    not depend on their dimension.

    Args:
        embedding_dim: Columns of the embeddings.
        hidden: Units of the hidden layer.
        dropout: Share of hidden units dropped in training, in [0, 1).
        learning_rate: Adam's step size.
    """
    check_count("embedding_dim", embedding_dim)
    inputs = keras.Input((embedding_dim,), name="embedding")
    x = keras.layers.Rescaling(embedding_dim**0.5)(inputs)
    x = keras.layers.Dense(hidden, activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(x)
    model = keras.Model(inputs, outputs, name="dense_head")
    model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy")
    return model


def fit(
    model: keras.Model,
    features: Any,  # an array, or whatever structure of arrays the model takes
    labels: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    validation: tuple[Any, ArrayLike] | None = None,
    epochs: int = 20,
    batch_size: int = 256,
    patience: int = 3,
    seed: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> FitResult:
    """Trains `model` in place; the AUC on held-out target rows decides.

    After every epoch the exact ROC AUC on the validation rows is computed
    (never weighted: these rows are the traffic that counts). The training
    stops after `patience` epochs without a better one, and the weights of the
    best epoch are restored.

    Keras divides the weighted loss of a batch by the batch size, not by the
    sum of the weights, so weights of mean 1 keep the learning rate as it was:
    that is what `to_sample_weight` gives.

    Args:
        model: Any compiled Keras model with one probability per row.
        features: The training features, `num_samples` rows.
        labels: `(num_samples,)` of 0 and 1.
        sample_weight: `(num_samples,)`, finite and not negative; None trains
            uniformly.
        validation: `(features, labels)` of held-out target rows with both
            classes; None trains for all `epochs`.
        epochs: The most epochs.
        batch_size: Rows per step.
        patience: Epochs to wait for a better AUC.
        seed: Seeds Keras' global generators for shuffling and dropout, so
            that the run can be repeated; None leaves them alone.
        callbacks: Further Keras callbacks; they see `target_auc` in `logs`.

    Raises:
        InputError: The model is not compiled or an argument does not match.
    """
    label = np.asarray(labels)
    check_length(
        "labels", label, len(keras.tree.flatten(features)[0]), "features"
    )
    check_binary("labels", label)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_count("patience", patience)
    if not getattr(model, "compiled", False):
        raise fail(
            "`model` must be compiled.",
            f"model={model.name!r}, not compiled",
            "Call model.compile(optimizer, loss) first.",
        )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    history = model.fit(
        features,
        label,
        sample_weight=_checked_weight(sample_weight, len(label)),
        epochs=epochs,
        batch_size=batch_size,
        callbacks=[*_watch(validation, patience), *callbacks],
        verbose=0,
    ).history
    auc = history.get(MONITOR, [np.nan] * epochs)
    best = int(np.argmax(auc)) if validation else len(auc) - 1
    return FitResult(history, best + 1, float(auc[best]))


def _checked_weight(
    sample_weight: ArrayLike | None, num_samples: int
) -> Array | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, np.float32)
    check_length("sample_weight", weight, num_samples, "features")
    check_finite("sample_weight", weight)
    if weight.min() < 0:
        raise fail(
            "`sample_weight` must not be negative.",
            f"sample_weight with a minimum of {weight.min():g}",
            "Turn scores into weights with `to_sample_weight`.",
        )
    return weight


def _watch(
    validation: tuple[Any, ArrayLike] | None, patience: int
) -> list[keras.callbacks.Callback]:
    if validation is None:
        return []
    features, labels = validation
    check_binary("validation labels", np.asarray(labels), both=True)
    stop = keras.callbacks.EarlyStopping(
        MONITOR, mode="max", patience=patience, restore_best_weights=True
    )
    return [_TargetAUC(features, np.asarray(labels)), stop]


class _TargetAUC(keras.callbacks.Callback):
    """Puts the exact AUC on the validation rows into the epoch's logs."""

    def __init__(self, features: Any, labels: Array) -> None:
        super().__init__()
        self.features, self.labels = features, labels

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        if logs is not None:
            probability = predict_probability(self.model, self.features)
            logs[MONITOR] = roc_auc(self.labels, probability)
