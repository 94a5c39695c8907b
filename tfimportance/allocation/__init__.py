"""Weights in, training out: what an epoch holds.

epochs.py     Epoch, what is settled before an epoch is trained; Combination
spending.py   Weight, Repeat, LearningRate: how a weight acts
selection.py  TopK, Curriculum: which rows come
words.py      the words of `fit(..., allocation=...)`
alignment.py  weights in the order of the rows, by id
attaching.py  weights attached to tf.data and Keras sets
"""

from tfimportance.allocation.alignment import (
    align_weights,
    check_weights,
    weights_of_file,
)
from tfimportance.allocation.attaching import attach_weights
from tfimportance.allocation.epochs import (
    Allocation,
    Combination,
    Epoch,
    check_plan,
)
from tfimportance.allocation.selection import Curriculum, TopK
from tfimportance.allocation.spending import LearningRate, Repeat, Weight
from tfimportance.allocation.words import (
    allocation_of,
    describe,
    sets_step_size,
)

__all__ = [
    "Allocation",
    "Combination",
    "Curriculum",
    "Epoch",
    "LearningRate",
    "Repeat",
    "TopK",
    "Weight",
    "align_weights",
    "allocation_of",
    "attach_weights",
    "check_plan",
    "check_weights",
    "describe",
    "sets_step_size",
    "weights_of_file",
]
