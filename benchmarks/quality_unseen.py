"""Tasks on data that no part of tfimportance was tried on while it was made.

Sentences of Amazon's customer reviews of five electronic products, and of
film reviews, editorials and tweets, each rated by about 20 people from -4 to
4: C. Hutto and E. Gilbert, "VADER", ICWSM 2014. They are in the source
distribution of vaderSentiment (MIT licence), which pip brings.
"""

import ast
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from baselines.problem import Array
from quality_tasks import Task, by_group, make_task

from tfimportance import encode, load_encoder

FOLDER = Path("runs/vader")
PACKAGE = "vaderSentiment==3.3.2"
SOURCES = ("amazonReview", "movieReview", "nytEditorial", "tweets")


def fetch() -> None:
    """Downloads and unpacks the ratings, unless they are there."""
    if FOLDER.exists():
        return
    stage = FOLDER.with_suffix(".part")
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
    subprocess.run(
        [*pip, "--no-binary", ":all:", "--dest", stage, PACKAGE], check=True
    )
    for pattern in ("*.tar.gz", "*/*/hutto_ICWSM_2014.tar.gz"):
        for path in stage.glob(pattern):
            with tarfile.open(path) as archive:
                archive.extractall(stage, filter="data")
    stage.rename(FOLDER)


def amazon(seed: int, noise: float, rows: int) -> Task:
    """One rater's labels train, the mean of all raters is the truth."""
    features, frame = _sentences()
    ours = frame.source == "amazonReview"
    frame = frame[ours].reset_index(drop=True)
    return by_group(
        features[ours],
        frame.review.to_numpy(),
        _one_rater(frame, seed),
        frame.label.to_numpy(),
        noise,
        seed,
        rows,
    )


def among_others(seed: int, noise: float, rows: int) -> Task:
    """The same; two thirds of the pool are films, editorials and tweets."""
    features, frame = _sentences()
    given = _one_rater(frame, seed)
    near = amazon(seed, 0.0, rows // 3)
    rng = np.random.default_rng([seed, 6])
    others = np.flatnonzero(frame.source != "amazonReview")
    chosen = rng.permutation(others)[: rows - len(near.problem)]
    problem = near.problem
    trusted, validation, test = (
        (problem.target_features, problem.target_label),
        near.validation,
        near.test,
    )
    parts = [
        (problem.features, problem.label),
        (features[chosen], given[chosen]),
        *(trusted, validation, test),
    ]
    every, label = map(np.concatenate, zip(*parts, strict=True))
    count = len(problem) + len(chosen)
    return make_task(
        every,
        label,
        label[:count],
        np.arange(count),
        np.arange(count, len(every)),
        None,
        noise,
        seed,
    )


def _one_rater(frame: pd.DataFrame, seed: int) -> Array:
    """Whether one of the raters, who differs from row to row, likes it."""
    rng = np.random.default_rng([seed, 7])
    return np.array(
        [rng.choice(each) > 0 for each in frame.ratings], dtype=np.int64
    )


@cache
def _sentences() -> tuple[Array, pd.DataFrame]:
    """All sentences under the static encoder: ratings, label and review."""
    (folder,) = FOLDER.glob("hutto_ICWSM_2014")
    frames = []
    for source in SOURCES:
        name = source if source == "tweets" else f"{source}Snippets"
        texts = _table(folder / f"{name}_GroundTruth.txt")
        rated = _table(folder / f"{name}_anonDataRatings.txt")
        frames.append(
            pd.DataFrame(
                {
                    "source": source,
                    "review": [row[0].partition("_")[0] for row in texts],
                    "text": [row[2] for row in texts],
                    "label": [int(float(row[1]) > 0) for row in texts],
                    "ratings": [ast.literal_eval(row[3]) for row in rated],
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    return encode(load_encoder("static"), frame.text.tolist()), frame


def _table(path: Path) -> list[list[str]]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line.split("\t") for line in text.splitlines() if line.strip()]


TASKS = {"Amazon": amazon, "Amazon among others": among_others}
