"""From two files to a weight for each row of one."""

from pathlib import Path
from typing import Any

from tfimportance._checks import Array, fail
from tfimportance._files import check_output, staged_file
from tfimportance.data import Examples, load_pair
from tfimportance.encoding import encode, load_encoder
from tfimportance.importance import importance_scores
from tfimportance.stages.weights import weights_frame
from tfimportance.strategies import (
    Material,
    Recipe,
    check_strategy,
    recipe,
)
from tfimportance.weighting import SampleWeight, to_sample_weight


def score_files(
    pool: str,
    target: str,
    output: str | Path,
    *,
    columns: dict[str, Any],
    encoder: str = "static",
    fields: str = "auto",
    strategy: str = "scores",
    **options: Any,
) -> SampleWeight:
    """Writes `id`, `label`, `importance` and `sample_weight` of every row.

    Args:
        pool: The file of training rows.
        target: The file of target rows.
        output: The Parquet file to write.
        columns: What `load_examples` takes: `text`, `label`, `id`, ...
        encoder: What `load_encoder` takes.
        fields: How text columns become one embedding; see `encode`.
        strategy: `scores`, or one of `STRATEGIES` that weights the rows of
            the pool, which need labels.
        **options: With `scores`: those of `importance_scores`, and the
            `effective_fraction` of `to_sample_weight`.

    Raises:
        InputError: The data or an option cannot be used; nothing is written.
    """
    check_output("output", Path(output), [".parquet"])
    if strategy == "scores":
        _check_unused(strategy, {"group": columns.get("group")})
    else:
        check_strategy(strategy)
        _check_unused(strategy, options)
        way = strategy.partition(":")[2]
        _check_weighs(strategy, Recipe(allocation=way or "weight"))
    train, traffic = load_pair(pool, target, columns)
    model = load_encoder(encoder)
    x, t = (encode(model, rows, fields=fields) for rows in (train, traffic))
    if strategy == "scores":
        made = _scored(x, t, train, traffic, **options)
    else:
        made = recipe(
            strategy,
            Material(
                x,
                train.labels,
                t,
                traffic.labels,
                train.group,
                traffic.group,
            ),
        )
        _check_weighs(strategy, made)
    importance, weight = made.shown(len(train))
    with staged_file(output) as stage:
        weights_frame(train, importance, weight).to_parquet(stage, index=False)
    return weight


def _check_unused(strategy: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise fail(
                f"`{name}` must be left out with strategy={strategy!r}, which "
                "does not use it.",
                f"{name}={value!r}",
                f"Choose strategy={'auto' if name == 'group' else 'scores'!r}.",
            )


def _check_weighs(strategy: str, made: Recipe) -> None:
    """Raises where the weights of the pool are not all that is trained."""
    if made.rows == "pool" and made.allocation == "weight":
        return
    raise fail(
        "`strategy` must train the rows of the pool by their weights alone.",
        f"strategy={strategy!r}, which trains "
        + (
            "other rows"
            if made.rows != "pool"
            else f"by the allocation {made.allocation!r}"
        ),
        "Choose another, such as 'auto'; `fit` takes the allocation.",
    )


def _scored(
    x: Array,
    t: Array,
    train: Examples,
    traffic: Examples,
    *,
    effective_fraction: float = 0.85,
    **options: Any,
) -> Recipe:
    score = importance_scores(
        x, t, labels=train.label, target_labels=traffic.label, **options
    )
    weight = to_sample_weight(score, effective_fraction=effective_fraction)
    return Recipe(weight, score=score)
