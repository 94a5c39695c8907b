"""The gain of weights for a Keras model: `python benchmarks/quality_keras.py`.

The tasks of benchmarks/quality.py, and the model and early stopping of
`tfimportance run`: a dense head with dropout, Adam, the epoch that is best on
300 validation rows of the target. Prints the AUC on all other target rows,
less that of uniform weights from the same seeds, after that epoch and after
the last one, which shows what a longer training would have cost.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from quality import interval, show
from quality_methods import AUTO, auto, blind, signed
from quality_tasks import TASKS, Task

from tfimportance import dense_head, fit, to_sample_weight
from tfimportance.evaluation import predict_probability, roc_auc

COLUMNS = [
    (name, noise)
    for noise in (0.0, 0.2)
    for name in ("reviews", "ESCI", "Chorus", "mixed pool")
]
EPOCHS = 20


def weights(task: Task) -> dict[str, np.ndarray | None]:
    """Returns the weights by name, None for uniform ones."""
    problem = task.problem
    return {
        "uniform": None,
        AUTO: auto(problem),
        "tfimportance signed sinh": to_sample_weight(
            signed(problem), effective_fraction=0.6
        ),
        "tfimportance sinh": to_sample_weight(
            blind(problem), effective_fraction=0.6
        ),
    }


def trained(task: Task, weight: np.ndarray | None) -> tuple[float, float]:
    """Returns the test AUC at the best epoch and at the last one."""
    problem, (rows, label) = task.problem, task.test
    aucs = []
    for patience in (3, EPOCHS):
        keras.utils.set_random_seed(problem.seed)
        model = dense_head(problem.features.shape[1])
        stop = patience < EPOCHS
        fit(
            model,
            problem.features,
            problem.label,
            sample_weight=weight,
            validation=task.validation if stop else None,
            seed=problem.seed,
            epochs=EPOCHS,
            patience=patience,
            batch_size=64,
        )
        aucs.append(roc_auc(label, predict_probability(model, rows)))
    return aucs[0], aucs[1]


def cell(key: tuple[str, float, int, int]) -> list[tuple[object, ...]]:
    """Returns a record for each method on one task."""
    name, noise, seed, rows = key
    task = TASKS[name](seed, noise, rows)
    return [
        (f"{name}, {noise:.0%}", seed, method, *trained(task, weight))
        for method, weight in weights(task).items()
    ]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=3_000)
    arguments = parser.parse_args()
    cells = [
        (*column, seed, arguments.rows)
        for seed in range(arguments.seeds)
        for column in COLUMNS
    ]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        records = [each for found in pool.map(cell, cells) for each in found]
    table = pd.DataFrame(
        records, columns=["column", "seed", "method", "best", "last"]
    )
    for epoch in ("best", "last"):
        print(f"AUC after the {epoch} epoch, {arguments.seeds} seeds\n")
        aucs = table.pivot(
            index="seed", columns=["column", "method"], values=epoch
        )
        columns = [f"{name}, {noise:.0%}" for name, noise in COLUMNS]
        show(["method", *columns])
        base = [f"{aucs[column].uniform.mean():.3f}" for column in columns]
        show(["uniform: AUC", *base], rule=False)
        for method in table.method.unique()[1:]:
            gains = [
                interval(aucs[column][method] - aucs[column].uniform)
                for column in columns
            ]
            show([method, *gains], rule=False)
        print()


if __name__ == "__main__":
    main()
