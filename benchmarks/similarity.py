"""How fast and how exact the importance scores are, in five tables.

    python benchmarks/similarity.py share        # of the bare matrix product
    python benchmarks/similarity.py peers        # the same work elsewhere
    python benchmarks/similarity.py largest      # until the peers give up
    python benchmarks/similarity.py growth       # 1e4 to 4e6 samples
    python benchmarks/similarity.py compression  # 1e5 targets as a few
    python benchmarks/similarity.py              # all of them
    python benchmarks/similarity.py --quick      # tiny; shows that they run

Each prints one Markdown table. Runs alternate and medians are shown, so that
a busy machine disturbs all rows alike. Embeddings are the bundled reviews
under the static encoder, the targets those of one department; where more are
needed they are repeated with small noise (5% of their length). The table of
shares uses random numbers.
"""

import argparse
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from scipy.stats import spearmanr

import tfimportance as tfi
from tfimportance.importance import compress_targets
from tfimportance.importance.reductions import Mean
from tfimportance.importance.settings import Settings
from tfimportance.importance.streaming import fold_blocks
from tfimportance.importance.tiles import (
    BLOCK,
    SAMPLE_TILE,
    TARGET_TILE,
    target_tile,
    tile_targets,
)

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """How much work the tables do.

    Attributes:
        rounds: Alternating repetitions.
        dims: Columns in the table of shares.
        share: Blocks of samples and tiles of targets there.
        peers: Samples and targets for the peers.
        largest: Samples that the valuation libraries begin with, and the
            seconds that end their row.
        growth: Numbers of samples, against `growth_targets`.
        compression: Samples and targets to compress.
        centroids: Numbers of centroids.
        features: Random features and sketches.
    """

    rounds: int = 7
    dims: tuple[int, ...] = (64, 128, 384, 768)
    share: tuple[int, int] = (4, 8)
    peers: tuple[int, int] = (16_384, 4_096)
    largest: tuple[int, float] = (4_096, 60)
    growth: tuple[int, ...] = (10_000, 100_000, 1_000_000, 4_000_000)
    growth_targets: int = 10_000
    compression: tuple[int, int] = (8_192, 100_000)
    centroids: tuple[int, ...] = (16, 256, 2048, 4096)
    features: int = 4096


QUICK = Sizes(
    rounds=2,
    dims=(64,),
    share=(1, 1),
    peers=(2_048, 512),
    largest=(256, 2),
    growth=(5_000, 20_000),
    growth_targets=500,
    compression=(512, 2_000),
    centroids=(8,),
    features=256,
)


def main() -> None:
    """Prints the tables that were asked for."""
    tables = {
        "share": share_table,
        "peers": peers_table,
        "largest": largest_table,
        "growth": growth_table,
        "compression": compression_table,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", nargs="*", choices=[*tables, []])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else Sizes()
    for name in asked.table or tables:
        print(f"\n## {name}\n\n{machine()}\n", flush=True)
        tables[name](sizes)


def share_table(sizes: Sizes) -> None:
    """Prints the speed of the mean of sinh beside the bare product.

    Bare is one graph of `tf.matmul` over the same tiles, which may run two
    tiles at a time; nothing is read from or added to its products.
    """
    num_samples = sizes.share[0] * BLOCK
    num_targets = sizes.share[1] * TARGET_TILE
    rows = []
    for dim in sizes.dims:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((num_samples, dim), np.float32)
        t = rng.standard_normal((num_targets, dim), np.float32)
        seconds = alternate(
            {
                "bare": bare_product(x, t),
                "float32": mean_of_sinh(x, t, "float32"),
                "bfloat16": mean_of_sinh(x, t, "bfloat16"),
            },
            sizes.rounds,
        )
        flops = 2 * num_samples * num_targets * dim
        speed = flops / np.median(seconds["bare"]) / 1e9
        shares = [
            np.median(seconds["bare"] / seconds[name])
            for name in ("float32", "bfloat16")
        ]
        rows.append((f"{dim}", f"{speed:.0f}", *(f"{s:.2f}" for s in shares)))
    print_table(
        ("d", "bare tf.matmul, GFLOP/s", "share, float32", "share, bfloat16"),
        rows,
    )


def bare_product(x: Array, t: Array) -> Callable[[], Any]:
    """Returns the bare product of all pairs of tiles."""
    left, right = (
        [tf.constant(rows[i : i + tile]) for i in range(0, len(rows), tile)]
        for rows, tile in ((x, SAMPLE_TILE), (t, target_tile(t.shape[1])))
    )

    @tf.function
    def multiply() -> Any:
        products = [
            tf.matmul(b, a, transpose_b=True) for a in left for b in right
        ]
        # One number of each keeps the products from being pruned.
        return tf.stack([product[0, 0] for product in products])

    return lambda: multiply().numpy()


def mean_of_sinh(x: Array, t: Array, product: str) -> Callable[[], Any]:
    """Returns the engine's own work on arrays that are already in memory."""
    settings = Settings(4.0, 20.0, normalize=True, product=product)
    tiles = tile_targets(4 * t / np.linalg.norm(t, axis=1, keepdims=True))
    nothing = np.zeros(x.shape[1])
    return lambda: fold_blocks(
        np.split(x, len(x) // BLOCK),
        tiles,
        Mean(),
        settings,
        nothing,
        num_samples=len(x),
    )


def peers_table(sizes: Sizes) -> None:
    """Prints the time of the same work with other libraries."""
    x, t = reviews(*sizes.peers)
    label, target_label = (
        (each[:, 0] > np.median(each[:, 0])).astype(int) for each in (x, t)
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Peers(
            Path(folder), x=x, t=t, label=label, target_label=target_label
        ) as peers,
    ):
        ours = {"tfimportance": lambda: scores(x, t)}
        theirs = {name: peers.run(name) for name in peers.names}
        seconds = alternate(ours | theirs, min(sizes.rounds, 5))
    base = seconds["tfimportance"]
    rows = [
        (name, f"{np.median(s):.3f}", f"{np.median(s / base):.1f}", note)
        for name, s in seconds.items()
        for note in [peers.notes.get(name, "")]
    ]
    rows += [(name, "-", "-", why) for name, why in peers.missing.items()]
    print_table(("library", "seconds", "times ours", "work"), rows)


class Peers:
    """A process with the peers, in `.venv-peers` where there is one."""

    def __init__(self, folder: Path, **arrays: Array) -> None:
        np.savez(folder / "work.npz", **arrays)
        self.process = subprocess.Popen(
            [peers_python(), HERE / "peers.py", folder / "work.npz"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.notes, self.missing = self._read()
        self.names = list(self.notes)

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def run(self, name: str) -> Callable[[], float]:
        """Returns a call that lets one peer work and says its seconds."""

        def call() -> float:
            self.process.stdin.write(name + "\n")
            self.process.stdin.flush()
            return self._read()

        return call

    def _read(self) -> Any:
        for line in self.process.stdout:
            if line.startswith("json:"):
                return json.loads(line[5:])
        raise RuntimeError("the process with the peers ended")


def peers_python() -> str:
    """Returns the interpreter of `.venv-peers`, where there is one."""
    own = HERE.parent / ".venv-peers/bin/python"
    here = str(own) if own.exists() else sys.executable
    return os.environ.get("PEERS_PYTHON", here)


def largest_table(sizes: Sizes) -> None:
    """Prints how many samples the valuation libraries bear, by doubling."""
    rows = []
    for name in ("cleanlab", "pyDVL"):
        done, (num_samples, limit), end = "none", sizes.largest, ""
        while not end:
            command = [peers_python(), HERE / "peers.py", "--attempt", name]
            try:
                answer = subprocess.run(
                    [*command, str(num_samples)],
                    capture_output=True,
                    text=True,
                    timeout=limit,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                end = f"{num_samples:,}: longer than {limit:.0f} s"
            except subprocess.CalledProcessError as problem:
                reason = problem.stderr.strip().splitlines()[-1]
                end = f"{num_samples:,}: {reason[:80]}"
            else:
                seconds = json.loads(answer.stdout.split("json:")[1])
                done = f"{num_samples:,} in {seconds:.1f} s"
                num_samples *= 2
        rows.append((name, done, end))
    print_table(("library", "largest finished", "what ended it"), rows)


def growth_table(sizes: Sizes) -> None:
    """Prints time per sample and memory for more and more samples.

    The peak holds the result, some 20 bytes a sample, too.
    """
    dim = 64
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for num_samples in sizes.growth:
            paths[num_samples] = Path(folder) / f"{num_samples}.npy"
            write_samples(paths[num_samples], num_samples, dim)
        found: dict[int, list[list[float]]] = {n: [] for n in paths}
        for _ in range(min(sizes.rounds, 5)):
            for num_samples, path in paths.items():
                command = [sys.executable, __file__, "--grow", path]
                answer = subprocess.run(
                    [*command, str(sizes.growth_targets)],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                found[num_samples].append(json.loads(answer.stdout))
    rows = []
    for num_samples, runs in found.items():
        seconds, peak = np.median(runs, axis=0)
        micro = 1e6 * seconds / num_samples
        rows.append((f"{num_samples:,}", f"{micro:.2f}", f"{peak:.0f}"))
    print_table(
        ("samples", "microseconds a sample", "peak MB beyond the input"), rows
    )


def grow(path: str, num_targets: int) -> None:
    """Prints seconds and peak memory of one run, in a process of its own."""
    x = np.load(path, mmap_mode="r")
    rng = np.random.default_rng(1)
    t = rng.standard_normal((num_targets, x.shape[1]), np.float32)
    scores(np.array(x[:10_000]), t)  # compiles
    with PeakMemory() as memory:
        start = time.perf_counter()
        scores(x, t)
        seconds = time.perf_counter() - start
    print(json.dumps([seconds, memory.peak]))


class PeakMemory:
    """Watches the anonymous memory of this process, in MB over the start."""

    def __enter__(self) -> "PeakMemory":
        self.start, self.peak = anonymous_memory(), 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.01):
            self.peak = max(self.peak, anonymous_memory() - self.start)


def anonymous_memory() -> float:
    """Returns the MB that belong to no mapped file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("needs Linux")


def write_samples(path: Path, num_samples: int, dim: int) -> None:
    """Writes the first principal directions of reviews, with noise."""
    base = reviews(15_000, 1)[0]
    base = base - base.mean(axis=0)
    base = base @ np.linalg.svd(base, full_matrices=False)[2][:dim].T
    base = repeated(base, 300_000)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (num_samples, dim))
    for start in range(0, num_samples, len(base)):
        out[start : start + len(base)] = base[: num_samples - start]
    out.flush()


def compression_table(sizes: Sizes) -> None:
    """Prints error, rank correlation and time of approximations."""
    x, t = reviews(*sizes.compression)
    rows: list[Row] = []
    for scale in (4.0, 8.0):
        ways = {"exact": functools.partial(scores, x, t, scale)}
        prepared = {"exact": ("", "")}
        for number in sizes.centroids:
            few, seconds = timed(
                compress_targets, x, t, num_centroids=number, scale=scale
            )
            name = f"{number} centroids"
            ways[name] = functools.partial(scores, x, few, scale)
            prepared[name] = (f"{few.relative_error:.4f}", f"{seconds:.1f}")
        ways |= linear_time(x, t, scale, sizes.features)
        found = {name: way() for name, way in ways.items()}
        times = alternate(ways, min(sizes.rounds, 5))
        for name, near in found.items():
            error = quality(near, found["exact"])
            same = ("", "") if name == "exact" else error
            speed = np.median(times["exact"] / times[name])
            rows.append(
                (
                    f"{scale:g}",
                    name,
                    *same,
                    *prepared.get(name, ("", "")),
                    f"{np.median(times[name]):.3f}",
                    f"{speed:.1f}",
                )
            )
    print_table(
        (
            "scale",
            "targets",
            "relative error",
            "Spearman",
            "error estimate",
            "preparing, s",
            "scoring, s",
            "times exact",
        ),
        rows,
    )


def linear_time(
    x: Array, t: Array, scale: float, features: int
) -> dict[str, Callable[[], Array]]:
    """Returns approximations that cost the sum of both sizes."""
    center = x.mean(axis=0)
    x, t = (
        (each - center)
        / np.maximum(np.linalg.norm(each - center, axis=1), 1e-9)[:, None]
        for each in (x, t)
    )
    root, dim = np.sqrt(scale), x.shape[1]

    def linear() -> Array:
        return scale * x @ t.mean(axis=0)

    def random_features() -> Array:
        # E[sinh(w.x) sinh(w.y)] = exp((|x|^2 + |y|^2) / 2) sinh(x.y); rows of
        # random orthogonal blocks vary less than independent ones.
        w = orthogonal(features, dim)
        sums = np.zeros(features)
        for start in range(0, len(t), 8192):
            sums += np.sinh(root * t[start : start + 8192] @ w.T).sum(axis=0)
        mean = np.sinh(root * x @ w.T) @ sums / len(t) / features
        return mean * np.exp(-scale)

    def sketched_cubes() -> Array:
        # <a, b>^3 by the product of three random signs: unbiased.
        rng = np.random.default_rng(3)
        signs = rng.choice(np.float32([-1, 1]), (3, features, dim))
        sums = np.zeros(features)
        for start in range(0, len(t), 8192):
            part = t[start : start + 8192]
            sums += np.prod([part @ s.T for s in signs], axis=0).sum(axis=0)
        cubes = np.prod([x @ s.T for s in signs], axis=0) @ sums
        return linear() + scale**3 / 6 * cubes / len(t) / features

    return {
        "linear term only": linear,
        f"linear + sketched cube, {features}": sketched_cubes,
        f"orthogonal sinh features, {features}": random_features,
    }


def orthogonal(rows: int, dim: int) -> Array:
    """Returns orthogonal blocks with the row lengths of a normal matrix."""
    rng = np.random.default_rng(2)
    blocks = [
        np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        for _ in range(-(-rows // dim))
    ]
    lengths = np.linalg.norm(rng.standard_normal((rows, dim)), axis=1)
    unit = np.concatenate(blocks)[:rows]
    return (unit * lengths[:, None]).astype(np.float32)


def quality(near: Array, exact: Array) -> Row:
    """Returns relative error and rank correlation, as text."""
    near, exact = np.asarray(near, float), np.asarray(exact, float)
    error = np.linalg.norm(near - exact) / np.linalg.norm(exact)
    return f"{error:.4f}", f"{spearmanr(near, exact)[0]:.5f}"


def scores(x: Any, t: Any, scale: float = 4.0) -> Array:
    """Returns the mean similarity to all targets."""
    return tfi.importance_scores(x, t, scale=scale)


def reviews(num_samples: int, num_targets: int) -> tuple[Array, Array]:
    """Returns embeddings of reviews; the targets are those of dresses."""
    frame = tfi.datasets.load("womens_clothing_reviews")
    frame = frame[frame["review"].fillna("") != ""]
    base = tfi.encode(tfi.load_encoder("static"), frame["review"].tolist())
    is_target = frame["department"].to_numpy() == "Dresses"
    return (
        repeated(base[~is_target], num_samples),
        repeated(base[is_target], num_targets),
    )


def repeated(base: Array, number: int) -> Array:
    """Returns `number` rows: those of `base`, then again with noise."""
    rows = base[np.arange(number) % len(base)]
    again = rows[len(base) :]
    length = np.linalg.norm(again, axis=1, keepdims=True)
    noise = np.random.default_rng(1).standard_normal(again.shape, np.float32)
    again += 0.05 * length / np.sqrt(base.shape[1]) * noise
    return rows


def alternate(
    calls: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, Array]:
    """Returns the seconds of each call in each round, after a first one.

    A call that returns a float has measured itself. Each begins when the
    threads of the one before have come to rest: OpenMP's spin for 0.2 s.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(0.3)
            result, elapsed = timed(call)
            own = isinstance(result, float)
            seconds[name].append(result if own else elapsed)
    return {name: np.array(each) for name, each in seconds.items()}


def timed(
    call: Callable[..., Any], *args: Any, **options: Any
) -> tuple[Any, float]:
    """Returns the result of the call and its seconds."""
    start = time.perf_counter()
    result = call(*args, **options)
    return result, time.perf_counter() - start


def machine() -> str:
    """Returns what the numbers hold for."""
    model = platform.processor() or "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    return (
        f"{os.cpu_count()} cores of {model}; Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, "
        f"NumPy {np.__version__}, tfimportance {tfi.__version__}"
    )


def print_table(header: Row, rows: Iterable[Row]) -> None:
    """Prints a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--grow"]:
        grow(sys.argv[2], int(sys.argv[3]))
    else:
        main()
