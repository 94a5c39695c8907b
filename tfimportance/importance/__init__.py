"""How much each training sample matters for the traffic of a target set.

scores.py          importance_scores, the public result
polls.py           what is settled before the first sample is scored
modes.py           who votes on a sample, and how votes become its score
reductions.py      how similarities to many targets become one number
settings.py        what the similarity of two vectors is
folding.py         the fold of one tile of samples over tiles of targets
streaming.py       the compiled program over blocks of samples
tiles.py           targets laid out as tiles
sources.py         embeddings from arrays, tf.data and Parquet, by block
compression.py     many targets as few weighted centroids
differentiable.py  the same fold as a function with gradients
nearest.py         the nearest rows, by block
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
