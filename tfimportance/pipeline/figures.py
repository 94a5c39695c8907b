"""The figures of a run, for `metrics.json`, the report and the model card."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tfimportance.comparison import Comparison, verdict
from tfimportance.config import RunConfig
from tfimportance.data import Examples
from tfimportance.reliability import Choice
from tfimportance.serving.card import package_versions
from tfimportance.strategies import Recipe
from tfimportance.weighting import SampleWeight


def metrics_of(
    config: RunConfig,
    parts: Mapping[str, Examples],
    made: Recipe,
    weight: SampleWeight,
    comparison: Comparison,
) -> dict[str, Any]:
    """Returns all figures of a run, as `metrics.json` holds them."""
    difference, interval = comparison.difference("importance")
    found = comparison.to_dict()
    metrics = {
        "name": config.name,
        "versions": package_versions(),
        "config": config.to_dict(),
        "data": {
            name: {
                "rows": len(part),
                "positive_share": float(np.mean(part.labels)),
            }
            for name, part in parts.items()
        },
        "weights": {
            "effective_sample_size": weight.effective_sample_size,
            "effective_fraction": weight.effective_fraction,
            "perplexity": weight.perplexity,
            "largest_share": weight.largest_share,
            "clipped_fraction": float(weight.clipped_fraction),
        },
        "strategies": found["strategies"],
        "comparison": {
            "test_roc_auc_difference": difference,
            "interval": list(interval),
            "verdict": verdict(interval),
            "chosen": found["chosen"],
            "exported_seed": comparison.best.seed,
            "statement": found["statement"],
            "evidence": found["evidence"],
        },
    }
    if made.choice is not None:
        metrics["choice"] = _choice(made.choice)
    return metrics


def card_of(config: RunConfig, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the model card of the exported model says."""
    chosen = metrics["comparison"]["chosen"]
    figures = metrics["strategies"][chosen]
    exported = metrics["comparison"]["exported_seed"]
    (own,) = (each for each in figures["seeds"] if each["seed"] == exported)
    purpose = (
        f"The probability of {config.label} from {', '.join(config.text)}, "
        f"for traffic such as {config.target!r}."
    )
    card: dict[str, Any] = {
        "intended_use": config.intended_use or purpose,
        "data": {"source": config.pool, **metrics["data"]},
        "metrics": {
            "training": chosen,
            "this_model": {
                name: own[name]
                for name in ("seed", "validation_roc_auc", "test_roc_auc")
            },
            "mean_over_seeds": {
                name: figures[name] for name in ("validation", "test")
            },
        },
    }
    if config.licence is not None:
        card["licence"] = config.licence
    return card


def _choice(choice: Choice) -> dict[str, Any]:
    """Returns how the weights were chosen, as JSON holds it."""
    return {
        "candidates": [asdict(each) for each in choice.candidates],
        "flip_rate": list(choice.reliability.flip_rate),
        "class_shift": choice.reliability.class_shift,
        "scale": choice.reliability.scale,
        "opinion_weight": choice.reliability.opinion_weight,
    }
