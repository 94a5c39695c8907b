"""The methods of the quality benchmark: ours beside the peers."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from baselines import METHODS
from baselines.problem import Array, Method, Problem

from tfimportance.reliability import label_reliability
from tfimportance.strategies import Material, recipe


def material(problem: Problem) -> Material:
    """Returns the problem as our strategies look at it."""
    return Material(
        problem.features,
        problem.label,
        problem.target_features,
        problem.target_label,
        problem.group,
        problem.target_group,
        problem.seed,
    )


def score(strategy: str, problem: Problem) -> Array:
    """The score that a strategy tempers to weights."""
    return recipe(strategy, material(problem)).score


def auto(problem: Problem) -> Array:
    """The weights that the target speaks for."""
    return recipe("auto", material(problem)).sample_weight


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


blind = partial(score, "similarity")
signed = partial(score, "label_signed")

AUTO = "tfimportance auto"
SCORES = {
    "tfimportance sinh": Method(blind, False, "similarity"),
    "tfimportance signed sinh": Method(signed, False, "label_signed"),
}
WEIGHTS = {
    **METHODS,
    **SCORES,
    AUTO: Method(auto, True, "choose_weights"),
}
DETECTORS = {
    **METHODS,
    **SCORES,
    AUTO: Method(auto, True, "choose_weights"),
    "tfimportance small loss": Method(
        partial(score, "small_loss"), False, "small_loss"
    ),
    "tfimportance combined": Method(
        partial(score, "combined"), False, "combined"
    ),
    "tfimportance plausibility": Method(
        plausibility, False, "label_reliability"
    ),
}
SLOW = ("Data-OOB", "DVRL")  # as long as all others together


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
