"""What a run trains: the recipe of every strategy that it names."""

from collections.abc import Mapping

import numpy as np

from tfimportance._checks import Array
from tfimportance.config import RunConfig
from tfimportance.data import Examples
from tfimportance.importance import Importance, importance_scores
from tfimportance.strategies import Material, Recipe, recipe
from tfimportance.weighting import to_sample_weight


def recipes_of(
    config: RunConfig,
    parts: Mapping[str, Examples],
    features: Mapping[str, Array],
) -> dict[str, Recipe]:
    """Returns what is trained, by name; `importance` is the run's own."""
    pool, target = parts["pool"], parts["target"]
    material = Material(
        features["pool"],
        pool.labels,
        features["target"],
        target.labels,
        pool.group,
        target.group,
        config.seed,
    )
    known: dict[str, Recipe] = {}
    for name in (config.strategy, *config.compare):
        base = name.partition(":")[0]
        if base not in known:
            scored = base == "scores"
            known[base] = (
                _scored(config, material) if scored else recipe(base, material)
            )
    return {
        "uniform": Recipe(),
        "importance": recipe(config.strategy, material, known),
        **{name: recipe(name, material, known) for name in config.compare},
    }


def check_scores(config: RunConfig) -> None:
    """Raises for settings of the scores that cannot be used, before work."""
    names = (config.strategy, *config.compare)
    if "scores" in {name.partition(":")[0] for name in names}:
        vectors, label = np.eye(4), np.array([0, 1, 0, 1])
        _scores(config, Material(vectors, label, vectors, label))


def _scored(config: RunConfig, material: Material) -> Recipe:
    """Returns the weights that the settings of the configuration give."""
    score = _scores(config, material)
    weight = to_sample_weight(
        score,
        effective_fraction=config.effective_fraction,
        labels=material.label if config.within_label else None,
    )
    return Recipe(weight, score=score)


def _scores(config: RunConfig, material: Material) -> Importance:
    return importance_scores(
        material.pool,
        material.target,
        labels=material.label,
        target_labels=material.target_label,
        mode=config.mode,
        reference=config.reference,
        reduction=config.reduction,
        scale=config.scale,
        clip=config.clip,
        center=config.center,
        seed=config.seed,
    )
