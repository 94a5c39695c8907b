"""Strategies trained from the same seeds, compared on rows unseen by all.

Every strategy gets the same model, rows, seeds and stopping rule; only the
sample weights differ. Validation rows stop the training and choose, test rows
report, and no row does both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import ArrayLike
from scipy.stats import norm
from tqdm import tqdm

from tfimportance._checks import Array
from tfimportance.evaluation import (
    CONFIDENCE,
    auc_difference,
    best_f1_threshold,
    evaluate_probability,
    mean_evaluation,
    predict_probability,
)
from tfimportance.training import FitResult, dense_head, fit

BASELINE = "uniform"


@dataclass(frozen=True)
class Part:
    """The rows of one role: `train`, `validation` or `test`.

    Attributes:
        features: `(num_samples, embedding_dim)`.
        label: `(num_samples,)` of 0 and 1.
        group: `(num_samples,)`, for intervals over groups, or None.
    """

    features: Array
    label: Array
    group: Array | None = None


@dataclass(frozen=True)
class Trained:
    """One training: its model and its probabilities on every part."""

    seed: int
    model: keras.Model
    fit: FitResult
    probability: Mapping[str, Array]


@dataclass(frozen=True)
class Comparison:
    """All trainings of all strategies on the same parts."""

    parts: Mapping[str, Part]
    trained: Mapping[str, Sequence[Trained]]

    @property
    def chosen(self) -> str:
        """The best strategy on the validation rows, if clearly so.

        First, do no harm: a strategy has to beat uniform weights by more than
        one standard error of the paired difference, else uniform it is.
        """
        best, gain = BASELINE, 0.0
        for name in self.trained:
            mean, (lower, _) = self.difference(name, "validation")
            error = (mean - lower) / norm.ppf(0.5 + CONFIDENCE / 2)
            if mean > max(gain, error):
                best, gain = name, mean
        return best

    @property
    def best(self) -> Trained:
        """The chosen strategy's best training on the validation rows."""
        return max(
            self.trained[self.chosen], key=lambda one: one.fit.target_auc
        )

    def difference(
        self, name: str, part: str = "test"
    ) -> tuple[float, tuple[float, float]]:
        """Returns AUC(name) - AUC(uniform) on a part, with its interval."""
        rows = self.parts[part]
        ours, theirs = (
            [one.probability[part] for one in self.trained[strategy]]
            for strategy in (name, BASELINE)
        )
        return auc_difference(rows.label, ours, theirs, group=rows.group)

    def figures(self, name: str) -> dict[str, Any]:
        """Returns a strategy's figures: means over seeds, and each seed."""
        evaluations = {
            part: [self._evaluate(one, part) for one in self.trained[name]]
            for part in self.parts
        }
        seeds = [
            {
                "seed": one.seed,
                "best_epoch": one.fit.best_epoch,
                "validation_roc_auc": one.fit.target_auc,
                "test_roc_auc": on_test.roc_auc,
                "curve": one.fit.history["target_auc"],
            }
            for one, on_test in zip(
                self.trained[name], evaluations["test"], strict=True
            )
        ]
        means = {
            part: mean_evaluation(each).to_dict()
            for part, each in evaluations.items()
        }
        return {**means, "seeds": seeds}

    def _evaluate(self, one: Trained, name: str) -> Any:
        part = self.parts[name]
        threshold = best_f1_threshold(
            self.parts["validation"].label, one.probability["validation"]
        )
        return evaluate_probability(
            part.label,
            one.probability[name],
            threshold=threshold,
            group=part.group,
        )


def compare(
    parts: Mapping[str, Part],
    strategies: Mapping[str, ArrayLike | None],
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    **settings: Any,
) -> Comparison:
    """Returns every strategy trained from every seed.

    Args:
        parts: `train`, `validation` and `test`.
        strategies: Name to `sample_weight` of the training rows, None for
            uniform; `uniform` must be among them.
        seeds: Each seed fixes initial weights, shuffling and dropout, for all
            strategies alike, so that strategies are paired by seed.
        **settings: `epochs`, `batch_size` and `patience` of `fit`.
    """
    trained: dict[str, list[Trained]] = {name: [] for name in strategies}
    jobs = [(seed, name) for seed in seeds for name in strategies]
    for seed, name in tqdm(jobs, "training", unit="model", disable=None):
        trained[name].append(_train(parts, strategies[name], seed, settings))
    return Comparison(parts, trained)


def _train(
    parts: Mapping[str, Part],
    weight: ArrayLike | None,
    seed: int,
    settings: Mapping[str, Any],
) -> Trained:
    train, validation = parts["train"], parts["validation"]
    keras.utils.set_random_seed(seed)  # the initial weights, too
    model = dense_head(train.features.shape[1])
    result = fit(
        model,
        train.features,
        train.label,
        sample_weight=weight,
        validation=(validation.features, validation.label),
        seed=seed,
        **settings,
    )
    probability = {
        name: predict_probability(model, part.features)
        for name, part in parts.items()
    }
    return Trained(seed, model, result, probability)


def verdict(interval: tuple[float, float]) -> str:
    """Returns in one plain sentence what the interval supports.

    Example:
        >>> verdict((0.011, 0.029))
        'Importance weights raised the AUC on unseen target rows.'
    """
    lower, upper = interval
    if lower > 0:
        return "Importance weights raised the AUC on unseen target rows."
    if upper < 0:
        return (
            "Importance weights lowered the AUC on unseen target rows: train "
            "this data uniformly."
        )
    return (
        "Importance weights made no difference to the AUC that these test "
        "rows can show."
    )
