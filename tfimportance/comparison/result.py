"""What was trained, and what the unseen rows say about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import keras
import pandas as pd
from scipy.stats import norm, t

from tfimportance._checks import Array, InputError
from tfimportance.comparison.evidence import Evidence, statement, weigh
from tfimportance.evaluation import (
    Difference,
    Evaluation,
    RankingQuality,
    auc_difference,
    best_f1_threshold,
    evaluate_probability,
    evaluate_ranking,
    mean_evaluation,
)
from tfimportance.training import FitResult

BASELINE = "uniform"
_COMPARED = ("validation", "test")


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
    """One training: its model, and what that says of the parts.

    Attributes:
        seed: Of the training.
        model: Its best epoch.
        fit: How it came to that.
        probability: By part, `(num_samples,)` on the rows on which strategies
            are compared, `validation` and `test`: those of all models on all
            training rows would be more than the rows themselves.
        evaluation: By part, all parts.
    """

    seed: int
    model: keras.Model
    fit: FitResult
    probability: Mapping[str, Array]
    evaluation: Mapping[str, Evaluation]


def judged(
    parts: Mapping[str, Part],
    seed: int,
    model: keras.Model,
    fit: FitResult,
    probability: Mapping[str, Array],
) -> Trained:
    """Returns a training with its figures on every part.

    The threshold is the best one of the validation rows.

    Args:
        parts: What it is judged on; `validation` and `test` must be there.
        seed: Of the training.
        model: What was trained.
        fit: What `fit` returned.
        probability: By part, `(num_samples,)`.
    """
    threshold = best_f1_threshold(
        parts["validation"].label, probability["validation"]
    )
    evaluation = {
        name: evaluate_probability(
            part.label,
            probability[name],
            threshold=threshold,
            group=part.group,
        )
        for name, part in parts.items()
    }
    kept = {name: probability[name] for name in _COMPARED}
    return Trained(seed, model, fit, kept, evaluation)


@dataclass(frozen=True)
class Comparison:
    """All trainings of all strategies on the same parts."""

    parts: Mapping[str, Part]
    trained: Mapping[str, Sequence[Trained]]

    @cached_property
    def chosen(self) -> str:
        """The best strategy on the validation rows, if clearly so.

        First, do no harm: a strategy has to beat uniform weights by more than
        one standard error of the paired difference, else uniform it is. Of
        several strategies the luckiest does so by chance: the bar rises with
        their number, so that it stays as unlikely (Bonferroni).
        """
        best, gain = BASELINE, 0.0
        chance = norm.sf(1) / max(len(self.trained) - 1, 1)
        for name in self.trained:
            found = self._difference(name, "validation")
            bar = t.isf(chance, found.degrees) * found.error
            if found.mean > max(gain, bar):
                best, gain = name, found.mean
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
        found = self._difference(name, part)
        return found.mean, found.interval

    def _difference(self, name: str, part: str) -> Difference:
        rows = self.parts[part]
        ours, theirs = (
            [one.probability[part] for one in self.trained[strategy]]
            for strategy in (name, BASELINE)
        )
        return auc_difference(rows.label, ours, theirs, group=rows.group)

    def evidence(self) -> dict[str, Evidence]:
        """Returns the evidence on every strategy but uniform weights."""
        return self._evidence

    @cached_property
    def _evidence(self) -> dict[str, Evidence]:
        part = self.parts["test"]
        on_test = {
            name: [one.probability["test"] for one in trained]
            for name, trained in self.trained.items()
        }
        baseline = on_test.pop(BASELINE)
        return weigh(part.label, on_test, baseline, part.group)

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
        mean = pd.DataFrame(each).mean()
        return RankingQuality(
            int(mean["groups"]), mean["roc_auc"], mean["ndcg_at_10"]
        )

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
                row |= found.columns()
            rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns all figures as values that JSON can hold."""
        evidence = self.evidence()
        return {
            "chosen": self.chosen,
            "statement": statement(evidence),
            "strategies": {name: self.figures(name) for name in self.trained},
            "evidence": {
                name: {
                    **asdict(found),
                    "interval": list(found.interval),
                    "bootstrap_interval": list(found.bootstrap_interval),
                }
                for name, found in evidence.items()
            },
        }

    def statement(self) -> str:
        """Returns in plain words what the test rows support, and what not."""
        return statement(self.evidence())

    def figures(self, name: str) -> dict[str, Any]:
        """Returns a strategy's figures: means over seeds, and each seed."""
        trained = self.trained[name]
        seeds = [
            {
                "seed": one.seed,
                "best_epoch": one.fit.best_epoch,
                "validation_roc_auc": one.fit.target_auc,
                "test_roc_auc": one.evaluation["test"].roc_auc,
                "curve": one.fit.history["target_auc"],
            }
            for one in trained
        ]
        means = {
            part: mean_evaluation(
                [one.evaluation[part] for one in trained]
            ).to_dict()
            for part in self.parts
        }
        return {**means, "seeds": seeds}
