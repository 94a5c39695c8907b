"""How well values find wrong labels: the protocol of OpenDataVal.

300 rows, 30 targets, a tenth of each with the wrong label: Jiang et al. 2023,
arXiv:2306.10577. Beside the F1 of the lower of two clusters of values, the
share of the wrong labels among the lowest values (the discovery curve), and
what a logistic regression gains in accuracy on 3,000 other rows once the rows
of the lowest values are removed.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from baselines.detection import detection_f1, recall_in_lowest
from baselines.problem import Array, Problem
from quality_cells import Cell, Found, measure
from quality_methods import DETECTORS, measured
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

ROWS, TARGETS, TEST = 300, 30, 3_000
LOOKED_AT = (0.05, 0.1, 0.2, 0.4)
REMOVED = (0.1, 0.2, 0.4)


def print_detection(
    seeds: int, without: Sequence[str], workers: int, magic: Path | None
) -> None:
    """Prints a table for each data set."""
    names = ["breast_cancer", "digits, odd"]
    names = ["MagicTelescope", *names] if magic is not None else names
    cells: list[Cell] = [
        {"name": name, "seed": seed} for name in names for seed in range(seeds)
    ]
    methods = [each for each in DETECTORS if each not in without]
    run = partial(run_cell, magic)
    found = measure("detection", run, cells, methods, workers)
    for name, frame in found.groupby("name", sort=False):
        _print_table(name, frame.drop(columns=["name", "seed"]), seeds)


def _print_table(name: str, frame: pd.DataFrame, seeds: int) -> None:
    print(f"{name}: 10% wrong labels, {seeds} seeds\n")
    columns = [column for column in frame if column != "method"]
    print(f"| method | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    means = frame.groupby("method")[columns].mean()
    errors = frame.groupby("method").F1.std(ddof=1) / seeds**0.5
    for method, row in means.sort_values("F1", ascending=False).iterrows():
        cells = [f"{row.F1:.3f} ± {1.96 * errors[method]:.3f}"]
        for column in columns[1:]:
            sign = "+" if column.startswith("without") else ""
            digits = {"s": 1, "MB": 0}.get(column, 3)
            cells.append(f"{row[column]:{sign}.{digits}f}")
        print(f"| {method} | {' | '.join(cells)} |")
    print()


def run_cell(
    magic: Path | None, name: str, seed: int, left: Sequence[str]
) -> Found:
    """Runs the methods that are left on one problem."""
    x, y = data_sets(magic)[name]
    problem, is_noisy, test = noisy_problem(x, y, seed)
    found = {}
    for method in left:
        values, seconds, memory = measured(DETECTORS[method], problem)
        found[method] = figures(values, problem, is_noisy, test)
        found[method] |= {"s": seconds, "MB": memory}
    return found


def figures(
    values: Array,
    problem: Problem,
    is_noisy: Array,
    test: tuple[Array, Array],
) -> dict[str, float]:
    """Returns F1, discovery and what removing the lowest values gains."""
    found = {"F1": detection_f1(values, is_noisy)}
    for share in LOOKED_AT:
        recall = recall_in_lowest(values, is_noisy, share)
        found[f"found in the lowest {share:.0%}"] = recall
    whole = accuracy(problem.features, problem.label, test)
    order = np.argsort(values, kind="stable")
    for share in REMOVED:
        kept = order[round(share * len(order)) :]
        left = accuracy(problem.features[kept], problem.label[kept], test)
        found[f"without the lowest {share:.0%}"] = left - whole
    return found


def accuracy(x: Array, y: Array, test: tuple[Array, Array]) -> float:
    """Returns the accuracy on the test rows; of one class, that class's."""
    if len(np.unique(y)) < 2:
        return float(np.mean(test[1] == y[0]))
    model = LogisticRegression(max_iter=1_000).fit(x, y)
    return float(model.score(*test))


@cache
def data_sets(magic: Path | None) -> Mapping[str, tuple[Any, Any]]:
    """Returns features and binary labels by name."""
    x, y = load_digits(return_X_y=True)
    sets = {
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "digits, odd": (x, y % 2),
    }
    if magic is not None:
        table = np.load(magic)
        sets["MagicTelescope"] = (table["X"], table["y"])
    return sets


def noisy_problem(
    x: Array, y: Array, seed: int
) -> tuple[Problem, Array, tuple[Array, Array]]:
    """Returns rows and targets, which rows are wrong, and the test rows."""
    rng = np.random.default_rng(seed)
    count = ROWS + TARGETS
    while True:
        drawn = rng.permutation(len(y))[: count + TEST]
        rows, rest = np.split(drawn, [count])
        label = np.asarray(y[rows], np.int64)
        is_noisy = np.zeros(count, bool)
        is_noisy[rng.choice(ROWS, ROWS // 10, replace=False)] = True
        of_target = rng.choice(TARGETS, TARGETS // 10, replace=False)
        is_noisy[ROWS + of_target] = True
        label = np.where(is_noisy, 1 - label, label)
        if len(np.unique(label[ROWS:])) == 2:
            break
    scaler = StandardScaler().fit(x[rows[:ROWS]])
    features = scaler.transform(x[rows]).astype(np.float32)
    problem = Problem(
        features[:ROWS],
        label[:ROWS],
        features[ROWS:],
        label[ROWS:],
        seed=seed,
    )
    test = (scaler.transform(x[rest]).astype(np.float32), y[rest])
    return problem, is_noisy[:ROWS], test
