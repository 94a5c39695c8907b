"""How much each training sample matters for the traffic of a target set.

scores.py      importance_scores: modes, references, the public result
reductions.py  how similarities to many targets become one number
streaming.py   the compiled program over tiles of samples and targets
sources.py     embeddings from arrays, tf.data and Parquet, block by block
"""

from tfimportance.importance.compression import (
    CompressedTargets,
    compress_targets,
)
from tfimportance.importance.differentiable import reduced_similarity
from tfimportance.importance.reductions import Attention, Max, Mean, TopM
from tfimportance.importance.scores import Importance, importance_scores
from tfimportance.importance.sources import ParquetColumn

__all__ = [
    "Attention",
    "CompressedTargets",
    "Importance",
    "Max",
    "Mean",
    "ParquetColumn",
    "TopM",
    "compress_targets",
    "importance_scores",
    "reduced_similarity",
]
