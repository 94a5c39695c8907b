"""How good a model is, whether another is better, and how sure that is.

figures.py      evaluate: AUC, PR AUC, F1, log-loss, calibration
ranking.py      evaluate_ranking: AUC and NDCG within groups
differences.py  auc_difference: two models on the same rows
bootstrap.py    the same by resampling; many comparisons at once
uncertainty.py  the standard error behind an interval
"""

from tfimportance.evaluation.bootstrap import bootstrap_differences, holm
from tfimportance.evaluation.differences import Difference, auc_difference
from tfimportance.evaluation.figures import (
    Evaluation,
    best_f1_threshold,
    evaluate,
    evaluate_probability,
    mean_evaluation,
    predict_probability,
    roc_auc,
)
from tfimportance.evaluation.ranking import RankingQuality, evaluate_ranking
from tfimportance.evaluation.uncertainty import CONFIDENCE

__all__ = [
    "CONFIDENCE",
    "Difference",
    "Evaluation",
    "RankingQuality",
    "auc_difference",
    "best_f1_threshold",
    "bootstrap_differences",
    "evaluate",
    "evaluate_probability",
    "evaluate_ranking",
    "holm",
    "mean_evaluation",
    "predict_probability",
    "roc_auc",
]
