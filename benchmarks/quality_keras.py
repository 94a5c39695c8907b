"""The gain of weights for a Keras model: `python benchmarks/quality_keras.py`.

The tasks of benchmarks/quality.py, and the model of `tfimportance run`: a dense
head with dropout, Adam, of 20 epochs the one that is best on 300 validation
rows of the target. Prints the AUC on all other target rows, less that of
uniform weights from the same seeds, after that epoch and after the last one,
which shows what a longer training would have cost. Results are kept in
runs/quality/keras, and a run that was broken off goes on.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from baselines.problem import Problem
from quality import interval, show
from quality_cells import Found, measure
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
WAYS: dict[str, Callable[[Problem], Any]] = {
    "uniform": lambda problem: None,
    AUTO: auto,
    "tfimportance signed sinh": lambda problem: to_sample_weight(
        signed(problem), effective_fraction=0.6
    ),
    "tfimportance sinh": lambda problem: to_sample_weight(
        blind(problem), effective_fraction=0.6
    ),
}


def trained(task: Task, weight: np.ndarray | None) -> tuple[float, float]:
    """Returns the test AUC at the best epoch and at the last one."""
    problem, (rows, label) = task.problem, task.test
    keras.utils.set_random_seed(problem.seed)
    model = dense_head(problem.features.shape[1])
    end: list[list[np.ndarray]] = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: end.append(model.get_weights())
    )
    fit(
        model,
        problem.features,
        problem.label,
        sample_weight=weight,
        validation=task.validation,
        seed=problem.seed,
        epochs=EPOCHS,
        patience=EPOCHS,
        batch_size=64,
        callbacks=[keep],
    )
    best = roc_auc(label, predict_probability(model, rows))
    model.set_weights(end[-1])
    return best, roc_auc(label, predict_probability(model, rows))


def run_cell(
    name: str, noise: float, seed: int, rows: int, left: Sequence[str]
) -> Found:
    """Trains with the weights of the methods that are left."""
    task = TASKS[name](seed, noise, rows)
    found = {}
    for method in left:
        weight = WAYS[method](task.problem)
        best, last = trained(task, weight)
        found[method] = {"best": best, "last": last}
    return found


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=3_000)
    arguments = parser.parse_args()
    cells = [
        {"name": name, "noise": noise, "seed": seed, "rows": arguments.rows}
        for seed in range(arguments.seeds)
        for name, noise in COLUMNS
    ]
    table = measure("keras", run_cell, cells, [*WAYS], os.cpu_count() or 1)
    for epoch in ("best", "last"):
        print(f"AUC after the {epoch} epoch, {arguments.seeds} seeds\n")
        aucs = table.pivot(
            index="seed", columns=["name", "noise", "method"], values=epoch
        ).sort_index(axis=1)
        show(["method", *(f"{name}, {noise:.0%}" for name, noise in COLUMNS)])
        base = [f"{aucs[column].uniform.mean():.3f}" for column in COLUMNS]
        show(["uniform: AUC", *base], rule=False)
        for method in table.method.unique()[1:]:
            gains = [
                interval(aucs[column][method] - aucs[column].uniform)
                for column in COLUMNS
            ]
            show([method, *gains], rule=False)
        print()


if __name__ == "__main__":
    main()
