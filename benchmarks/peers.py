"""The peers of benchmarks/similarity.py: reads a name, works, says seconds.

Runs in an environment of its own and with whatever of it can be imported:

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install -r benchmarks/peers.txt
"""

import importlib.metadata
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SCALE = 4.0
CHUNK = 1024

# Samples of those that take minutes; their seconds are extrapolated.
KEOPS = 1_024
SHAPLEY = 512
DOUBLE_LOOP = 64  # and as many targets


def unit(vectors: Array) -> Array:
    """Returns rows at length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def numpy_chunks(x: Array, t: Array, **labels: Array) -> Array:
    """Mean of sinh, chunked NumPy."""
    center = x.mean(axis=0)
    x, t = unit(x - center), SCALE * unit(t - center)
    parts = [
        np.sinh(x[i : i + CHUNK] @ t.T).mean(axis=1)
        for i in range(0, len(x), CHUNK)
    ]
    return np.concatenate(parts)


def torch_chunks(x: Array, t: Array, **labels: Array) -> Array:
    """Mean of sinh, chunked PyTorch."""
    import torch

    left, right = torch.from_numpy(x), torch.from_numpy(t)
    center = left.mean(dim=0)
    left = torch.nn.functional.normalize(left - center)
    right = SCALE * torch.nn.functional.normalize(right - center)
    parts = [
        torch.sinh(left[i : i + CHUNK] @ right.T).mean(dim=1)
        for i in range(0, len(x), CHUNK)
    ]
    return torch.cat(parts).numpy()


def keops(x: Array, t: Array, **labels: Array) -> Array:
    """Mean of sinh, KeOps, 1,024 of the samples, extrapolated."""
    import torch
    from pykeops.torch import LazyTensor

    left, right = torch.from_numpy(x), torch.from_numpy(t)
    center = left.mean(dim=0)
    left = left[:KEOPS]
    left = torch.nn.functional.normalize(left - center)
    right = SCALE * torch.nn.functional.normalize(right - center)
    z = (LazyTensor(left[:, None]) * LazyTensor(right[None])).sum(-1)
    return ((z.exp() - (-z).exp()) / 2).sum(dim=1).numpy()[:, 0] / len(t)


def sklearn_pairwise(x: Array, t: Array, **labels: Array) -> Array:
    """Mean of sinh, scikit-learn pairwise cosines."""
    from sklearn.metrics import pairwise_distances_chunked

    center = x.mean(axis=0)
    chunks = pairwise_distances_chunked(
        x - center,
        t - center,
        metric="cosine",
        n_jobs=-1,
        reduce_func=lambda d, start: np.sinh(SCALE * (1 - d)).mean(axis=1),
    )
    return np.concatenate(list(chunks))


def double_loop(x: Array, t: Array, **labels: Array) -> Array:
    """The textbook double loop, 64 x 64 pairs, extrapolated."""
    center = x.mean(axis=0)
    x, t = unit(x - center), SCALE * unit(t - center)
    return np.array(
        [
            sum(np.sinh(v @ u) for u in t[:DOUBLE_LOOP]) / DOUBLE_LOOP
            for v in x[:DOUBLE_LOOP]
        ]
    )


def cleanlab_shapley(
    x: Array, t: Array, label: Array, target_label: Array
) -> Array:
    """KNN-Shapley of the samples among themselves (its own API)."""
    from cleanlab.data_valuation import data_shapley_knn

    return data_shapley_knn(label, features=x, k=10)


def pydvl_shapley(
    x: Array,
    t: Array,
    label: Array,
    target_label: Array,
    samples: int = SHAPLEY,
) -> Array:
    """KNN-Shapley, 512 of the samples, extrapolated."""
    from pydvl.valuation import Dataset, KNNShapleyValuation
    from sklearn.neighbors import KNeighborsClassifier

    train = Dataset(x[:samples], label[:samples])
    valuation = KNNShapleyValuation(
        KNeighborsClassifier(10), Dataset(t, target_label), progress=False
    )
    return valuation.fit(train).result.values


# Function, its package, and the share of the work that it does.
Peer = tuple[Callable[..., Array], str, Callable[[int, int], float]]
PEERS: dict[str, Peer] = {
    "NumPy": (numpy_chunks, "numpy", lambda n, t: 1),
    "PyTorch": (torch_chunks, "torch", lambda n, t: 1),
    "KeOps": (keops, "pykeops", lambda n, t: KEOPS / n),
    "scikit-learn": (sklearn_pairwise, "scikit-learn", lambda n, t: 1),
    "double loop": (
        double_loop,
        "numpy",
        lambda n, t: DOUBLE_LOOP / n * DOUBLE_LOOP / t,
    ),
    "cleanlab": (cleanlab_shapley, "cleanlab", lambda n, t: 1),
    "pyDVL": (pydvl_shapley, "pydvl", lambda n, t: SHAPLEY / n),
}


def say(message: object) -> None:
    """Writes one line of JSON; libraries may print what they like."""
    print("json:" + json.dumps(message), flush=True)


def attempt(name: str, num_samples: int) -> None:
    """Values random samples once, in at most 20 GB; says the seconds."""
    resource.setrlimit(resource.RLIMIT_AS, (20 * 2**30, 20 * 2**30))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_samples, 64), np.float32)
    t = rng.standard_normal((1_000, 64), np.float32)
    work = {
        "x": x,
        "t": t,
        "label": (x[:, 0] > 0).astype(int),
        "target_label": (t[:, 0] > 0).astype(int),
    }
    options = {"samples": num_samples} if name == "pyDVL" else {}
    start = time.perf_counter()
    PEERS[name][0](**work, **options)
    say(time.perf_counter() - start)


def main() -> None:
    """Says which peers there are, then works for each name that is read."""
    if sys.argv[1] == "--attempt":
        attempt(sys.argv[2], int(sys.argv[3]))
        return
    work = dict(np.load(sys.argv[1]))
    notes, missing = {}, {}
    for name, (function, package, _) in PEERS.items():
        try:
            version = importlib.metadata.version(package)
            function(**work)
            notes[name] = f"{function.__doc__[:-1]}; {package} {version}"
        except Exception as problem:
            missing[name] = f"{type(problem).__name__}: {problem}"[:90]
    say([notes, missing])
    for line in sys.stdin:
        name = line.strip()
        function, _, share = PEERS[name]
        start = time.perf_counter()
        function(**work)
        seconds = time.perf_counter() - start
        say(seconds / share(len(work["x"]), len(work["t"])))


if __name__ == "__main__":
    main()
