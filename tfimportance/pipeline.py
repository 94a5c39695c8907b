"""The whole chain: labelled text in, weights, comparison and model out.

load -> encode -> weigh -> fit (uniform | importance | ...)
     -> evaluate -> choose -> export -> report
"""

import json
import logging
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml

from tfimportance import __version__
from tfimportance._checks import Array, check_binary, fail
from tfimportance._files import check_writable, staged_folder
from tfimportance.comparison import Comparison, Part, compare, verdict
from tfimportance.config import RunConfig
from tfimportance.data import Examples, load_examples, split_examples
from tfimportance.encoding import encode, load_encoder
from tfimportance.importance import importance_scores
from tfimportance.reliability import Choice
from tfimportance.report import write_report
from tfimportance.serving import TargetSet, export
from tfimportance.stages import weights_frame
from tfimportance.strategies import (
    Material,
    Recipe,
    check_strategy,
    recipe,
)
from tfimportance.weighting import SampleWeight, to_sample_weight

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What `run` found and where it lies.

    Attributes:
        metrics: All figures, as in `metrics.json` and the report.
        sample_weight: `(num_pool_rows,)` weights of mean 1.
        output: The run folder: `report.html`, `metrics.json`,
            `weights.parquet` and `config.yaml`.
        model: The exported version folder for TF Serving.
    """

    metrics: Mapping[str, Any]
    sample_weight: SampleWeight
    output: Path
    model: Path

    @property
    def report(self) -> Path:
        """The HTML report to open."""
        return self.output / "report.html"


def run(config: RunConfig) -> RunResult:
    """Runs the whole chain and publishes report, weights and model.

    The pool trains a dense head on the embeddings for every seed: once with
    uniform weights, once with importance weights and once by every strategy
    of `compare`. Labelled target rows are split in three that never mix: those
    that make the weights, those that stop the training and choose among the
    strategies, and those reported on.
    The same configuration gives the same figures.

    Args:
        config: The settings.

    Raises:
        InputError: A setting or the data cannot be used; nothing is written.
        FileNotFoundError: A file of the data does not exist.
    """
    output = Path(config.output) / config.name
    saved_model = Path(config.saved_models) / config.name
    check_writable("output", output)
    check_writable("saved_models", saved_model)
    for name in (config.strategy, *config.compare):
        check_strategy(name, ["scores"])
    parts = load_parts(config)
    encoder = load_encoder(config.encoder)
    with staged_folder(output, "metrics.json") as stage:
        features = {
            name: encode(encoder, part, fields=config.fields)
            for name, part in parts.items()
        }
        recipes = _recipes(config, parts, features)
        made = recipes["importance"]
        importance, weight = made.shown(len(parts["pool"]))
        comparison = _compare(config, parts, features, recipes)
        metrics = _metrics(config, parts, made, weight, comparison)
        model = export(
            comparison.best.model,
            encoder,
            saved_model,
            text=config.text,
            fields=config.fields,
            targets=_targets(config, parts, features),
            card=_card(config, metrics),
        )
        metrics["model"] = str(model)
        try:
            comparison.to_frame().to_csv(stage / "comparison.csv", index=False)
            _write(stage, config, metrics, parts["pool"], importance, weight)
        except BaseException:
            shutil.rmtree(model)  # a model whose report failed is not served
            raise
    return RunResult(metrics, weight, output, model)


def load_parts(config: RunConfig) -> dict[str, Examples]:
    """Returns the rows of `pool`, `target`, `validation` and `test`."""
    pool, traffic = _pool_and_traffic(config)
    wanted = config.target_rows + config.validation_rows
    needed = wanted + (2 if config.test is None else 0)
    if len(traffic) < needed:
        raise fail(
            f"`target` must have at least {needed} rows: {config.target_rows} "
            f"to compare with, {config.validation_rows} to validate with"
            + (" and the rest to test on." if config.test is None else "."),
            f"target={config.target!r} with {len(traffic)} rows",
            "Lower `target_rows` or `validation_rows`.",
        )
    shares = [config.target_rows, config.validation_rows]
    shares.append(len(traffic) - wanted)
    target, validation, test = _split(traffic, shares, config.seed)
    if config.test is not None:
        test = _load(config, config.test)
    parts = {"target": target, "validation": validation, "test": test}
    for name, part in parts.items():
        check_binary(f"{name} label", part.labels, both=True)
    pool = _without_groups(pool, [validation, test])
    check_binary("pool label", pool.labels, both=True)
    return {"pool": pool, **parts}


def _load(config: RunConfig, source: str, keep: Sequence[str] = ()) -> Examples:
    return load_examples(
        source,
        text=list(config.text),
        label=config.label,
        positive=config.positive,
        group=config.group,
        id=config.id,
        keep=list(keep),
    )


def _pool_and_traffic(config: RunConfig) -> tuple[Examples, Examples]:
    if isinstance(config.target, str):
        return _load(config, config.pool), _load(config, config.target)
    rows = _load(config, config.pool, keep=list(config.target))
    matches = np.ones(len(rows), bool)
    for column, value in config.target.items():
        matches &= rows.columns[column] == value
    if not matches.any() or matches.all():
        raise fail(
            "`target` must name some but not all rows of the pool.",
            f"target={dict(config.target)!r}, which "
            + ("every row has" if matches.all() else "no row has"),
        )
    return rows.take(~matches), rows.take(matches)


def _split(
    traffic: Examples, sizes: Sequence[int], seed: int
) -> tuple[Examples, Examples, Examples]:
    fractions = [size / len(traffic) for size in sizes if size]
    parts = split_examples(traffic, fractions, seed=seed)
    nothing = traffic.take(np.arange(0))
    target, validation, test = [*parts, nothing][:3]
    return target, validation, test


def _without_groups(pool: Examples, unseen: Sequence[Examples]) -> Examples:
    """The pool without the groups (queries) that the model must not know."""
    if pool.group is None:
        return pool
    known = np.concatenate([part.group for part in unseen])
    leaks = np.isin(pool.group, known)
    if leaks.any():
        _log.info("%d pool rows share a group with unseen rows", leaks.sum())
    return pool.take(~leaks)


def _recipes(
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


def _scored(config: RunConfig, material: Material) -> Recipe:
    """Returns the weights that the settings of the configuration give."""
    score = importance_scores(
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
    )
    weight = to_sample_weight(
        score,
        effective_fraction=config.effective_fraction,
        labels=material.label if config.within_label else None,
    )
    return Recipe(weight, score=score)


def _targets(
    config: RunConfig,
    parts: Mapping[str, Examples],
    features: Mapping[str, Array],
) -> TargetSet:
    """Returns what the exported model scores importance against."""
    return TargetSet(
        features["target"],
        parts["target"].label,
        offset=features["pool"].mean(axis=0) if config.center else None,
        scale=config.scale,
        clip=config.clip,
        reduction=config.reduction,
    )


def _card(config: RunConfig, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the model card of the exported model says."""
    chosen = metrics["comparison"]["chosen"]
    figures = metrics["strategies"][chosen]
    return {
        "intended_use": (
            f"The probability of {config.label} from {', '.join(config.text)}, "
            f"for traffic such as {config.target!r}."
        ),
        "data": {"source": config.pool, **metrics["data"]},
        "metrics": {
            "training": chosen,
            **{name: figures[name] for name in ("validation", "test")},
        },
    }


def _compare(
    config: RunConfig,
    parts: Mapping[str, Examples],
    features: Mapping[str, Array],
    recipes: Mapping[str, Recipe],
) -> Comparison:
    roles = {"train": "pool", "validation": "validation", "test": "test"}
    if any(made.rows == "target" for made in recipes.values()):
        roles["target"] = "target"
    return compare(
        {
            role: Part(features[name], parts[name].labels, parts[name].group)
            for role, name in roles.items()
        },
        recipes,
        seeds=range(config.seed, config.seed + config.seeds),
        epochs=config.epochs,
        batch_size=config.batch_size,
        patience=config.patience,
    )


def _metrics(
    config: RunConfig,
    parts: Mapping[str, Examples],
    made: Recipe,
    weight: SampleWeight,
    comparison: Comparison,
) -> dict[str, Any]:
    difference, interval = comparison.difference("importance")
    found = comparison.to_dict()
    metrics = {
        "name": config.name,
        "versions": _versions(),
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
            "statement": found["statement"],
            "evidence": found["evidence"],
        },
    }
    if made.choice is not None:
        metrics["choice"] = _choice(made.choice)
    return metrics


def _choice(choice: Choice) -> dict[str, Any]:
    """Returns how the weights were chosen, as JSON holds it."""
    return {
        "candidates": [asdict(each) for each in choice.candidates],
        "flip_rate": list(choice.reliability.flip_rate),
        "opinion_weight": choice.reliability.opinion_weight,
    }


def _versions() -> dict[str, str]:
    return {
        "tfimportance": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _write(
    folder: Path,
    config: RunConfig,
    metrics: Mapping[str, Any],
    pool: Examples,
    importance: Array,
    weight: SampleWeight,
) -> None:
    text = json.dumps(metrics, indent=2, default=str, allow_nan=False) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    settings = yaml.safe_dump(config.to_dict(), sort_keys=False)
    (folder / "config.yaml").write_text(settings, encoding="utf-8")
    weights_frame(pool, importance, weight).to_parquet(
        folder / "weights.parquet", index=False
    )
    write_report(
        folder / "report.html",
        metrics,
        importance=importance,
        sample_weight=weight,
        labels=pool.labels,
        texts=[
            " · ".join(filter(None, row))
            for row in zip(*pool.text.values(), strict=True)
        ],
    )
