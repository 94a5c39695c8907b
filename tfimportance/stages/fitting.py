"""From weights to a saved model, its quality, and its export."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfimportance._checks import Array, check_binary, fail
from tfimportance._files import check_writable
from tfimportance.bundle import Bundle
from tfimportance.data import Examples, load_examples, load_pair
from tfimportance.encoding import encode, load_encoder
from tfimportance.evaluation import Evaluation, evaluate
from tfimportance.serving import TargetSet, export
from tfimportance.stages.weights import read_weights
from tfimportance.training import FitResult, dense_head, fit as fit_model

_log = logging.getLogger(__name__)


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
    if Path(train).resolve() == Path(validation).resolve():
        raise fail(
            "`validation` must hold rows that are not trained on.",
            f"validation={validation!r}, the training file",
        )
    rows, held_out = load_pair(train, validation, columns)
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
        embeddings = encode(encoder, rows, fields=bundle.fields)
        targets = (
            TargetSet(embeddings, rows.label)
            if targets is None
            else replace(targets, embeddings=embeddings, labels=rows.label)
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
