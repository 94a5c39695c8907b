"""Weighted training of any compiled Keras model, watched on target rows.

fitting.py     fit
arguments.py   what it was given, checked
batches.py     the rows of each epoch, as tf.data
callbacks.py   the exact AUC, the best epoch, TensorBoard
checkpoint.py  a broken run goes on
steps.py       a step size for each row
refresh.py     RefreshImportance: scores by the encoder as it trains, by epoch
online.py      OnlineImportance: the same in every step
models.py      dense_head, for those who bring no model
"""

from tfimportance.training.callbacks import MONITOR
from tfimportance.training.fitting import FitResult, fit
from tfimportance.training.models import dense_head
from tfimportance.training.online import OnlineImportance
from tfimportance.training.refresh import RefreshImportance

__all__ = [
    "MONITOR",
    "FitResult",
    "OnlineImportance",
    "RefreshImportance",
    "dense_head",
    "fit",
]
