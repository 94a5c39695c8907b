"""What `metrics.json` holds: its keys and types, once, and their check."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfimportance._checks import check_finite, fail

SPLITS = ("train", "validation", "test")


def _of(kind: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, kind)


# What `metrics` must hold. A list of one stands for one entry or more.
_INTERVAL = [float, float]
_EVALUATION = {
    "roc_auc_interval": _INTERVAL,
    **_of(float, "roc_auc", "pr_auc", "f1", "log_loss", "calibration_error"),
}
_SEED = {
    **_of(int, "seed", "best_epoch"),
    **_of(float, "validation_roc_auc", "test_roc_auc"),
    "curve": [float],
}
_STRATEGY = {**_of(_EVALUATION, *SPLITS), "seeds": [_SEED]}
METRICS = {
    **_of(str, "name", "model"),
    "versions": _of(str, "tfimportance", "tensorflow", "keras", "python"),
    "config": {},
    "data": _of(
        {"rows": int, "positive_share": float},
        *("pool", "target", "validation", "test"),
    ),
    "weights": _of(
        float,
        *("effective_sample_size", "effective_fraction", "perplexity"),
        *("largest_share", "clipped_fraction"),
    ),
    "strategies": _of(_STRATEGY, "uniform", "importance"),
    "comparison": {
        **_of(str, "verdict", "chosen"),
        "test_roc_auc_difference": float,
        "interval": _INTERVAL,
    },
}
_CHOICE = {
    "candidates": [{"name": str, **_of(float, "gain", "error", "share")}],
    "flip_rate": _INTERVAL,
    **_of(float, "class_shift", "scale"),
}


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Raises unless `metrics` has all of `METRICS`; it may have more.

    Raises:
        InputError: A key is missing or its value has another type; the
            message names it, as in `metrics.comparison.verdict`.
    """
    _require(metrics, METRICS, "metrics")
    for name, strategy in metrics["strategies"].items():
        _require(strategy, _STRATEGY, f"metrics.strategies.{name}")
    if "choice" in metrics:
        _require(metrics["choice"], _CHOICE, "metrics.choice")
    if "statement" in metrics["comparison"]:
        statement = metrics["comparison"]["statement"]
        _require(statement, str, "metrics.comparison.statement")


def _require(value: Any, shape: Any, where: str) -> None:
    """Raises unless `value` has at least what `shape` names."""
    if isinstance(shape, dict):
        _require_type(value, Mapping, "a dict", where)
        for key, part in shape.items():
            if key not in value:
                found = ", ".join(map(repr, value)) or "nothing"
                raise fail(f"`{where}` must hold {key!r}.", f"only {found}")
            _require(value[key], part, f"{where}.{key}")
    elif isinstance(shape, list):
        _require_type(value, (list, tuple), "a list", where)
        pair = len(shape) == 2
        if not value or (pair and len(value) != 2):
            size = "two bounds" if pair else "at least one entry"
            raise fail(f"`{where}` must hold {size}.", f"{where}={value!r}")
        for place, entry in enumerate(value):
            _require(entry, shape[0], f"{where}[{place}]")
    elif shape is float:
        _require_type(value, (int, float, np.number), "a number", where)
        check_finite(where, np.asarray(value))
    else:
        kinds = (int, np.integer) if shape is int else shape
        _require_type(value, kinds, f"of type {shape.__name__}", where)


def _require_type(value: Any, kinds: Any, named: str, where: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise fail(f"`{where}` must be {named}.", f"{where}={value!r}")
