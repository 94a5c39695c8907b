"""A log whose texts repeat, against encoding every row: table 3."""

import tempfile
import time
from pathlib import Path

import numpy as np

from tfimportance import Examples, datasets, encode, load_encoder

ROWS = 1_000_000
SAMPLE = 2_000  # rows that are encoded one by one, to extrapolate
EXPONENT = 1.1


def zipf_log(rows: int) -> Examples:
    """Returns query-product rows; the r-th most frequent comes 1 / r^1.1 often.

    The pairs are those of the bundled sets; their ranks are drawn.
    """
    esci = datasets.load("esci_sample")
    pairs = np.concatenate(
        [
            esci[esci["query_locale"] == "us"][["query", "title"]].to_numpy(),
            datasets.load("chorus_electronics")[["query", "title"]].to_numpy(),
        ]
    ).astype(object)
    rng = np.random.default_rng(0)
    pairs = pairs[rng.permutation(len(pairs))]
    share = np.arange(1, len(pairs) + 1) ** -EXPONENT
    chosen = pairs[rng.choice(len(pairs), rows, p=share / share.sum())]
    return Examples(text={"query": chosen[:, 0], "title": chosen[:, 1]})


def log(checkpoint: Path, quick: bool) -> None:
    """Prints the table, for the static encoder and for MiniLM."""
    examples = zipf_log(20_000 if quick else ROWS)
    sample = zipf_log(50 if quick else SAMPLE)
    different = {*examples.text["query"], *examples.text["title"]}
    print(
        f"{len(examples):,} rows, {len(different):,} different texts. Every "
        f"row is extrapolated from {len(sample):,} rows.\n"
    )
    print("| encoder | every row, s | ours, s | again from the cache, s |")
    print("|---|---|---|---|")
    for name, source in (("static", "static"), ("MiniLM", checkpoint)):
        encoder = load_encoder(source)
        encode(encoder, ["warm", "up"], progress=False)
        naive = _every_row(encoder, sample) * len(examples) / len(sample)
        with tempfile.TemporaryDirectory() as folder:
            ours, again = (
                _seconds(encoder, examples, Path(folder)) for _ in range(2)
            )
        print(f"| {name} | {naive:,.1f} | {ours:,.1f} | {again:,.1f} |")


def _seconds(encoder: object, examples: Examples, folder: Path) -> float:
    start = time.perf_counter()
    encode(
        encoder,
        examples,
        cache=folder / "cache",
        output=folder / "x.npy",
        progress=False,
    )
    return time.perf_counter() - start


def _every_row(encoder: object, sample: Examples) -> float:
    """Returns the seconds for every row, in batches of like length.

    A number in front makes the texts different, so that nothing is saved; it
    is one token or two.
    """
    columns = {
        name: np.array([f"{i} {t}" for i, t in enumerate(column)], object)
        for name, column in sample.text.items()
    }
    start = time.perf_counter()
    encode(encoder, Examples(text=columns), progress=False)
    return time.perf_counter() - start
