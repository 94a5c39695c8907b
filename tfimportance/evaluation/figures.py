"""How good a model's probabilities are. Every AUC is exact: ties count half."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import sem, t
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_curve,
)

from tfimportance._arrays import with_text_tensors
from tfimportance._checks import Array, check_number, fail
from tfimportance.evaluation.uncertainty import (
    TAIL,
    auc_and_influence,
    auc_interval,
    checked,
    standard_error,
)

_CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """The quality of probabilities for binary labels; unweighted.

    Attributes:
        rows: Number of rows.
        positive_share: Share of rows with label 1, in (0, 1).
        roc_auc: Exact area under the ROC curve, in [0, 1].
        roc_auc_interval: 95% confidence interval of `roc_auc` over rows (over
            groups, where given).
        pr_auc: Average precision, in [0, 1].
        f1: F1 score of label 1 at `threshold`.
        threshold: The probability from which a row counts as 1.
        log_loss: Mean negative log-likelihood, in nats.
        calibration_error: Expected calibration error over 15 bins of equal
            width (Guo et al., 2017), in [0, 1].
    """

    rows: int
    positive_share: float
    roc_auc: float
    roc_auc_interval: tuple[float, float]
    pr_auc: float
    f1: float
    threshold: float
    log_loss: float
    calibration_error: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as a dict that JSON can hold."""
        return {**asdict(self), "roc_auc_interval": [*self.roc_auc_interval]}


def evaluate(
    model: Any,  # any Keras model
    features: Any,  # whatever that model takes
    labels: ArrayLike,
    *,
    threshold: float = 0.5,
    group: ArrayLike | None = None,
) -> Evaluation:
    """Returns the exact quality of a Keras model's probabilities.

    Args:
        model: A Keras model whose output is one probability for each row,
            `(num_samples,)` or `(num_samples, 1)`.
        features: What `model.predict` takes, `num_samples` rows.
        labels: `(num_samples,)` of 0 and 1; both must occur.
        threshold: The probability from which a row counts as 1, for F1.
        group: `(num_samples,)`, for instance the query of each row: the rows
            of one group then count as one observation in the interval.

    Raises:
        InputError: The labels or probabilities cannot be evaluated.
    """
    return evaluate_probability(
        labels,
        predict_probability(model, features),
        threshold=threshold,
        group=group,
    )


def predict_probability(
    model: Any, features: Any, *, batch_size: int = 4096
) -> Array:
    """Returns a Keras model's `(num_samples,)` probabilities, float64."""
    inputs = with_text_tensors(features)
    output = np.asarray(model.predict(inputs, batch_size=batch_size, verbose=0))
    if output.ndim == 2 and output.shape[1] == 1:
        output = output[:, 0]
    if output.ndim != 1:
        raise fail(
            "`model` must give one probability for each row.",
            f"an output of shape {output.shape}",
            "End the model with Dense(1, activation='sigmoid').",
        )
    return output.astype(np.float64)


def evaluate_probability(
    labels: ArrayLike,
    probability: ArrayLike,
    *,
    threshold: float = 0.5,
    group: ArrayLike | None = None,
) -> Evaluation:
    """Returns the exact quality of probabilities; see `evaluate`.

    Example:
        >>> result = evaluate_probability([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])
        >>> result.roc_auc
        0.75

    Args:
        labels: `(num_samples,)` of 0 and 1; both must occur.
        probability: `(num_samples,)` in [0, 1].
        threshold: In [0, 1].
        group: `(num_samples,)` of any type, or None for independent rows, as
            which those of a single group are taken, too.

    Raises:
        InputError: An argument has another shape or range.
    """
    label, scores, groups = checked(labels, [probability], group)
    check_number("threshold", threshold, at_least=0, at_most=1)
    predicted = scores[0]
    if predicted.min() < 0 or predicted.max() > 1:
        raise fail(
            "`probability` must lie in [0, 1].",
            f"values from {predicted.min():g} to {predicted.max():g}",
            "End the model with a sigmoid.",
        )
    auc, influence = auc_and_influence(label, predicted)
    spread = standard_error(influence, label, groups)
    return Evaluation(
        rows=len(label),
        positive_share=float(label.mean()),
        roc_auc=auc,
        roc_auc_interval=auc_interval(auc, *spread),
        pr_auc=float(average_precision_score(label, predicted)),
        f1=float(f1_score(label, predicted >= threshold)),
        threshold=float(threshold),
        log_loss=float(log_loss(label, predicted)),
        calibration_error=_calibration_error(label, predicted),
    )


def roc_auc(labels: ArrayLike, score: ArrayLike) -> float:
    """Returns the exact area under the ROC curve; ties count half."""
    label, scores, _ = checked(labels, [score], None)
    return auc_and_influence(label, scores[0])[0]


def mean_evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Returns the mean of every figure over seeds; all on the same rows.

    The interval of the mean AUC reaches as far as the seeds' own do on
    average, and further by what other seeds would have given.
    """
    figures: dict[str, Any] = {
        name: np.mean([getattr(one, name) for one in evaluations], axis=0)
        for name in asdict(evaluations[0])
    }
    lower, upper = figures.pop("roc_auc_interval").tolist()
    figures = {name: float(value) for name, value in figures.items()}
    figures["rows"] = evaluations[0].rows
    auc, between = figures["roc_auc"], 0.0
    if len(evaluations) > 1:
        error = sem([one.roc_auc for one in evaluations])
        between = float(t.isf(TAIL, len(evaluations) - 1) * error)
    interval = (
        max(auc - math.hypot(auc - lower, between), 0.0),
        min(auc + math.hypot(upper - auc, between), 1.0),
    )
    return Evaluation(**figures, roc_auc_interval=interval)


def best_f1_threshold(labels: ArrayLike, probability: ArrayLike) -> float:
    """Returns the threshold of the highest F1; choose it on validation rows."""
    label, scores, _ = checked(labels, [probability], None)
    precision, recall, thresholds = precision_recall_curve(label, scores[0])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def _calibration_error(label: Array, probability: Array) -> float:
    bins = np.minimum(
        (probability * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1
    )
    gap = np.bincount(bins, weights=probability - label)
    return float(np.abs(gap).sum() / len(label))
