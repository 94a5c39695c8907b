"""Every strategy trained from every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import tqdm

from tfimportance._checks import fail
from tfimportance.comparison.result import (
    BASELINE,
    Comparison,
    Part,
    Trained,
    judged,
)
from tfimportance.evaluation import predict_probability
from tfimportance.strategies import Recipe
from tfimportance.training import dense_head, fit


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
    absent = {"train", "validation", "test"} - parts.keys()
    if absent:
        raise fail(
            "`parts` must hold train, validation and test.",
            f"parts {', '.join(parts) or 'none'}",
        )
    if not len(seeds):
        raise fail("`seeds` must hold at least one seed.", "seeds=()")
    for name, made in strategies.items():
        if isinstance(made, str):
            raise fail(
                "`strategies` must hold recipes, sample weights or None.",
                f"{name}={made!r}",
                "Take Recipe(weights, allocation), or strategies.recipe.",
            )
    parts = {name: _numbered(part) for name, part in parts.items()}
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
    return judged(parts, seed, model, result, probability)


def _numbered(part: Part) -> Part:
    """Numbers the groups in the order of their values.

    Every figure goes by groups, and texts are slow to compare.
    """
    if part.group is None:
        return part
    number, _ = pd.factorize(part.group, sort=True, use_na_sentinel=False)
    return replace(part, group=number)
