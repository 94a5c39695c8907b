"""From a configuration to weights, comparison, report and model."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfimportance._checks import Array
from tfimportance._files import check_writable, staged_folder, write_json
from tfimportance.comparison import Comparison, Part, compare
from tfimportance.config import RunConfig
from tfimportance.data import Examples
from tfimportance.encoding import encode, load_encoder
from tfimportance.pipeline.figures import card_of, metrics_of
from tfimportance.pipeline.parts import load_parts
from tfimportance.pipeline.recipes import check_scores, recipes_of
from tfimportance.report import write_report
from tfimportance.serving import TargetSet, export
from tfimportance.stages import weights_frame
from tfimportance.strategies import Recipe, check_strategy
from tfimportance.weighting import SampleWeight


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
    check_scores(config)
    parts = load_parts(config)
    encoder = load_encoder(config.encoder)
    with staged_folder(output, "metrics.json") as stage:
        features = {
            name: encode(encoder, part, fields=config.fields)
            for name, part in parts.items()
        }
        recipes = recipes_of(config, parts, features)
        made = recipes["importance"]
        importance, weight = made.shown(len(parts["pool"]))
        comparison = _compare(config, parts, features, recipes)
        metrics = metrics_of(config, parts, made, weight, comparison)
        model = export(
            comparison.best.model,
            encoder,
            saved_model,
            text=config.text,
            fields=config.fields,
            targets=_targets(config, parts, features, made),
            card=card_of(config, metrics),
        )
        metrics["model"] = str(model)
        try:
            comparison.to_frame().to_csv(stage / "comparison.csv", index=False)
            _write(stage, config, metrics, parts["pool"], importance, weight)
        except BaseException:
            shutil.rmtree(model)  # a model whose report failed is not served
            raise
    return RunResult(metrics, weight, output, model)


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


def _targets(
    config: RunConfig,
    parts: Mapping[str, Examples],
    features: Mapping[str, Array],
    made: Recipe,
) -> TargetSet:
    """Returns what the exported model scores importance against."""
    chosen = made.choice
    return TargetSet(
        features["target"],
        parts["target"].label,
        offset=features["pool"].mean(axis=0) if config.center else None,
        scale=chosen.reliability.scale if chosen else config.scale,
        clip=config.clip,
        reduction=config.reduction,
    )


def _write(
    folder: Path,
    config: RunConfig,
    metrics: Mapping[str, Any],
    pool: Examples,
    importance: Array,
    weight: SampleWeight,
) -> None:
    write_json(folder / "metrics.json", metrics)
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
