"""Our baselines beside the libraries that their authors or others wrote.

Prints one Markdown table: the rank correlation of both scores on a small case,
and their largest difference as a share of the largest score. Runs in the
environment of benchmarks/peers-quality.txt, with whatever of it is there:

    .venv-peers-quality/bin/python benchmarks/check_baselines.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TQDM_DISABLE", "1")

import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from baselines import METHODS, Problem, confident
from baselines.density_ratio import kliep_alpha, moments, rulsif_theta
from baselines.detection import detection_f1
from baselines.kernels import gaussian, squared_distances
from baselines.knn_shapley import knn_shapley
from baselines.lava import lava
from baselines.logistic import sigmoid, standardized
from baselines.mean_matching import matching_weights
from baselines.out_of_bag import data_oob
from baselines.problem import Array
from baselines.tracin import tracin
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

GAMMA = 0.1  # of the kernels: exp(-GAMMA distance^2)
WIDTH = float(np.sqrt(1 / (2 * GAMMA)))
Pair = tuple[Array, Array]  # our scores, theirs


def small_problem() -> tuple[Problem, Array]:
    """Returns two shifted classes, and which of the labels are flipped."""
    rng = np.random.default_rng(0)
    true, target_label = rng.integers(2, size=300), rng.integers(2, size=80)
    x = rng.normal(size=(300, 5)) + 1.5 * true[:, None]
    t = rng.normal(0.3, 1, size=(80, 5)) + 1.5 * target_label[:, None]
    flipped = rng.random(300) < 0.2
    problem = Problem(
        x.astype(np.float32),
        true ^ flipped,
        t.astype(np.float32),
        target_label,
    )
    return problem, flipped


def kernels(problem: Problem) -> Pair:
    """Returns the kernels of pool and target to all targets as centres."""
    t = problem.target_features
    return (
        gaussian(squared_distances(problem.features, t), WIDTH),
        gaussian(squared_distances(t, t), WIDTH),
    )


def adapted(name: str, problem: Problem, **settings: Any) -> Array:
    """Returns the weights of a method of adapt, all targets as centres."""
    from adapt import instance_based

    if name != "KMM":
        settings["max_centers"] = len(problem.target_features)
    method = getattr(instance_based, name)(
        gamma=GAMMA, verbose=0, random_state=0, **settings
    )
    return method.fit_weights(
        problem.features.astype(float), problem.target_features.astype(float)
    )


def kliep(problem: Problem) -> Pair:
    """Returns the scores of both for KLIEP."""
    pool, target = kernels(problem)
    return pool @ kliep_alpha(pool, target), adapted("KLIEP", problem)


def ulsif(problem: Problem) -> Pair:
    """Returns the scores of both for uLSIF."""
    pool, target = kernels(problem)
    theta = rulsif_theta(*moments(pool, target, 0), 0.1)
    return pool @ theta, adapted("ULSIF", problem, lambdas=0.1)


def rulsif(problem: Problem) -> Pair:
    """Returns the scores of both for RuLSIF."""
    pool, target = kernels(problem)
    theta = rulsif_theta(*moments(pool, target, 0.1), 0.1)
    return pool @ theta, adapted("RULSIF", problem, lambdas=0.1, alpha=0.1)


def kmm(problem: Problem) -> Pair:
    """Returns the scores of both for KMM."""
    x, t = problem.features, problem.target_features
    among = gaussian(squared_distances(x, x), WIDTH)
    toward = gaussian(squared_distances(x, t), WIDTH).mean(axis=1) * len(x)
    weights = matching_weights(among, toward, steps=20_000)
    return weights, adapted("KMM", problem)


def domain(problem: Problem) -> Pair:
    """Returns the scores of both for domain classifier."""
    from adapt.instance_based import IWC

    theirs = IWC(verbose=0, random_state=0).fit_weights(
        problem.features, problem.target_features
    )
    share = len(problem.target_features) / len(problem)
    return METHODS["domain classifier"](problem), theirs / share


def knn_pydvl(problem: Problem) -> Pair:
    """Returns the scores of both for KNN-Shapley."""
    from pydvl.valuation import Dataset, KNNShapleyValuation

    valuation = KNNShapleyValuation(
        KNeighborsClassifier(10),
        Dataset(problem.target_features, problem.target_label),
        progress=False,
    )
    result = valuation.fit(Dataset(problem.features, problem.label)).result
    return knn_shapley(problem), by_row(result)


def by_row(result: Any) -> Array:
    """Returns the values of pyDVL in the order of the samples."""
    values = np.empty(len(result.values))
    values[result.indices] = result.values
    return values


def oob_pydvl(problem: Problem) -> Pair:
    """Returns the scores of both for Data-OOB."""
    from pydvl.valuation import DataOOBValuation, Dataset

    forest = RandomForestClassifier(200, random_state=problem.seed)
    forest.fit(problem.features, problem.label)
    valuation = DataOOBValuation(forest)
    result = valuation.fit(Dataset(problem.features, problem.label)).result
    return data_oob(problem, num_trees=200), by_row(result)


def self_confidence(problem: Problem) -> Pair:
    """Returns the scores of both for cleanlab self-confidence."""
    from cleanlab.rank import get_label_quality_scores

    theirs = get_label_quality_scores(
        problem.label,
        confident.probabilities(problem),
        method="self_confidence",
    )
    return confident.self_confidence(problem), theirs


def adjusted_margin(problem: Problem) -> Pair:
    """Returns the scores of both for cleanlab adjusted margin."""
    from cleanlab.rank import get_label_quality_scores

    theirs = get_label_quality_scores(
        problem.label,
        confident.probabilities(problem),
        method="normalized_margin",
        adjust_pred_probs=True,
    )
    # Its margin is that of the highest other class: p - max, from -1 to 1.
    return confident.adjusted_margin(problem), theirs


def pruned(problem: Problem) -> Pair:
    """Returns the scores of both for cleanlab pruned."""
    from cleanlab.filter import find_label_issues

    issues = find_label_issues(
        problem.label, confident.probabilities(problem), n_jobs=1
    )
    return confident.pruned(problem), 1.0 - issues


def tracin_captum(problem: Problem) -> Pair:
    """Returns the scores of both for TracIn."""
    import torch
    from captum.influence import TracInCP
    from torch.utils.data import TensorDataset

    x, t = standardized(problem.features, problem.target_features)
    head, checkpoints = np.zeros(x.shape[1]), []
    for _ in range(20):
        checkpoints.append(head)
        head = head - (sigmoid(x @ head) - problem.label) @ x / len(x)
    model = torch.nn.Linear(x.shape[1], 1, bias=False).double()

    def load(module: Any, weights: Array) -> float:
        module.weight.data[0] = torch.from_numpy(weights)
        return 1.0

    def columns(label: Array) -> Any:
        return torch.from_numpy(label[:, None].astype(float))

    influence = TracInCP(
        model,
        TensorDataset(torch.from_numpy(x), columns(problem.label)),
        checkpoints,
        load,
        loss_fn=torch.nn.BCEWithLogitsLoss(reduction="none"),
        batch_size=100,
    ).influence((torch.from_numpy(t), columns(problem.target_label)))
    return tracin(problem, steps=20), influence.numpy().mean(axis=0)


def opendataval(name: str, problem: Problem, **settings: Any) -> Any:
    """Returns a method of OpenDataVal, given the problem."""
    sys.meta_path.append(Absent())
    import torch
    from opendataval import dataval

    def one_hot(label: Array) -> Any:
        return torch.from_numpy(np.eye(2, dtype=np.float32)[label])

    return getattr(dataval, name)(random_state=0, **settings).input_data(
        torch.from_numpy(problem.features),
        one_hot(problem.label),
        torch.from_numpy(problem.target_features),
        one_hot(problem.target_label),
    )


class Absent:
    """Stands in for torchvision and transformers.

    OpenDataVal imports them for images and texts, which are not used here.
    """

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        """Returns a module for the two packages and what is in them."""
        if name.partition(".")[0] not in ("torchvision", "transformers"):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        """Returns a module with every attribute."""
        return MagicMock(spec=None, __path__=[], __name__=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: there is nothing to run."""


def knn_opendataval(problem: Problem) -> Pair:
    """Returns the scores of both for KNN-Shapley."""
    valuation = opendataval("KNNShapley", problem, k_neighbors=10)
    theirs = valuation.train_data_values().evaluate_data_values()
    return knn_shapley(problem), theirs


def lava_opendataval(problem: Problem) -> Pair:
    """Returns the scores of both for LAVA."""
    valuation = opendataval("LavaEvaluator", problem)
    theirs = valuation.train_data_values().evaluate_data_values()
    return lava(problem), theirs


def lava_slowly(problem: Problem) -> Pair:
    """Returns the same, their entropy falling slowly: nearer to convergence."""
    import geomloss

    fast = geomloss.SamplesLoss
    geomloss.SamplesLoss = partial(fast, scaling=0.99)
    try:
        return lava_opendataval(problem)
    finally:
        geomloss.SamplesLoss = fast


def dvrl_opendataval(problem: Problem) -> Pair:
    """Returns the scores of both for DVRL."""
    valuation = opendataval("DVRL", problem, rl_epochs=200, rl_batch_size=256)
    from opendataval.metrics import accuracy
    from opendataval.model import LogisticRegression

    valuation.input_model(LogisticRegression(5, 2)).input_metric(accuracy)
    valuation.train_data_values(batch_size=256, epochs=10, lr=0.1)
    return METHODS["DVRL"](problem), valuation.evaluate_data_values()


def aucs(scores: Pair, is_noisy: Array) -> str:
    """Returns how well low scores of both find the noisy samples."""
    return ", ".join(f"{roc_auc_score(~is_noisy, s):.2f}" for s in scores)


def f1_opendataval(values: Array, is_noisy: Array) -> tuple[float, float]:
    """Returns the noisy-label F1 by us and by OpenDataVal."""
    sys.meta_path.append(Absent())
    from opendataval.experiment.util import f1_score, oned_twonn_clustering

    low, _ = oned_twonn_clustering(values)
    theirs = f1_score(low, np.flatnonzero(is_noisy), len(values))
    return detection_f1(values, is_noisy), theirs


CHECKS: dict[str, Callable[[Problem], Pair]] = {  # ours | theirs
    "KLIEP | adapt, the same kernel": kliep,
    "uLSIF | adapt, the same kernel and penalty": ulsif,
    "RuLSIF | adapt, the same kernel and penalty": rulsif,
    "KMM | adapt (cvxopt), the same kernel": kmm,
    "domain classifier | adapt IWC (it scores rows that it trained on)": domain,
    "KNN-Shapley | pyDVL": knn_pydvl,
    "KNN-Shapley | OpenDataVal": knn_opendataval,
    "LAVA | OpenDataVal (it stops early)": lava_opendataval,
    "LAVA | OpenDataVal, annealed slowly": lava_slowly,
    "Data-OOB | pyDVL, the same forest": oob_pydvl,
    "cleanlab | cleanlab, the same probabilities": self_confidence,
    "cleanlab adjusted | cleanlab, the same": adjusted_margin,
    "cleanlab pruned | cleanlab, the same": pruned,
    "TracIn | Captum TracInCP, the same checkpoints": tracin_captum,
}


def agreement(check: Callable[[Problem], Pair], problem: Problem) -> str:
    """Returns the last two cells of a row."""
    try:
        ours, theirs = check(problem)
    except ImportError as absent:
        return f"- | not there: {absent}"
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    return f"{spearmanr(ours, theirs)[0]:.4f} | {difference:.1e}"


def main() -> None:
    """Prints the table, and the F1 of both for one set of values."""
    warnings.filterwarnings("ignore")
    problem, flipped = small_problem()
    print("| ours | theirs | Spearman | largest difference |")
    print("|---|---|---|---|")
    for what, check in CHECKS.items():
        print(f"| {what} | {agreement(check, problem)} |", flush=True)
    ours, theirs = f1_opendataval(knn_shapley(problem), flipped)
    print(f"\nF1 of the lower of two clusters: {ours:.4f}, {theirs:.4f}")
    # Both draw, and train other networks: only what they find compares.
    found = aucs(dvrl_opendataval(problem), flipped)
    print(f"\nAUC of finding wrong labels by DVRL: {found}")


if __name__ == "__main__":
    main()
