"""Every method on the same embeddings, the same model and the same splits.

    python benchmarks/quality.py noise      # wrong labels: three real sets
    python benchmarks/quality.py mixed      # a pool that is mostly off-target
    python benchmarks/quality.py shift      # covariate shift, right labels
    python benchmarks/quality.py detection  # the published noisy-label F1
    python benchmarks/quality.py            # all of them
    python benchmarks/quality.py --full     # more rows and noise; takes hours

A method sees the pool and 300 trusted target rows. Its scores become weights
of the training of one model, a logistic regression on standardised embeddings
(the strength of its regularisation chosen for uniform weights). 300 further
target rows choose how hard the weights are tempered, from the same four
choices for every method; the tables show the AUC on all other target rows.
The `auto` of tfimportance makes its weights of the 300 trusted rows alone and
is not tuned; it is shown as well with the fallback of `tfimportance run`,
which keeps uniform weights unless the gain on the 300 further rows is above
one standard error.

Results are kept in runs/quality, a file for each task, noise and seed: a run
that was broken off goes on, and --seeds 20 adds to 10. Delete the folder after
a change of a method.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # workers share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from baselines import METHODS
from baselines.detection import detection_f1, recall_in_lowest
from baselines.problem import Array, Method, Problem
from quality_tasks import TASKS, Task
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tfimportance import importance_scores, to_sample_weight
from tfimportance.evaluation import auc_difference, roc_auc
from tfimportance.reliability import choose_weights, label_reliability

RESULTS = Path("runs/quality")
REGULARISATION = (1e-4, 1e-3, 1e-2)
TEMPERED = (0.85, 0.6, 0.3)  # effective share of the rows
POWERS = (1.0, 0.5, 0.25)  # of scores that are weights already
KEPT = (0.05, 0.1, 0.2, 0.5)
TABLES: dict[str, tuple[list[str], list[float], list[float], int, int]] = {
    # tasks, noise in the short form, in the full form, rows likewise
    "noise": (
        ["reviews", "ESCI", "Chorus"],
        [0.0, 0.2],
        [0.0, 0.1, 0.2, 0.4],
        3_000,
        20_000,
    ),
    "mixed": (["mixed pool"], [0.0, 0.2], [0.0, 0.2], 3_000, 3_000),
    "shift": (["covariate shift"], [0.0], [0.0], 3_000, 10_000),
}


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
    return choose_weights(
        problem.features,
        problem.target_features,
        labels=problem.label,
        target_labels=problem.target_label,
        group=problem.group,
        target_group=problem.target_group,
        seed=problem.seed,
    ).sample_weight


OURS = {
    "tfimportance sinh": Method(blind, False, "label-blind"),
    "tfimportance signed sinh": Method(signed, False, "label-signed"),
    "tfimportance auto": Method(auto, True, "choose_weights"),
}
ALL = {**METHODS, **OURS}
AUTO, GUARDED = "tfimportance auto", "tfimportance auto, guarded"


def probabilities(task: Task, weight: Array, c: float) -> tuple[Array, Array]:
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
    elif ALL[name].is_weight:
        yield from (np.maximum(score, 0) ** power for power in POWERS)
    else:
        for share in TEMPERED:
            yield np.asarray(to_sample_weight(score, effective_fraction=share))


def top(score: Array, share: float) -> Array:
    """Returns weight 1 for the highest scores, a trace for the others."""
    rank = np.argsort(np.argsort(-score, kind="stable"))
    return np.where(rank < share * len(score), 1.0, 1e-6)


def run_cell(cell: tuple[str, float, int, int]) -> None:
    """Runs all methods on one task, and keeps what came out."""
    name, noise, seed, rows = cell
    path = RESULTS / f"{name}-{noise}-{seed}-{rows}.json".replace(" ", "_")
    if path.exists():
        return
    task = TASKS[name](seed, noise, rows)
    label, truth = task.validation[1], task.test[1]
    ones = np.ones(len(task.problem))
    tried = {c: probabilities(task, ones, c) for c in REGULARISATION}
    c = max(tried, key=lambda c: roc_auc(label, tried[c][0]))
    base = tried[c]
    found = {"uniform": {"auc": roc_auc(truth, base[1]), "seconds": 0.0}}
    for method in ALL:
        start = time.perf_counter()
        score = ALL[method](task.problem)
        seconds = time.perf_counter() - start
        tried_weights = list(strengths(method, score))
        fits = [probabilities(task, w, c) for w in tried_weights]
        best = max(fits, key=lambda fit: roc_auc(label, fit[0]))
        found[method] = {"auc": roc_auc(truth, best[1]), "seconds": seconds}
        if name == "mixed pool":
            found[method]["top"] = [
                roc_auc(truth, probabilities(task, top(score, share), c)[1])
                for share in KEPT
            ]
        if noise:
            hidden = -score
            found[method]["finds"] = roc_auc(task.is_wrong, hidden)
        if method == AUTO:
            gain, (lower, _) = auc_difference(label, [best[0]], [base[0]])
            kept = best if gain > (gain - lower) / 1.96 else base
            found[GUARDED] = {
                "auc": roc_auc(truth, kept[1]),
                "seconds": seconds,
            }
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_suffix(".part")
    stage.write_text(json.dumps(found))
    stage.rename(path)


def read(name: str, noise: float, seeds: int, rows: int) -> pd.DataFrame:
    """Returns a row for each seed and method, with the gain over uniform."""
    records = []
    for seed in range(seeds):
        path = RESULTS / f"{name}-{noise}-{seed}-{rows}.json".replace(" ", "_")
        found = json.loads(path.read_text())
        base = found["uniform"]["auc"]
        records += [
            {"seed": seed, "method": m, "gain": r["auc"] - base, **r}
            for m, r in found.items()
        ]
    return pd.DataFrame(records)


def downstream(table: str, seeds: int, full: bool, workers: int) -> None:
    """Prints the gain in AUC of every method on the tasks of a table."""
    names, short, long, few, many = TABLES[table]
    noises, rows = (long, many) if full else (short, few)
    columns = [(name, noise) for noise in noises for name in names]
    cells = [(*column, s, rows) for s in range(seeds) for column in columns]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(run_cell, cells), 1):
            print(f"\r{done}/{len(cells)}", end="", flush=True)
    print(f"\r{table}, {seeds} seeds, pools of at most {rows:,} rows\n")
    frames = {column: read(*column, seeds, rows) for column in columns}
    gains = {
        f"{name}, {noise:.0%}": frame.pivot(
            index="seed", columns="method", values="gain"
        )
        for (name, noise), frame in frames.items()
    }
    order = list(frames[columns[0]].method.unique())[1:]
    ranked = [method for method in order if method != GUARDED]
    ranks = pd.concat(
        [gain[ranked].rank(axis=1, ascending=False) for gain in gains.values()]
    ).mean()
    ranks[GUARDED] = ranks[AUTO]  # the same method, beside it
    times = pd.concat(frames.values()).groupby("method").seconds.mean()
    base = [
        f"{frame[frame.method == 'uniform'].auc.mean():.3f}"
        for frame in frames.values()
    ]
    show(["method", *gains, "mean rank", "s"])
    show(["uniform: AUC", *base, "", ""], rule=False)
    for method in sorted(order, key=lambda m: ranks[m]):
        cells_shown = [interval(gain[method]) for gain in gains.values()]
        show(
            [
                method,
                *cells_shown,
                f"{ranks[method]:.1f}",
                f"{times[method]:.1f}",
            ],
            rule=False,
        )
    print()
    if table == "mixed":
        for (name, noise), frame in frames.items():
            selected(f"{name}, {noise:.0%}", frame, order)


def selected(title: str, frame: pd.DataFrame, order: list[str]) -> None:
    """Prints the AUC of training on the best share of the pool alone."""
    base = frame[frame.method == "uniform"].auc.mean()
    print(f"{title}: AUC by the top share of the rows (all: {base:.3f})\n")
    show(["method", *(f"{share:.0%}" for share in KEPT)])
    for method in order:
        rows = frame[(frame.method == method) & frame.top.notna()]
        if len(rows):
            mean = np.mean(rows.top.tolist(), axis=0)
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


def detection(seeds: int, magic: Path | None) -> None:
    """Prints how well values find 10% wrong labels among 300 rows."""
    from sklearn.datasets import load_breast_cancer, load_digits

    digits = load_digits(return_X_y=True)
    sets = {
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "digits, odd": (digits[0], digits[1] % 2),
    }
    if magic is not None:
        table = np.load(magic)
        sets = {"MagicTelescope": (table["X"], table["y"]), **sets}
    methods: dict[str, Callable[[Problem], Array]] = {**METHODS, **OURS}
    del methods[AUTO]
    methods["tfimportance plausibility"] = plausibility
    values: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, (x, y) in sets.items():
        for seed in range(seeds):
            problem, is_noisy = noisy_problem(x, y, seed)
            for method, score in methods.items():
                found = np.asarray(score(problem), np.float64)
                each = values.setdefault(method, {}).setdefault(name, [])
                each.append(
                    (
                        detection_f1(found, is_noisy),
                        recall_in_lowest(found, is_noisy),
                    )
                )
    print(f"10% wrong labels, 300 rows, 30 noisy targets, {seeds} seeds\n")
    show(["method", *(f"{name}: F1 / recall" for name in sets)])
    first = next(iter(sets))
    ranked = sorted(values, key=lambda m: -np.mean(values[m][first], axis=0)[0])
    for method in ranked:
        cells = []
        for name in sets:
            f1, recall = np.mean(values[method][name], axis=0)
            half = 1.96 * np.std([v[0] for v in values[method][name]], ddof=1)
            half /= seeds**0.5
            cells.append(f"{f1:.3f} ± {half:.3f} / {recall:.3f}")
        show([method, *cells], rule=False)
    print()


def plausibility(problem: Problem) -> Array:
    """The probability that the target would give a row its label."""
    return label_reliability(
        problem.features,
        problem.target_features,
        labels=problem.label,
        target_labels=problem.target_label,
        seed=problem.seed,
    ).plausibility


def noisy_problem(x: Array, y: Array, seed: int) -> tuple[Problem, Array]:
    """300 rows and 30 targets, a tenth of each with the wrong label."""
    rng = np.random.default_rng(seed)
    while True:
        rows = rng.permutation(len(y))[:330]
        label = np.asarray(y[rows], np.int64)
        is_noisy = np.zeros(330, bool)
        is_noisy[rng.choice(300, 30, replace=False)] = True
        is_noisy[300 + rng.choice(30, 3, replace=False)] = True
        label = np.where(is_noisy, 1 - label, label)
        if len(np.unique(label[300:])) == 2:
            break
    features = StandardScaler().fit(x[rows[:300]]).transform(x[rows])
    features = features.astype(np.float32)
    problem = Problem(
        features[:300], label[:300], features[300:], label[300:], seed=seed
    )
    return problem, is_noisy[:300]


def main() -> None:
    """Prints the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", nargs="?", choices=[*TABLES, "detection"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--magic",
        type=Path,
        help="npz with X and y of MagicTelescope (OpenML 44073); not bundled",
    )
    arguments = parser.parse_args()
    for table in [arguments.table] if arguments.table else TABLES:
        if table != "detection":
            downstream(
                table, arguments.seeds, arguments.full, arguments.workers
            )
    if arguments.table in (None, "detection"):
        detection(max(arguments.seeds, 20), arguments.magic)


if __name__ == "__main__":
    main()
