"""Strategies trained from the same seeds, compared on rows unseen by all.

Every strategy gets the same model, seeds and stopping rule; only the rows and
their weights differ. Validation rows stop the training and choose, test rows
report, and no row does both.

training.py  compare: every strategy from every seed
result.py    Comparison: figures of each, the one chosen
evidence.py  intervals, p-values and words on the difference to uniform
"""

from tfimportance.comparison.evidence import Evidence, verdict
from tfimportance.comparison.result import Comparison, Part, Trained
from tfimportance.comparison.training import compare

__all__ = [
    "Comparison",
    "Evidence",
    "Part",
    "Trained",
    "compare",
    "verdict",
]
