"""What `fit` was given, checked and made into its parts."""

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
    check_length,
    fail,
)
from tfimportance.allocation import (
    Allocation,
    LearningRate,
    Weight,
    check_weights,
)
from tfimportance.training.batches import (
    Batches,
    GivenBatches,
    RowBatches,
)
from tfimportance.training.callbacks import BestEpoch, TargetAUC

Validation = tuple[Any, ArrayLike] | tuple[Any, ArrayLike, ArrayLike]


def check_settings(
    model: keras.Model,
    epochs: int,
    batch_size: int,
    patience: int,
    seed: int | None,
    checkpoint: str | Path | None,
) -> None:
    """Raises unless `fit` can begin with these."""
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_count("patience", patience)
    if seed is not None:
        check_count("seed", seed, at_least=0)
        if seed >= 2**32:
            raise fail("`seed` must be less than 2**32.", f"seed={seed}")
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


def batches_of(
    features: Any,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
    allocation: Allocation,
    batch_size: int,
    seed: int | None,
) -> Batches:
    """Returns the source of the batches, with what it is made of checked."""
    if isinstance(features, (tf.data.Dataset, keras.utils.PyDataset)):
        _check_set(features, labels, sample_weight, allocation)
        return GivenBatches(features)
    if labels is None:
        raise fail("`labels` must be given with arrays.", "labels=None")
    label = np.asarray(labels)
    if not label.size:
        raise fail("`labels` must have at least one row.", "0 rows")
    for part in keras.tree.flatten(features):
        check_length("labels", label, _num_rows(part), "features")
    check_binary("labels", label)
    weight = checked_weight("sample_weight", sample_weight, len(label))
    return RowBatches(
        features,
        label,
        weight,
        allocation=allocation,
        batch_size=batch_size,
        seed=seed,
    )


def _check_set(
    data: Any, labels: Any, sample_weight: Any, allocation: Allocation
) -> None:
    if labels is not None or sample_weight is not None:
        raise fail(
            "`labels` and `sample_weight` must be left out where `features` is "
            "a data set.",
            f"features of type {type(data).__name__}",
            "Let it give (x, y, sample_weight), as `attach_weights` does.",
        )
    if type(allocation) not in (Weight, LearningRate):
        raise fail(
            "`allocation` must be 'weight' or 'learning_rate' where "
            "`features` is a data set, which brings its own rows.",
            f"allocation={allocation!r}",
            "Give arrays instead.",
        )
    _check_elements(data)
    if allocation != type(allocation)():
        raise fail(
            "`allocation` must be without settings where `features` is a data "
            "set, whose weights are used as they come.",
            f"allocation={allocation!r}",
            "Give arrays instead.",
        )


def _check_elements(data: Any) -> None:
    """Raises where no epoch of batches with labels could come of a set."""
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise fail(
                "`features` must be a set of known length.",
                "a PyDataset with num_batches=None",
            )
        return
    count = int(data.cardinality())
    if count in (0, tf.data.INFINITE_CARDINALITY):
        raise fail(
            "`features` must be a set that has batches, and an end.",
            "an empty set" if count == 0 else "a set that repeats for ever",
            "Say take(n), or leave repeat() out." if count else "",
        )
    spec = data.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise fail(
            "`features` must be a set of (x, y) or (x, y, sample_weight).",
            f"elements {spec}",
        )
    if any(getattr(x, "shape", None) == () for x in keras.tree.flatten(spec)):
        raise fail(
            "`features` must be a set of batches.",
            f"elements {spec}",
            "Say batch(256).",
        )


def _num_rows(array: Any) -> int:
    if getattr(array, "shape", ()):
        return int(array.shape[0])
    raise fail(
        "`features` must be an array, or a dict or tuple of arrays.",
        f"a {type(array).__name__} in features",
        "Turn lists into arrays with np.asarray.",
    )


def checked_weight(
    name: str, sample_weight: ArrayLike | None, num_samples: int
) -> Array | None:
    """Returns float32 weights that are finite and not negative, if any."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, np.float32)
    check_length(name, weight, num_samples, "labels")
    check_weights(name, weight)
    return weight


def checked_validation(
    model: keras.Model, validation: Validation | None
) -> Validation | None:
    """Returns features, labels and, if there are any, weights."""
    if validation is None:
        return None
    fits = isinstance(validation, (tuple, list)) and len(validation) in (2, 3)
    if not fits:
        raise fail(
            "`validation` must be (features, labels) or (features, labels, "
            "sample_weight).",
            f"validation of type {type(validation).__name__}",
            "Turn a data set into arrays.",
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if getattr(optimizer, "use_ema", False):
        raise fail(
            "The optimizer must not use `use_ema` with `validation`.",
            "use_ema=True",
            "The weights of the best epoch take the place of the averages.",
        )
    features, labels, *rest = validation
    return (features, labels, *(each for each in rest if each is not None))


def watch(
    validation: Validation | None,
    best: BestEpoch | None,
    batch_size: int,
) -> list[keras.callbacks.Callback]:
    """Returns what measures the AUC after each epoch, and acts on it."""
    if validation is None or best is None:
        return []
    features, labels, *rest = validation
    label = np.asarray(labels)
    for part in keras.tree.flatten(features):
        check_length(
            "validation labels", label, _num_rows(part), "validation features"
        )
    check_binary("validation labels", label, both=True)
    weight = checked_weight(
        "validation sample_weight", rest[0] if rest else None, len(label)
    )
    if weight is not None:
        seen = label[weight > 0]
        check_binary("validation labels of positive weight", seen, both=True)
    # Without gradients a batch needs far less memory than in training.
    auc = TargetAUC(features, label, weight, 4 * batch_size)
    return [auc, best]
