"""What paired probabilities on unseen rows say about a difference in AUC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from tfimportance._checks import Array
from tfimportance.evaluation import (
    CONFIDENCE,
    auc_difference,
    bootstrap_differences,
    holm,
)

# Of fewer rows of a class, one alone may turn the AUC by more than a tenth.
_FEW = 10


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
        positives: Test rows of label 1.
        negatives: Test rows of label 0.
    """

    difference: float
    interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    p_value: float
    adjusted_p_value: float
    positives: int
    negatives: int

    def columns(self) -> dict[str, float]:
        """Returns the evidence as the columns of a table."""
        return {
            "difference": self.difference,
            "lower": self.interval[0],
            "upper": self.interval[1],
            "bootstrap_lower": self.bootstrap_interval[0],
            "bootstrap_upper": self.bootstrap_interval[1],
            "p_value": self.p_value,
            "adjusted_p_value": self.adjusted_p_value,
        }


def weigh(
    label: Array,
    ours: Mapping[str, Sequence[ArrayLike]],
    baseline: Sequence[ArrayLike],
    group: Array | None = None,
) -> dict[str, Evidence]:
    """Returns the evidence on every strategy, all compared at once.

    Args:
        label: `(num_samples,)` of 0 and 1.
        ours: By strategy and seed, `(num_samples,)` probabilities.
        baseline: Those of uniform weights, from the same seeds.
        group: `(num_samples,)`, for intervals over groups, or None.
    """
    found: dict[str, Evidence] = {}
    positives = int(label.sum())
    rows = (positives, len(label) - positives)
    resampled = bootstrap_differences(label, ours, baseline, group=group)
    for name, each in ours.items():
        gain = auc_difference(label, each, baseline, group=group)
        p_value = gain.p_value
        found[name] = Evidence(
            gain.mean, gain.interval, resampled[name], p_value, p_value, *rows
        )
    adjusted = holm([each.p_value for each in found.values()])
    return {
        name: replace(each, adjusted_p_value=float(p))
        for (name, each), p in zip(found.items(), adjusted, strict=True)
    }


def statement(evidence: Mapping[str, Evidence]) -> str:
    """Returns in plain words what the evidence supports, and what not."""
    certain = {
        name: found
        for name, found in evidence.items()
        if found.adjusted_p_value < 1 - CONFIDENCE
    }
    better = [name for name, e in certain.items() if e.difference > 0]
    worse = [name for name, e in certain.items() if e.difference < 0]
    parts = [
        f"better than uniform weights: {', '.join(better) or 'none'}",
        f"worse: {', '.join(worse) or 'none'}",
        "no difference that these rows can show: "
        f"{len(evidence) - len(certain)}",
    ]
    tests = len(evidence)
    return (
        f"Of {tests} {'strategy' if tests == 1 else 'strategies'}, "
        f"{'; '.join(parts)} (95%, all compared at once)."
        f"{_reserve(evidence)}"
    )


def _reserve(evidence: Mapping[str, Evidence]) -> str:
    """Returns a sentence on classes of few test rows, or ""."""
    for one in evidence.values():  # the test rows are the same for all
        sizes = {"positive": one.positives, "negative": one.negatives}
        few = [f"{n} {name}" for name, n in sizes.items() if n < _FEW]
        if few:
            return (
                f" Only {' and '.join(few)} among the test rows: so few cannot "
                "support much."
            )
    return ""


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
