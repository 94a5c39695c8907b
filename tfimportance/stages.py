"""The chain stage by stage, from file to file: what the commands do."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa

from tfimportance._checks import Array, check_binary, check_file, fail
from tfimportance._files import check_output, check_writable, staged_file
from tfimportance.bundle import Bundle
from tfimportance.data import Examples, load_examples
from tfimportance.data.columns import to_text, to_values
from tfimportance.encoding import encode, load_encoder
from tfimportance.evaluation import Evaluation, evaluate
from tfimportance.importance import importance_scores
from tfimportance.serving import TargetSet, export
from tfimportance.strategies import (
    Material,
    Recipe,
    check_strategy,
    recipe,
)
from tfimportance.training import FitResult, dense_head
from tfimportance.training import fit as fit_model
from tfimportance.weighting import SampleWeight, to_sample_weight

_log = logging.getLogger(__name__)


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
    train = load_examples(pool, **columns)
    traffic = load_examples(target, **{**columns, "id": None})
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


def weights_frame(
    pool: Examples, importance: Array, weight: SampleWeight
) -> pd.DataFrame:
    """Returns a row per pool row; `id` is its position without an id column."""
    frame = pd.DataFrame(
        {
            "id": np.arange(len(pool)) if pool.id is None else pool.id,
            "importance": np.asarray(importance),
            "sample_weight": np.asarray(weight),
        }
    )
    if pool.label is not None:
        frame.insert(1, "label", pool.label.astype(np.int8))
    return frame


def read_weights(path: str | Path, examples: Examples) -> Array:
    """Returns the `sample_weight` column of a file, in the examples' order.

    Rows are matched by `id` where the examples have ids, else by position.
    Ids that are numbers on one side and text on the other are compared as
    text: 7 is "7", but not "007".

    Raises:
        InputError: The file does not hold exactly these rows, or the labels
            that both have are not the same.
    """
    frame = _weights_table(path)
    known = np.arange(len(examples)) if examples.id is None else examples.id
    own, ids = _alike(pd.Series(frame["id"]), pd.Series(known))
    index = pd.Index(own)
    same = len(index) == len(ids) and index.is_unique
    if not (same and index.isin(ids).all()):
        raise fail(
            "`weights` must hold exactly the rows of the training file, once.",
            f"{str(path)!r} with {len(index)} rows for {len(ids)} examples",
            "Score that file again, with the same --id.",
        )
    frame = frame.iloc[index.get_indexer(pd.Index(ids))]
    if "label" in frame and examples.label is not None:
        _check_same_labels(path, frame["label"], examples)
    return frame["sample_weight"].to_numpy()


def _weights_table(path: str | Path) -> pd.DataFrame:
    """The file as a frame that has the columns `id` and `sample_weight`."""
    check_file("weights", Path(path))
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise fail(
            "`weights` must be a Parquet file.",
            repr(str(path)),
            "Write it with `tfimportance score`.",
        ) from error
    missing = {"id", "sample_weight"} - set(frame.columns)
    if missing:
        raise fail(
            "`weights` must have the columns id and sample_weight.",
            f"{str(path)!r} with {', '.join(frame.columns)}",
            "Write it with `tfimportance score`.",
        )
    return frame


def _alike(*columns: "pd.Series[Any]") -> list[Array]:
    """Each column as it is, or all as text where some but not all are text."""
    values = [to_values(column) for column in columns]
    if len({each.dtype == object for each in values}) == 1:
        return values
    return [to_text("id", column) for column in columns]


def _check_same_labels(
    path: str | Path, label: "pd.Series[Any]", examples: Examples
) -> None:
    numbers = pd.to_numeric(label, errors="coerce").to_numpy(np.float64)
    other = np.flatnonzero(numbers != examples.labels)
    if not len(other):
        return
    raise fail(
        "`weights` must have the labels of the training file, row by row.",
        f"{str(path)!r} with another label in {len(other)} of "
        f"{len(examples)} rows (counted from 0: the first is {other[0]})",
        "The rows are in another order: score and fit with --id."
        if examples.id is None
        else "Score that file again, with the same --label and --positive.",
    )


def has_own_group(rows: Examples, unseen: Sequence[Examples]) -> Array:
    """Returns which rows are of a group (query) that no unseen row is of.

    They are compared as texts, for a CSV file holds nothing else.
    """
    own, *others = (
        np.asarray(part.group).astype(str) for part in (rows, *unseen)
    )
    shared = np.isin(own, np.concatenate(others))
    if shared.any():
        _log.info(
            "%d rows are left out: their group is that of unseen rows",
            shared.sum(),
        )
    return ~shared


def fit_files(
    train: str,
    validation: str,
    output: str | Path,
    *,
    columns: dict[str, Any],
    weights: str | None = None,
    encoder: str = "static",
    fields: str = "auto",
    seed: int = 0,
    **options: Any,
) -> FitResult:
    """Trains a dense head on a file and saves it with its encoder's name.

    Args:
        train: The file of training rows.
        validation: A file of held-out target rows that stop the training.
        output: The folder to write; see `Bundle`.
        columns: What `load_examples` takes: `text`, `label`, `id`, ... Rows
            whose `group` validates are left out.
        weights: A file that `score_files` wrote; None trains uniformly.
        encoder: What `load_encoder` takes.
        fields: How text columns become one embedding; see `encode`.
        seed: Fixes initial weights, shuffling and dropout.
        **options: Of `fit`.

    Raises:
        InputError: The data or an option cannot be used; nothing is written.
    """
    check_writable("output", Path(output).parent)
    rows = load_examples(train, **columns)
    held_out = load_examples(validation, **{**columns, "id": None})
    weight = None if weights is None else read_weights(weights, rows)
    if rows.group is not None:
        kept = has_own_group(rows, [held_out])
        rows = rows.take(kept)
        weight = None if weight is None else weight[kept]
        check_binary("train label", rows.labels, both=True)
    embed = load_encoder(encoder)
    features = encode(embed, rows, fields=fields)
    keras.utils.set_random_seed(seed)
    traffic = encode(embed, held_out, fields=fields)
    model = dense_head(features.shape[1])
    result = fit_model(
        model,
        features,
        rows.labels,
        sample_weight=weight,
        validation=(traffic, held_out.labels),
        seed=seed,
        **options,
    )
    targets = TargetSet(traffic, held_out.labels, offset=features.mean(axis=0))
    card = {
        "intended_use": f"The probability of {columns['label']} from "
        f"{', '.join(rows.text)}.",
        "data": {"train": train, "rows": len(rows), "validation": validation},
        "metrics": {"validation_roc_auc": result.target_auc},
    }
    Bundle(model, encoder, tuple(rows.text), fields, targets, card).save(output)
    return result


def evaluate_file(
    model: str | Path, file: str, *, label: str, **columns: Any
) -> Evaluation:
    """Returns a saved model's quality on a file of labelled rows."""
    bundle = Bundle.load(model)
    rows = load_examples(file, text=list(bundle.text), label=label, **columns)
    features = encode(load_encoder(bundle.encoder), rows, fields=bundle.fields)
    return evaluate(bundle.model, features, rows.labels, group=rows.group)


def export_model(
    model: str | Path,
    path: str | Path,
    *,
    target: str | None = None,
    columns: dict[str, Any] | None = None,
    card: dict[str, Any] | None = None,
) -> Path:
    """Exports a saved model for TF Serving; returns the version folder.

    Args:
        model: A folder that `Bundle.save` wrote.
        path: The folder of versions.
        target: A file of target rows to score importance against; None takes
            those in the model's folder, the validation rows of `fit_files`.
        columns: Of the target file, what `load_examples` takes: `label`, ...
        card: What the model card says beside what the folder knows.
    """
    bundle = Bundle.load(model)
    encoder = load_encoder(bundle.encoder)
    targets = bundle.targets
    if target is not None:
        rows = load_examples(target, text=list(bundle.text), **(columns or {}))
        targets = TargetSet(
            encode(encoder, rows, fields=bundle.fields),
            rows.label,
            offset=None if targets is None else targets.offset,
        )
    return export(
        bundle.model,
        encoder,
        path,
        text=bundle.text,
        fields=bundle.fields,
        targets=targets,
        card={**bundle.card, **(card or {})},
    )
