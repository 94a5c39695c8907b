"""Strategies trained from the same seeds, compared on rows unseen by all.

Every strategy gets the same model, seeds and stopping rule; only the rows and
their weights differ. Validation rows stop the training and choose, test rows
report, and no row does both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from tqdm import tqdm

from tfimportance._checks import Array, InputError, fail
from tfimportance.bootstrap import bootstrap_difference, holm
from tfimportance.evaluation import (
    CONFIDENCE,
    auc_difference,
    best_f1_threshold,
    evaluate_probability,
    mean_evaluation,
    predict_probability,
)
from tfimportance.ranking import RankingQuality, evaluate_ranking
from tfimportance.strategies import Recipe
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
class Evidence:
    """What the test rows say about a strategy against uniform weights.

    Attributes:
        difference: Mean over seeds of the paired difference in ROC AUC.
        interval: 95%, by DeLong over rows (or groups) and seeds.
        bootstrap_interval: 95%, by resampling rows (or groups) and seeds: the
            cross-check, which assumes no shape.
        p_value: Two-sided, that there is no difference.
        adjusted_p_value: The same where all strategies are tried at once
            (Holm).
    """

    difference: float
    interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    p_value: float
    adjusted_p_value: float


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

    def evidence(self) -> dict[str, Evidence]:
        """Returns the evidence on every strategy but uniform weights."""
        part = self.parts["test"]
        theirs = [one.probability["test"] for one in self.trained[BASELINE]]
        found: dict[str, Evidence] = {}
        for name, trained in self.trained.items():
            if name == BASELINE:
                continue
            ours = [one.probability["test"] for one in trained]
            mean, interval = self.difference(name)
            again = bootstrap_difference(
                part.label, ours, theirs, group=part.group
            )
            error = (mean - interval[0]) / norm.ppf(0.5 + CONFIDENCE / 2)
            p_value = 2 * float(norm.sf(abs(mean) / error)) if error else 1.0
            found[name] = Evidence(mean, interval, again, p_value, p_value)
        adjusted = holm([each.p_value for each in found.values()])
        return {
            name: replace(each, adjusted_p_value=float(p))
            for (name, each), p in zip(found.items(), adjusted, strict=True)
        }

    def ranking(self, name: str) -> RankingQuality | None:
        """Returns the mean quality within test groups; None without them."""
        part = self.parts["test"]
        if part.group is None:
            return None
        try:
            each = [
                asdict(
                    evaluate_ranking(
                        part.label, one.probability["test"], part.group
                    )
                )
                for one in self.trained[name]
            ]
        except InputError:  # no group has both labels: nothing is ranked
            return None
        return RankingQuality(**pd.DataFrame(each).mean().to_dict())

    def to_frame(self) -> pd.DataFrame:
        """Returns a row for each strategy: its figures on the test rows.

        `difference`, its intervals and p-values are those of `Evidence`;
        `auc_within_groups` and `ndcg_at_10` are there with groups only.
        """
        evidence = self.evidence()
        rows = []
        for name in self.trained:
            row = {"strategy": name, **self.figures(name)["test"]}
            row.pop("roc_auc_interval")
            ranking, found = self.ranking(name), evidence.get(name)
            if ranking is not None:
                row["auc_within_groups"] = ranking.roc_auc
                row["ndcg_at_10"] = ranking.ndcg_at_10
            if found is not None:
                row |= _flat(found)
            rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns all figures as values that JSON can hold."""
        return {
            "chosen": self.chosen,
            "statement": self.statement(),
            "strategies": {name: self.figures(name) for name in self.trained},
            "evidence": {
                name: {
                    **asdict(found),
                    "interval": list(found.interval),
                    "bootstrap_interval": list(found.bootstrap_interval),
                }
                for name, found in self.evidence().items()
            },
        }

    def statement(self) -> str:
        """Returns in plain words what the test rows support, and what not."""
        evidence = self.evidence()
        certain = {
            name: found
            for name, found in evidence.items()
            if found.adjusted_p_value < 1 - CONFIDENCE
        }
        better = [name for name, e in certain.items() if e.difference > 0]
        worse = [name for name, e in certain.items() if e.difference < 0]
        others = len(evidence) - len(certain)
        parts = [
            f"better than uniform weights: {', '.join(better) or 'none'}",
            f"worse: {', '.join(worse) or 'none'}",
            f"no difference that these rows can show: {others}",
        ]
        tests = len(evidence)
        return (
            f"Of {tests} {'strategy' if tests == 1 else 'strategies'}, "
            f"{'; '.join(parts)} (95%, all compared at once)."
        )

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


def _flat(found: Evidence) -> dict[str, float]:
    """The evidence in columns."""
    return {
        "difference": found.difference,
        "lower": found.interval[0],
        "upper": found.interval[1],
        "bootstrap_lower": found.bootstrap_interval[0],
        "bootstrap_upper": found.bootstrap_interval[1],
        "p_value": found.p_value,
        "adjusted_p_value": found.adjusted_p_value,
    }


def compare(
    parts: Mapping[str, Part],
    strategies: Mapping[str, Recipe | ArrayLike | None],
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    **settings: Any,
) -> Comparison:
    """Returns every strategy trained from every seed.

    Args:
        parts: `train`, `validation` and `test`; and `target`, where a
            strategy trains on it.
        strategies: Name to what is trained: a `Recipe`, a `sample_weight` of
            the training rows, or None for uniform; `uniform` must be there.
        seeds: Each seed fixes initial weights, shuffling and dropout, for all
            strategies alike, so that strategies are paired by seed.
        **settings: `epochs`, `batch_size` and `patience` of `fit`.

    Raises:
        InputError: `uniform` is not among the strategies, or an argument of
            `fit` does not match.
    """
    if BASELINE not in strategies:
        raise fail(
            f"`strategies` must hold {BASELINE!r}, which all are compared to.",
            f"strategies {', '.join(strategies) or 'none'}",
            "Add uniform=None.",
        )
    trained: dict[str, list[Trained]] = {name: [] for name in strategies}
    jobs = [(seed, name) for seed in seeds for name in strategies]
    for seed, name in tqdm(jobs, "training", unit="model", disable=None):
        made = strategies[name]
        if not isinstance(made, Recipe):
            made = Recipe(None if made is None else np.asarray(made))
        trained[name].append(_train(parts, made, seed, settings))
    return Comparison(parts, trained)


def _train(
    parts: Mapping[str, Part],
    made: Recipe,
    seed: int,
    settings: Mapping[str, Any],
) -> Trained:
    train = parts["target" if made.rows == "target" else "train"]
    validation = parts["validation"]
    keras.utils.set_random_seed(seed)  # the initial weights, too
    model = dense_head(train.features.shape[1])
    result = fit(
        model,
        train.features,
        train.label,
        sample_weight=made.sample_weight,
        allocation=made.allocation,
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
