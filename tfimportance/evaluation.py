"""How good a model's probabilities are, and how sure one can be of it.

Every AUC is exact (rank-based, ties count half). Its standard error comes
from the influence of each row on the AUC, which for independent rows is
DeLong's estimate and, summed over groups, the clustered form for search data,
where the rows of one query are not independent. Intervals are those of a t
distribution: where positive rows or groups are few, they are wide.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata, t
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_curve,
)

from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
    check_number,
    fail,
)

CONFIDENCE = 0.95
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
    output = np.asarray(
        model.predict(features, batch_size=batch_size, verbose=0)
    )
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
    label, scores, groups = _checked(labels, [probability], group)
    check_number("threshold", threshold, above=-np.inf, at_most=1)
    predicted = scores[0]
    if predicted.min() < 0 or predicted.max() > 1:
        raise fail(
            "`probability` must lie in [0, 1].",
            f"values from {predicted.min():g} to {predicted.max():g}",
            "End the model with a sigmoid.",
        )
    auc, influence = _auc_and_influence(label, predicted)
    spread = _spread(influence, label, groups)
    return Evaluation(
        rows=len(label),
        positive_share=float(label.mean()),
        roc_auc=auc,
        roc_auc_interval=_interval(auc, *spread, least=0.0),
        pr_auc=float(average_precision_score(label, predicted)),
        f1=float(f1_score(label, predicted >= threshold)),
        threshold=float(threshold),
        log_loss=float(log_loss(label, predicted)),
        calibration_error=_calibration_error(label, predicted),
    )


def roc_auc(labels: ArrayLike, score: ArrayLike) -> float:
    """Returns the exact area under the ROC curve; ties count half."""
    label, scores, _ = _checked(labels, [score], None)
    return _auc_and_influence(label, scores[0])[0]


def mean_evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Returns the mean of every figure over seeds; all on the same rows."""
    figures: dict[str, Any] = {
        name: np.mean([getattr(one, name) for one in evaluations], axis=0)
        for name in asdict(evaluations[0])
    }
    lower, upper = figures.pop("roc_auc_interval").tolist()
    figures = {name: float(value) for name, value in figures.items()}
    figures["rows"] = evaluations[0].rows
    return Evaluation(**figures, roc_auc_interval=(lower, upper))


@dataclass(frozen=True)
class Difference:
    """A paired difference in ROC AUC, and how sure one can be of it.

    Attributes:
        mean: In [-1, 1].
        error: Its standard error, in [0, 1].
        degrees: Of freedom of the t distribution of mean / error, at least 1:
            few positive rows, groups or seeds leave the error itself unsure.
    """

    mean: float
    error: float
    degrees: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval."""
        return _interval(self.mean, self.error, self.degrees, least=-1.0)

    @property
    def p_value(self) -> float:
        """Two-sided, that there is no difference."""
        if not self.error:
            return 1.0
        return float(2 * t.sf(abs(self.mean) / self.error, self.degrees))


def auc_difference(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    baseline_scores: Sequence[ArrayLike],
    *,
    group: ArrayLike | None = None,
) -> Difference:
    """Returns the paired difference in AUC.

    It is the mean over seeds of `AUC(scores) - AUC(baseline)`. Its variance
    adds what other test rows (or groups) would have given, from the mean
    influence of each row, and what other seeds would have given, the variance
    of the per-seed differences over their number.

    Args:
        labels: `(num_samples,)` of 0 and 1.
        scores: One `(num_samples,)` array for each seed.
        baseline_scores: The same number of arrays, paired by seed.
        group: As in `evaluate`.

    Raises:
        InputError: The lengths do not match or a class is missing.

    Source: E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988;
    clusters: N. Obuchowski, Biometrics 53, 1997; degrees of freedom: F. E.
    Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    label, ours, theirs, groups = paired_scores(
        labels, scores, baseline_scores, group
    )
    pairs = [
        (_auc_and_influence(label, a), _auc_and_influence(label, b))
        for a, b in zip(ours, theirs, strict=True)
    ]
    differences = np.array([a[0] - b[0] for a, b in pairs])
    influence = np.mean([a[1] - b[1] for a, b in pairs], axis=0)
    seeds = len(differences)
    between = float(differences.var(ddof=1)) / seeds if seeds > 1 else 0.0
    spread = _spread(influence, label, groups, (between, seeds - 1))
    return Difference(float(differences.mean()), *spread)


def paired_scores(
    labels: ArrayLike,
    scores: Sequence[ArrayLike],
    baseline_scores: Sequence[ArrayLike],
    group: ArrayLike | None,
) -> tuple[Array, list[Array], list[Array], Array]:
    """Returns the checked labels, both sides' scores and group numbers."""
    if len(scores) != len(baseline_scores) or not len(scores):
        raise fail(
            "`scores` and `baseline_scores` must hold one array for each of "
            "the same seeds.",
            f"{len(scores)} and {len(baseline_scores)} arrays",
        )
    label, ours, groups = _checked(labels, scores, group)
    return label, ours, _checked(labels, baseline_scores, group)[1], groups


def best_f1_threshold(labels: ArrayLike, probability: ArrayLike) -> float:
    """Returns the threshold of the highest F1; choose it on validation rows."""
    label, scores, _ = _checked(labels, [probability], None)
    precision, recall, thresholds = precision_recall_curve(label, scores[0])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def _checked(
    labels: ArrayLike, scores: Sequence[ArrayLike], group: ArrayLike | None
) -> tuple[Array, list[Array], Array]:
    label = np.asarray(labels)
    check_length("labels", label, label.size, "labels")
    check_binary("labels", label, both=True)
    arrays = [np.asarray(score, np.float64) for score in scores]
    for array in arrays:
        check_length("probability", array, len(label), "labels")
        check_finite("probability", array)
    groups = np.arange(len(label)) if group is None else np.asarray(group)
    check_length("group", groups, len(label), "labels")
    number = np.unique(groups, return_inverse=True)[1]
    if not number.any():  # one group tells nothing of others, its rows do
        number = np.arange(len(label))
    return label.astype(np.int8), arrays, number


def _auc_and_influence(label: Array, score: Array) -> tuple[float, Array]:
    """The AUC and, for every row, its share in the AUC's deviation.

    A positive row's placement is the share of negatives below it, a negative
    row's the share of positives above it; both average to the AUC.
    """
    positive = label == 1
    num_positive = int(positive.sum())
    num_negative = len(label) - num_positive
    rank = rankdata(score)
    above = (rank[positive] - rankdata(score[positive])) / num_negative
    below = (rank[~positive] - rankdata(score[~positive])) / num_positive
    auc = float(above.mean())
    influence = np.empty(len(label))
    influence[positive] = (above - auc) / num_positive
    influence[~positive] = (1 - below - auc) / num_negative
    return auc, influence


def _spread(
    influence: Array,
    label: Array,
    group: Array,
    more: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """Returns the standard error of an AUC and its degrees of freedom.

    Each class is a sample of its own. A group pulls the mean towards itself
    by its share of the class, which the variance makes up for; as many groups
    of equal size as (sum n)^2 / sum n^2 (Kish) say how sure it is.

    Args:
        influence: `(num_samples,)`, of sum 0 in each class.
        label: `(num_samples,)` of 0 and 1.
        group: `(num_samples,)` numbers from 0.
        more: A further variance and its degrees of freedom.
    """
    total = np.zeros(group.max() + 1)
    seen = np.zeros(len(total), int)
    parts = []
    for value in (0, 1):
        of_class = label == value
        size = np.bincount(group[of_class], minlength=len(total))
        share = size / size.sum()
        if share.max() == 1:  # one row or group: nothing is known of others
            return 1.0, 1.0
        one = np.bincount(
            group[of_class], influence[of_class], len(total)
        ) / np.sqrt(1 - share)
        total += one
        seen += size > 0
        effective = 1 / np.square(share).sum()
        parts.append((float(np.square(one).sum()), effective - 1))
    if seen.max() > 1:  # groups of both classes: one sample, not two
        variance = float(np.square(total).sum())
        parts = [(variance, min(degrees for _, degrees in parts))]
    parts.append(more)
    variance = sum(each for each, _ in parts)
    unsure = sum(each**2 / degrees for each, degrees in parts if each)
    degrees = variance**2 / unsure if unsure else 1.0
    return min(variance**0.5, 1.0), max(degrees, 1.0)


def _interval(
    value: float, error: float, degrees: float, least: float
) -> tuple[float, float]:
    """Returns the 95% confidence interval, within `least` and 1."""
    reach = float(t.ppf(0.5 + CONFIDENCE / 2, degrees)) * error
    return max(value - reach, least), min(value + reach, 1.0)


def _calibration_error(label: Array, probability: Array) -> float:
    bins = np.minimum(
        (probability * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1
    )
    gap = np.bincount(bins, weights=probability - label)
    return float(np.abs(gap).sum() / len(label))
