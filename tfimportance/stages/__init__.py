"""The chain stage by stage, from file to file: what the commands do.

scoring.py  score_files: two files to weights
weights.py  the file of weights, written and read
fitting.py  fit_files, evaluate_file, export_model
"""

from tfimportance.stages.fitting import (
    evaluate_file,
    export_model,
    fit_files,
    has_own_group,
)
from tfimportance.stages.scoring import score_files
from tfimportance.stages.weights import read_weights, weights_frame

__all__ = [
    "evaluate_file",
    "export_model",
    "fit_files",
    "has_own_group",
    "read_weights",
    "score_files",
    "weights_frame",
]
