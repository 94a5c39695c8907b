"""Every method on the same embeddings, the same model and the same splits.

    python benchmarks/quality.py noise      # wrong labels: three real sets
    python benchmarks/quality.py mixed      # a pool that is mostly off-target
    python benchmarks/quality.py shift      # covariate shift, right labels
    python benchmarks/quality.py unseen     # data that nothing was tuned on
    python benchmarks/quality.py detection  # the published noisy-label F1
    python benchmarks/quality.py            # all of them: 45 minutes, 2 cores
    python benchmarks/quality.py --short    # three seeds: a quarter of that
    python benchmarks/quality.py --full     # 10 and 40% wrong labels as well

A method sees the pool and 300 trusted target rows. Its scores become weights
of the training of one model, a logistic regression on standardised embeddings,
in two ways: with the regularisation as it is (C = 0.01), which leaves the
model room to learn wrong labels, as networks have; and tuned. What is tuned is
tuned for every method, uniform weights too, by the AUC on 300 further target
rows: how hard the weights are tempered (one of three) and, where it says so,
the regularisation (one of three). The tables show the AUC on all other target
rows, less that of uniform weights. The `auto` of tfimportance has no strength
to tune; "guarded" is it with the rule of `tfimportance run`, which keeps
uniform weights unless those 300 rows show a gain above one standard error.

Results are kept in runs/quality, a file for each task, noise and seed: a run
that was broken off goes on, and --seeds 20 adds to 10. --short takes 3 seeds
and leaves out the two methods that need most of the time (Data-OOB and DVRL).
Delete the folder after a change of a method.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # workers share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from baselines.problem import Array
from quality_cells import Cell, Found, measure
from quality_detection import print_detection
from quality_methods import AUTO, SLOW, WEIGHTS, measured
from quality_tasks import TASKS as KNOWN, Task
from quality_unseen import TASKS as UNSEEN, fetch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tfimportance import to_sample_weight
from tfimportance.evaluation import auc_difference, roc_auc

TASKS = {**KNOWN, **UNSEEN}
AS_IT_IS = 1e-2
REGULARISATION = (1e-4, 1e-3, AS_IT_IS)
TEMPERED = (0.85, 0.6, 0.3)  # effective share of the rows
POWERS = (1.0, 0.5, 0.25)  # of scores that are weights already
KEPT = (0.05, 0.1, 0.2, 0.5)
TABLES: dict[str, tuple[list[str], list[float]]] = {  # tasks, noise
    "noise": (["reviews", "ESCI", "Chorus"], [0.0, 0.2]),
    "mixed": (["mixed pool"], [0.0, 0.2]),
    "shift": (["covariate shift"], [0.0]),
    "unseen": ([*UNSEEN], [0.0, 0.2]),
}
FULL = [0.0, 0.1, 0.2, 0.4]  # of the table noise
Fit = tuple[Array, Array]  # log-odds of validation and test rows
GUARDED = f"{AUTO}, guarded"
SEEDS, SHORT_SEEDS = 10, 3


def probabilities(task: Task, weight: Array, c: float) -> Fit:
    """Returns the log-odds on validation and test rows."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=c, max_iter=300, tol=1e-3)
    )
    problem = task.problem
    weights = {"logisticregression__sample_weight": weight / weight.mean()}
    with threadpool_limits(1, "blas"):
        model.fit(problem.features, problem.label, **weights)
        on = [task.validation[0], task.test[0]]
        return tuple(model.decision_function(rows) for rows in on)


def strengths(name: str, score: Array) -> Iterable[Array]:
    """Yields the weights that the validation rows choose from."""
    if name == AUTO:
        yield score
    elif WEIGHTS[name].is_weight:
        yield from (np.maximum(score, 0) ** power for power in POWERS)
    else:
        for share in TEMPERED:
            yield np.asarray(to_sample_weight(score, effective_fraction=share))


def top(score: Array, share: float) -> Array:
    """Returns weight 1 for the highest scores, a trace for the others."""
    rank = np.argsort(np.argsort(-score, kind="stable"))
    return np.where(rank < share * len(score), 1.0, 1e-6)


def run_cell(
    name: str, noise: float, seed: int, rows: int, left: list[str]
) -> Found:
    """Runs the methods that are left on one task."""
    task = TASKS[name](seed, noise, rows)
    ones = np.ones(len(task.problem))
    base = {c: probabilities(task, ones, c) for c in REGULARISATION}
    found: Found = {"uniform": outcome(task, [base])}
    for method in filter(WEIGHTS.__contains__, left):
        score, seconds, memory = measured(WEIGHTS[method], task.problem)
        cost = {"seconds": seconds, "memory": memory}
        fits = [
            {c: probabilities(task, weight, c) for c in REGULARISATION}
            for weight in strengths(method, score)
        ]
        found[method] = {**cost, **outcome(task, fits)}
        if name == "mixed pool":
            found[method]["top"] = [
                roc_auc(
                    task.test[1],
                    probabilities(task, top(score, share), AS_IT_IS)[1],
                )
                for share in KEPT
            ]
        if noise:
            found[method]["finds"] = roc_auc(task.is_wrong, -score)
        if method == AUTO:
            kept = [guarded(task, fits[0], base)]
            found[GUARDED] = {**cost, **outcome(task, kept)}
    return found


def outcome(task: Task, fits: list[dict[float, Fit]]) -> dict[str, float]:
    """Returns the test AUC of what does best on the validation rows."""
    best = {
        "as it is": [fit[AS_IT_IS] for fit in fits],
        "tuned": [each for fit in fits for each in fit.values()],
    }
    return {
        rule: roc_auc(
            task.test[1],
            max(tried, key=lambda fit: roc_auc(task.validation[1], fit[0]))[1],
        )
        for rule, tried in best.items()
    }


def guarded(
    task: Task, ours: dict[float, Fit], base: dict[float, Fit]
) -> dict[float, Fit]:
    """Returns our fits where the validation rows show a gain, else uniform."""
    kept = {}
    for c, fit in ours.items():
        gain = auc_difference(task.validation[1], [fit[0]], [base[c][0]])
        kept[c] = fit if gain.mean > gain.error else base[c]
    return kept


def downstream(
    table: str,
    noises: Sequence[float],
    seeds: int,
    rows: int,
    without: Sequence[str],
    workers: int,
) -> None:
    """Prints the gain in AUC of every method on the tasks of a table."""
    if table == "unseen":
        fetch()
    columns = [(name, noise) for noise in noises for name in TABLES[table][0]]
    cells: list[Cell] = [
        {"name": name, "noise": noise, "seed": seed, "rows": rows}
        for seed in range(seeds)
        for name, noise in columns
    ]
    methods = ["uniform", *WEIGHTS, GUARDED]
    methods = [each for each in methods if each not in without]
    found = measure(table, run_cell, cells, methods, workers)
    frames = {
        f"{name}, {noise:.0%}": found[
            (found.name == name) & (found.noise == noise)
        ]
        for name, noise in columns
    }
    for rule in ("as it is", "tuned"):
        print(f"{table}, regularisation {rule}, {seeds} seeds, pools of at ")
        print(f"most {rows:,} rows\n")
        compared(frames, rule)
    if table == "mixed":
        for title, frame in frames.items():
            selected(title, frame)


def compared(frames: dict[str, pd.DataFrame], rule: str) -> None:
    """Prints gains over uniform weights, the best mean rank first."""
    aucs = {
        title: frame.pivot(index="seed", columns="method", values=rule)
        for title, frame in frames.items()
    }
    gains = {
        title: auc.drop(columns="uniform").sub(auc.uniform, axis=0)
        for title, auc in aucs.items()
    }
    ranks = pd.concat(
        [
            gain.drop(columns=GUARDED).rank(axis=1, ascending=False)
            for gain in gains.values()
        ]
    ).mean()
    ranks[GUARDED] = ranks[AUTO]  # the same method, beside it
    every = pd.concat(frames.values()).groupby("method")
    seconds, memory = every.seconds.mean(), every.memory.max()
    show(["method", *gains, "mean rank", "s", "MB"])
    base = [f"{auc.uniform.mean():.3f}" for auc in aucs.values()]
    show(["uniform: AUC", *base, "", "", ""], rule=False)
    for method in ranks.sort_values(kind="stable").index:
        cells = [interval(gain[method]) for gain in gains.values()]
        rank = "" if method == GUARDED else f"{ranks[method]:.1f}"
        cost = [f"{seconds[method]:.1f}", f"{memory[method]:.0f}"]
        show([method, *cells, rank, *cost], rule=False)
    print()


def selected(title: str, frame: pd.DataFrame) -> None:
    """Prints the AUC of training on the best share of the pool alone."""
    base = frame[frame.method == "uniform"]["as it is"].mean()
    print(f"{title}: AUC by the top share of the rows (all: {base:.3f})\n")
    show(["method", *(f"{share:.0%}" for share in KEPT)])
    tried = frame[frame.top.notna()].groupby("method", sort=False).top
    for method, tops in tried:
        mean = np.mean(tops.tolist(), axis=0)
        show([method, *(f"{auc:.3f}" for auc in mean)], rule=False)
    print()


def interval(gains: pd.Series) -> str:
    """Returns mean and 95% half-width over seeds, in AUC."""
    half = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
    return f"{gains.mean():+.3f} ± {half:.3f}"


def show(cells: list[str], *, rule: bool = True) -> None:
    """Prints a row of a Markdown table."""
    print(f"| {' | '.join(cells)} |")
    if rule:
        print("|---" * len(cells) + "|")


def main() -> None:
    """Prints the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", nargs="?", choices=[*TABLES, "detection"])
    parser.add_argument("--seeds", type=int, help=f"default {SEEDS}")
    parser.add_argument(
        "--rows", type=int, default=3_000, help="most rows of a pool"
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--magic",
        type=Path,
        help="npz with X and y of MagicTelescope (OpenML 44073); not bundled",
    )
    arguments = parser.parse_args()
    seeds = arguments.seeds or (SHORT_SEEDS if arguments.short else SEEDS)
    without = SLOW if arguments.short else ()
    for table in [arguments.table] if arguments.table else TABLES:
        if table != "detection":
            full = arguments.full and table == "noise"
            downstream(
                table,
                FULL if full else TABLES[table][1],
                seeds,
                arguments.rows,
                without,
                arguments.workers,
            )
    if arguments.table in (None, "detection"):
        print_detection(2 * seeds, without, arguments.workers, arguments.magic)


if __name__ == "__main__":
    main()
