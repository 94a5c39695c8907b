"""Weighted training of any compiled Keras model, watched on target rows."""

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
