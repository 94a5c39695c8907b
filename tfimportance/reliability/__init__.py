"""What the trusted target rows say about the labels of the training pool.

labels.py    label_reliability: how likely each label is right
noise.py     how often labels are wrong, by expectation maximisation
opinions.py  three opinions on a label, none of which has seen it
learners.py  linear models and forests behind them, out of fold
choice.py    choose_weights: which weights serve the target best, if any
"""

from tfimportance.reliability.choice import Candidate, Choice, choose_weights
from tfimportance.reliability.labels import (
    LabelReliability,
    label_reliability,
)

__all__ = [
    "Candidate",
    "Choice",
    "LabelReliability",
    "choose_weights",
    "label_reliability",
]
