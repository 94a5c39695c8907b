"""What looks on while a model trains."""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from tfimportance._checks import Array
from tfimportance.evaluation import predict_probability, roc_auc
from tfimportance.training.batches import Batches, RowBatches
from tfimportance.training.refresh import RefreshImportance

MONITOR = "target_auc"
_HISTOGRAM_BINS = 30


class TargetAUC(keras.callbacks.Callback):
    """Puts the exact AUC on the validation rows into the epoch's logs."""

    def __init__(
        self,
        features: Any,
        labels: Array,
        sample_weight: Array | None,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.features, self.labels = features, labels
        self.sample_weight = sample_weight
        self.batch_size = batch_size

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Called by Keras before the callbacks that read these logs."""
        if logs is None:
            return
        probability = predict_probability(
            self.model, self.features, batch_size=self.batch_size
        )
        if not np.isfinite(probability).all():
            warnings.warn(
                f"The model gave NaN or infinite values after epoch {epoch + 1}"
                ": the training stops. Lower the learning rate.",
                stacklevel=2,
            )
            self.model.stop_training = True
            logs[MONITOR] = float("nan")
        else:
            logs |= self._measured(probability)

    def _measured(self, probability: Array) -> dict[str, float]:
        logs = {MONITOR: roc_auc(self.labels, probability)}
        if self.sample_weight is not None:
            logs["target_weighted_auc"] = float(
                roc_auc_score(
                    self.labels, probability, sample_weight=self.sample_weight
                )
            )
        return logs


class BestEpoch(keras.callbacks.EarlyStopping):
    """Early stopping that can go on from where it was."""

    def __init__(self, patience: int) -> None:
        super().__init__(
            MONITOR, mode="max", patience=patience, restore_best_weights=True
        )
        self._resumed: dict[str, Any] = {}

    def resume(
        self, wait: int, best: float, best_epoch: int, best_weights: list[Array]
    ) -> None:
        """Takes over the state of a broken run."""
        self._resumed = {
            "wait": wait,
            "best": best,
            "best_epoch": best_epoch,
            "best_weights": best_weights,
        }

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras; the parent forgets everything here."""
        super().on_train_begin(logs)
        for name, value in self._resumed.items():
            setattr(self, name, value)


class TensorBoard(keras.callbacks.Callback):
    """Writes the figures of every epoch, counted from 1, for TensorBoard.

    Of arrays also the effective sample size of what the epoch held, in rows,
    and with weights their histogram; with `RefreshImportance` also that of the
    importances. Only the event file is written here, so TensorBoard need not
    be installed.
    """

    def __init__(
        self, folder: Path, batches: Batches, refresh: list[RefreshImportance]
    ) -> None:
        super().__init__()
        self.folder, self.batches, self.refresh = folder, batches, refresh

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras; opens a new event file."""
        self._writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Called by Keras after the callbacks that add to these logs."""
        with self._writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                _write_scalar(name, value)
            if isinstance(self.batches, RowBatches):
                _write_scalar(
                    "effective_sample_size", self.batches.effective_sample_size
                )
                if self.batches.sample_weight is not None:
                    _write_histogram(
                        "sample_weight", self.batches.sample_weight
                    )
            for each in self.refresh:
                if each.importance is not None:
                    _write_histogram("importance", each.importance)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Called by Keras; closes the event file."""
        self._writer.close()


def _write_scalar(name: str, value: float) -> None:
    _write(name, "scalars", tf.constant(value, tf.float32))


def _write_histogram(name: str, values: Array) -> None:
    """Bins of (left, right, count), as TensorBoard's plugin reads them."""
    counts, edges = np.histogram(np.asarray(values), _HISTOGRAM_BINS)
    bins = np.stack([edges[:-1], edges[1:], counts], axis=1)
    _write(name, "histograms", tf.constant(bins, tf.float64))


def _write(name: str, plugin: str, value: tf.Tensor) -> None:
    # tf.summary.scalar and .histogram would need the tensorboard package.
    metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": plugin})
    metadata.data_class = 1 if plugin == "scalars" else 2
    tf.summary.write(name, value, metadata=metadata)
