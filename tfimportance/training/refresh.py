"""Importance that follows the encoder while it trains, epoch by epoch."""

import time
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import check_count, fail
from tfimportance.importance import importance_scores
from tfimportance.importance.scores import Importance
from tfimportance.training.batches import Batches, RowBatches
from tfimportance.weighting import to_sample_weight


class RefreshImportance(keras.callbacks.Callback):
    """Weights the rows anew by the current encoder, every few epochs.

    For `fit` on arrays. The first `every` epochs use the `sample_weight` that
    `fit` was given (uniform without one). Before each epoch `every`,
    `2 * every`, ... (counted from 0) all training and target rows are encoded
    with the model as it then is, scored and tempered, and these weights are in
    use from this epoch on. `history["refresh_seconds"]` is what that cost
    each epoch.

    Attributes:
        importance: `(num_samples,)` scores of the latest refresh, or None.

    Args:
        encoder: The part of the model that embeds: a `keras.Model` that
            shares its layers, from rows to `(batch, embedding_dim)`.
        target_features: The target rows, as `encoder` takes them.
        target_labels: `(num_targets,)` of 0 and 1, or None to ignore labels.
        every: Epochs between two refreshes.
        features: The training rows, as `encoder` takes them; None stands for
            the features that `fit` trains on.
        effective_fraction: As in `to_sample_weight`.
        per_label: Whether the rows are tempered within each class, so that
            the class mix of the data stays as it is: as `labels=` in
            `to_sample_weight`.
        batch_size: Rows that are encoded at a time.
        **options: Of `importance_scores`: `mode`, `scale`, `reference`, ...

    Example:
        >>> import keras, numpy as np
        >>> import tfimportance as tfi
        >>> rows = np.random.default_rng(0).normal(size=(64, 4))
        >>> label = (rows[:, 0] > 0).astype(int)
        >>> model = tfi.dense_head(4)
        >>> encoder = keras.Model(model.input, model.layers[2].output)
        >>> refresh = tfi.RefreshImportance(encoder, rows[:9], label[:9])
        >>> result = tfi.fit(model, rows, label, epochs=3, callbacks=[refresh])
        >>> [each > 0 for each in result.history["refresh_seconds"]]
        [False, True, True]
    """

    def __init__(
        self,
        encoder: keras.Model,
        target_features: Any,
        target_labels: ArrayLike | None = None,
        *,
        every: int = 1,
        features: Any = None,
        effective_fraction: float = 0.85,
        per_label: bool = False,
        batch_size: int = 256,
        **options: Any,
    ) -> None:
        super().__init__()
        check_count("every", every)
        check_count("batch_size", batch_size)
        self.encoder = encoder
        self.target_features, self.target_labels = (
            target_features,
            target_labels,
        )
        self.every = every
        self.features = features
        self.effective_fraction = effective_fraction
        self.per_label = per_label
        self.batch_size = batch_size
        self.options = options
        self.importance: Importance | None = None
        self._batches: RowBatches | None = None
        self._seconds = 0.0

    def connect(self, batches: Batches) -> None:
        """Called by `fit`: the rows whose weights this callback changes."""
        if not isinstance(batches, RowBatches):
            raise fail(
                "`features` must be arrays with `RefreshImportance`.",
                f"features of type {type(batches.data).__name__}",
            )
        if batches.sample_weight is None:
            batches.sample_weight = np.ones(len(batches), np.float32)
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras before the epoch's first batch is made."""
        if self._batches is None:
            raise fail(
                "`RefreshImportance` must be among the callbacks of "
                "`tfimportance.fit`.",
                "a call of model.fit",
            )
        self._seconds = 0.0
        if epoch and epoch % self.every == 0:
            begin = time.perf_counter()
            self._batches.sample_weight = self._weigh(self._batches)
            self._seconds = time.perf_counter() - begin

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Called by Keras; adds the cost to the epoch's logs."""
        if logs is not None:
            logs["refresh_seconds"] = self._seconds

    def _weigh(self, batches: RowBatches) -> Any:
        features = batches.features if self.features is None else self.features
        label = batches.labels.numpy()
        self.importance = importance_scores(
            self._encode(features),
            self._encode(self.target_features),
            labels=None if self.target_labels is None else label,
            target_labels=self.target_labels,
            **self.options,
        )
        return to_sample_weight(
            self.importance,
            effective_fraction=self.effective_fraction,
            labels=label if self.per_label else None,
        )

    def _encode(self, features: Any) -> Any:
        output = self.encoder.predict(
            features, batch_size=self.batch_size, verbose=0
        )
        return np.asarray(output, np.float32)
