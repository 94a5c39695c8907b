"""The report: one HTML file that says whether weighting helped, and why.

It needs no network, no JavaScript and no other file. Its numbers come from
the dict that is also written as `metrics.json`, so the two cannot differ.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import ArrayLike

from tfimportance import _svg
from tfimportance._checks import (
    Array,
    check_binary,
    check_finite,
    check_length,
    fail,
)
from tfimportance._files import staged_file
from tfimportance._metrics import METRICS, SPLITS, check_metrics
from tfimportance.evaluation import CONFIDENCE

_SAMPLES = 10  # that weigh most, and as many that weigh least
_EXCERPT, _WHOLE = 200, 2000  # characters of a text: at once, unfolded


def write_report(
    path: str | Path,
    metrics: Mapping[str, Any],
    *,
    importance: ArrayLike,
    sample_weight: ArrayLike,
    labels: ArrayLike,
    texts: Sequence[str],
) -> Path:
    """Writes the report of a run as one self-contained HTML file.

    Args:
        path: The file; an existing one is replaced, a missing folder made.
        metrics: What `metrics.json` holds: `name`, `versions`, `config`,
            `data`, `weights`, `strategies` ("uniform", "importance" and any
            other, all with the same seeds), `comparison` and `model`; with
            `choice`, how the weights were chosen. Further keys are ignored.
        importance: `(num_samples,)` finite scores of the training pool.
        sample_weight: `(num_samples,)` finite weights, mean 1.
        labels: `(num_samples,)` of 0 and 1.
        texts: `num_samples` strings.

    Returns:
        The path of the file.

    Raises:
        InputError: A key of `metrics` is missing or its value has another
            type, or the arrays do not match. No file is then written.
    """
    check_metrics(metrics)
    score, weight, label = _checked(importance, sample_weight, labels, texts)
    template = _environment().get_template("report.html.j2")
    page = template.render(
        {key: metrics[key] for key in METRICS},
        choice=metrics.get("choice"),
        splits=SPLITS,
        color=_svg.color,
        confidence=f"{CONFIDENCE:.0%}",
        samples=_samples(score, weight, label, texts),
        commands=_commands(metrics),
        importance_chart=_svg.histogram("importance", score, label),
        weight_chart=_svg.histogram("sample weight", weight, label),
        **_compared(metrics["strategies"], metrics["comparison"]),
    )
    with staged_file(path) as stage:
        stage.write_text(page, encoding="utf-8", errors="replace")
    return Path(path)


def _checked(
    importance: ArrayLike,
    sample_weight: ArrayLike,
    labels: ArrayLike,
    texts: Sequence[str],
) -> tuple[Array, Array, Array]:
    score = np.asarray(importance, np.float64)
    weight = np.asarray(sample_weight, np.float64)
    label = np.asarray(labels)
    if not len(texts):
        raise fail("`texts` must hold at least one string.", "texts=[]")
    check_length("importance", score, len(texts), "texts")
    check_length("sample_weight", weight, len(texts), "texts")
    check_length("labels", label, len(texts), "texts")
    check_finite("importance", score)
    check_finite("sample_weight", weight)
    check_binary("labels", label)
    return score, weight, label


def _seeds(strategies: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """The test AUC by seed and strategy, in the order of the seeds."""
    by_name = {
        name: {seed["seed"]: seed["test_roc_auc"] for seed in strategy["seeds"]}
        for name, strategy in strategies.items()
    }
    for name, aucs in by_name.items():
        if aucs.keys() != by_name["uniform"].keys():
            raise fail(
                f"`metrics.strategies.{name}` must have the seeds of "
                "'uniform', since they are compared in pairs.",
                f"seeds {sorted(aucs)} and {sorted(by_name['uniform'])}",
            )
    return {
        seed: {name: aucs[seed] for name, aucs in by_name.items()}
        for seed in sorted(by_name["uniform"])
    }


def _compared(
    strategies: Mapping[str, Any], comparison: Mapping[str, Any]
) -> dict[str, Any]:
    """The strategies, uniform first, their seeds in pairs and their charts."""
    strategies = {"uniform": {}, "importance": {}, **strategies}
    seeds = _seeds(strategies)
    aucs = {
        split.capitalize(): {
            name: (part[split]["roc_auc"], *part[split]["roc_auc_interval"])
            for name, part in strategies.items()
        }
        for split in SPLITS
    }
    curves = {
        name: [seed["curve"] for seed in part["seeds"]]
        for name, part in strategies.items()
    }
    return {
        "strategies": strategies,
        "seeds": seeds,
        "auc_chart": _svg.interval_chart(aucs),
        "curve_chart": _svg.curve_chart(curves),
        "difference_chart": _svg.difference_chart(
            comparison["test_roc_auc_difference"],
            comparison["interval"],
            [row["importance"] - row["uniform"] for row in seeds.values()],
        ),
    }


def _samples(
    score: Array, weight: Array, label: Array, texts: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """The rows at both ends of the weights, ready to be shown."""
    order = np.lexsort((score, weight)).tolist()
    count = min(_SAMPLES, (len(order) + 1) // 2)
    decimals = _decimals(score), _decimals(weight)

    def shown(row: int) -> dict[str, Any]:
        return {
            "importance": _number(score[row], decimals[0]),
            "weight": _number(weight[row], decimals[1]),
            "label": int(label[row]),
            "text": _folded(texts[row]),
        }

    return {
        "most": [shown(row) for row in order[: -count - 1 : -1]],
        "least": [shown(row) for row in order[:count]],
    }


def _decimals(values: Array) -> int:
    """As many decimals as show three digits of a typical difference."""
    spread = float(values.std())
    return min(max(2 - math.floor(math.log10(spread)), 0), 8) if spread else 3


def _folded(text: str) -> tuple[str, str]:
    """The beginning of a text, to the end of a word, and what follows."""
    text = " ".join(str(text).split())
    if len(text) <= _EXCERPT:
        return text, ""
    end = text.rfind(" ", _EXCERPT // 2, _EXCERPT)
    end = _EXCERPT if end < 0 else end
    cut = "" if len(text) <= _WHOLE else "\N{HORIZONTAL ELLIPSIS}"
    return text[:end], text[end:_WHOLE] + cut


def _commands(metrics: Mapping[str, Any]) -> dict[str, str]:
    """What to type to repeat the run and to serve its model."""
    config = f"{metrics['name']}.yaml"
    folder = PurePath(metrics["model"]).parent
    name = shlex.quote(folder.name)
    return {
        "file": config,
        "yaml": yaml.safe_dump(
            dict(metrics["config"]), sort_keys=False, allow_unicode=True
        ),
        "run": f"tfimportance run {shlex.quote(config)}",
        "inspect": "saved_model_cli show --all --dir "
        + shlex.quote(metrics["model"]),
        "serve": "docker run --rm -p 8501:8501 \\\n"
        f'  -v "$(realpath {shlex.quote(str(folder))})":/models/{name} \\\n'
        f"  -e MODEL_NAME={name} tensorflow/serving",
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": lambda value: _number(value, 4),
        "signed": lambda value: _svg.minus(f"{value:+.4f}"),
        "count": lambda value: f"{value:,.0f}",
        "odds": lambda log_odds: f"{math.exp(log_odds):.2g}",
        "percent": _percent,
        "setting": _setting,
    }
    return environment


def _number(value: float, decimals: int) -> str:
    return _svg.minus(f"{value:,.{decimals}f}")


def _percent(share: float) -> str:
    digits = ".1f" if share >= 0.01 or not share else ".2g"
    return f"{100 * share:{digits}}%"


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_setting(value[key])}" for key in value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_setting, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)
