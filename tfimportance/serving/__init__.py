"""From training to TensorFlow Serving.

exporting.py   export: a model, its encoder and target set to a SavedModel
signatures.py  what a served model can be asked, as functions of tensors
features.py    from what a request holds to what the model takes
targets.py     the target set of a served model, and its scores
checks.py      what is tried before anything is written
publishing.py  versions that appear whole or not at all
card.py        signature.json and the model card
warmup.py      the requests that a server sends itself when it loads
deployment.py  models.config and compose.yaml for the official image
loading.py     an exported model, to be asked in Python
prediction.py  a file of rows through an exported model
similar.py     the catalogue rows most similar to a text
search.py      the nearest vectors, exactly or through FAISS
"""

from tfimportance.serving.exporting import export
from tfimportance.serving.loading import ServedModel, load_served
from tfimportance.serving.prediction import predict_file
from tfimportance.serving.similar import Match, find_similar
from tfimportance.serving.targets import TargetSet

__all__ = [
    "Match",
    "ServedModel",
    "TargetSet",
    "export",
    "find_similar",
    "load_served",
    "predict_file",
]
