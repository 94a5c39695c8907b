"""Linear-probe AUC of the encoders on the bundled sets: table 4."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

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
from tfimportance.encoding import Encoder, distill, fit_whitening

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


def encoders(
    checkpoint: Path, dims: tuple[int, ...]
) -> Iterator[tuple[str, Encoder]]:
    """Yields what is compared, by name; `dims` are distilled."""
    with tempfile.TemporaryDirectory() as folder:
        for dim in dims:
            yield (
                f"static, {dim}",
                load_encoder(distill(checkpoint, f"{folder}/{dim}", dim=dim)),
            )
    yield "static, 256 (shipped)", load_encoder("static")
    yield "MiniLM, mean", load_encoder(checkpoint)
    yield "MiniLM, CLS", load_encoder(checkpoint, pooling="cls")


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


def quality(checkpoint: Path, quick: bool) -> None:
    """Prints the table: each encoder as it is, and whitened by the set.

    The whitening sees the texts of all rows, as a training pool's would be
    seen, and no label.
    """
    warnings.filterwarnings("ignore", module="sklearn")
    sets = bundled_sets()
    dims = () if quick else (64, 128)
    if quick:
        sets = {name: each.take(np.arange(300)) for name, each in sets.items()}
    rows = ", ".join(f"{name} {len(rows):,}" for name, rows in sets.items())
    print(f"Rows: {rows}; ± is the deviation over {len(SEEDS)} splits.\n")
    print(f"| encoder | {' | '.join(sets)} |")
    print("|---|" + "---|" * len(sets))
    with tempfile.TemporaryDirectory() as cache:
        for name, encoder in encoders(checkpoint, dims):
            cells = {name: [], f"{name}, whitened": []}
            for examples in sets.values():
                white = fit_whitening(encoder, examples, cache=cache)
                for line, each in zip(cells, (encoder, white), strict=True):
                    features = encode(each, examples, cache=cache)
                    aucs = probe(features, examples)
                    cells[line].append(
                        f"{np.mean(aucs):.3f} ± {np.std(aucs, ddof=1):.3f}"
                    )
            for line, values in cells.items():
                print(f"| {line} | {' | '.join(values)} |", flush=True)
