"""The methods of the quality benchmark: ours beside the peers."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baselines import METHODS
from baselines.problem import Array, Method, Problem

from tfimportance import importance_scores
from tfimportance.reliability import choose_weights, label_reliability
from tfimportance.strategies import Material, recipe


def signed(problem: Problem) -> Array:
    """Label-signed sinh similarity to target and pool."""
    return importance_scores(
        problem.features,
        problem.target_features,
        labels=problem.label,
        target_labels=problem.target_label,
        seed=problem.seed,
    )


def blind(problem: Problem) -> Array:
    """Label-blind sinh similarity to the target."""
    return importance_scores(problem.features, problem.target_features)


def auto(problem: Problem) -> Array:
    """The weights that the target speaks for."""
    choice = choose_weights(
        problem.features,
        problem.target_features,
        labels=problem.label,
        target_labels=problem.target_label,
        group=problem.group,
        target_group=problem.target_group,
        seed=problem.seed,
    )
    return choice.sample_weight


def plausibility(problem: Problem) -> Array:
    """The probability that the target would give a row its label."""
    found = label_reliability(
        problem.features,
        problem.target_features,
        labels=problem.label,
        target_labels=problem.target_label,
        group=problem.group,
        seed=problem.seed,
    )
    return found.plausibility


def combined(problem: Problem) -> Array:
    """Label-signed similarity to target and pool, plus small loss."""
    material = Material(
        problem.features,
        problem.label,
        problem.target_features,
        problem.target_label,
        problem.group,
        problem.target_group,
        problem.seed,
    )
    return recipe("combined", material).score


AUTO = "tfimportance auto"
SCORES = {
    "tfimportance sinh": Method(blind, False, "label-blind"),
    "tfimportance signed sinh": Method(signed, False, "label-signed"),
}
WEIGHTS = {
    **METHODS,
    **SCORES,
    AUTO: Method(auto, True, "choose_weights"),
}
DETECTORS = {
    **METHODS,
    **SCORES,
    "tfimportance combined": Method(combined, False, "strategies.combined"),
    "tfimportance plausibility": Method(
        plausibility, False, "label_reliability"
    ),
}
SLOW = ("Data-OOB", "DVRL")


def measured(call: Callable[..., Any], *given: Any) -> tuple[Any, float, float]:
    """Returns the result, its seconds, and the MB that it took at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _memory("VmRSS"), time.perf_counter()
    result = call(*given)
    return result, time.perf_counter() - start, _memory("VmHWM") - before


def _memory(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1e3
    raise LookupError(name)
