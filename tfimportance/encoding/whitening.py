"""Embeddings centred and whitened by the statistics of the training pool."""

import json
import os
from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tfimportance._checks import Array, check_count, fail
from tfimportance._files import check_writable, staged_folder, write_json
from tfimportance.encoding.batching import encode
from tfimportance.encoding.fields import column_prefix, without_prefixes
from tfimportance.encoding.texts import (
    distinct_texts,
    text_columns,
    with_prefix,
)

CONFIG, STATISTICS = "config.json", "whitening.safetensors"
FORMAT = 1

# Share of the mean variance that is added to each component, so that one
# which hardly varies is not blown up.
_RIDGE = 1e-3


class WhitenedEncoder(tf.Module):
    """`unit((embedding - mean) @ matrix)` of another encoder's embedding.

    Attributes:
        dim: Length of an embedding.
        name: That of the other encoder with `_whitened`.
        prefixes: Those of the other encoder.
    """

    def __init__(self, base: Any, mean: Array, matrix: Array) -> None:
        super().__init__(name=f"{base.name}_whitened")
        self.dim = int(matrix.shape[1])
        self.prefixes = getattr(base, "prefixes", ())
        self._base = base
        self._mean = tf.Variable(mean, trainable=False, dtype=tf.float32)
        self._matrix = tf.Variable(matrix, trainable=False, dtype=tf.float32)
        # How `encode` forms its batches is the other encoder's business.
        for name in ("batch_size", "batch_tokens", "token_counts", "threads"):
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 unit vectors of `(batch,)` strings."""
        centred = self._base(texts) - self._mean
        return tf.math.l2_normalize(tf.matmul(centred, self._matrix), axis=1)

    @cached_property
    def fingerprint(self) -> str:
        """That of the other encoder, the mean and the matrix."""
        digest = blake2b(self._mean.numpy().tobytes(), digest_size=16)
        digest.update(self._matrix.numpy().tobytes())
        return f"whitened 1, {digest.hexdigest()}, {self._base.fingerprint}"

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Returns the new folder, which `load_encoder` reads.

        It holds the statistics and where the other encoder was loaded from,
        which has to stay there.

        Raises:
            InputError: The other encoder did not come from `load_encoder` by a
                name or a path, or the folder holds something else.
        """
        settings = getattr(self._base, "settings", None)
        if settings is None:
            raise fail(
                "`encoder` must come from a folder or a name to be saved.",
                f"the encoder {self._base.name!r}",
                "Load it by `load_encoder`, or fit the whitening in each run.",
            )
        path = Path(folder)
        check_writable("folder", path)
        with staged_folder(path, STATISTICS) as stage:
            save_file(
                {"mean": self._mean.numpy(), "matrix": self._matrix.numpy()},
                stage / STATISTICS,
            )
            config = {
                "whitening_format": FORMAT,
                "encoder": settings,
                "fingerprint": self._base.fingerprint,
            }
            write_json(stage / CONFIG, config)
        return path


def fit_whitening(
    encoder: Any,
    examples: Any,
    *,
    dim: int | None = None,
    scale: bool = True,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> WhitenedEncoder:
    """Returns `encoder` with its embeddings centred and whitened.

    Pretrained embeddings share a few strong directions, and their cosines are
    all alike. Here the mean over the pool is subtracted and every principal
    component divided by its standard deviation; a thousandth of the mean
    variance is added first. Each row of the pool counts, repeated texts too.

    The statistics are part of the encoder: it is exported with them, and
    `save` and `load_encoder` carry them.

    Example:
        >>> from tfimportance.encoding import load_encoder
        >>> pool = ["a red dress", "a blue dress", "an oak desk", "a desk"]
        >>> white = fit_whitening(load_encoder("static"), pool, dim=2)
        >>> white(tf.constant(["a green desk"])).shape
        TensorShape([1, 2])

    Args:
        encoder: What `load_encoder` returned.
        examples: The training pool, as in `encode`; all text columns count,
            each behind its prefix.
        dim: Number of the strongest components to keep; None keeps all.
        scale: Whether to divide by the standard deviations. Without it, and
            with `dim=None`, only the mean is subtracted.
        cache: As in `encode`.
        progress: As in `encode`.

    Raises:
        InputError: `dim` is larger than the encoder's, or as in `encode`.

    Source: J. Su et al., Whitening Sentence Representations for Better
    Semantics and Faster Retrieval, 2021.
    """
    if dim is not None:
        check_count("dim", dim)
        if dim > encoder.dim:
            raise fail(
                f"`dim` must be at most {encoder.dim} for this encoder.",
                f"dim={dim}",
            )
    columns = [
        with_prefix(column_prefix(encoder, i), column)
        for i, column in enumerate(text_columns(examples))
    ]
    codes, texts = distinct_texts(columns)
    plain = without_prefixes(encoder)
    values = encode(plain, texts, cache=cache, progress=progress)
    counts = np.bincount(codes.reshape(-1), minlength=len(texts))
    mean, covariance = _moments(values, counts / counts.sum())
    matrix = _matrix(covariance, dim or encoder.dim, scale=scale)
    if dim is None and not scale:
        matrix = np.eye(encoder.dim)
    return WhitenedEncoder(encoder, mean, matrix)


def _moments(values: Array, share: Array) -> tuple[Array, Array]:
    """Returns mean and covariance in float64; `share` adds up to 1."""
    mean = share @ values.astype(np.float64)
    centred = values - mean
    return mean, (centred * share[:, None]).T @ centred


def _matrix(covariance: Array, dim: int, *, scale: bool) -> Array:
    """Returns `(len(covariance), dim)`, the strongest component first."""
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1][:dim], vectors[:, ::-1][:, :dim]
    # A component has no sign; its largest number is made positive.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(dim)])
    if not scale:
        return vectors
    floor = _RIDGE * np.trace(covariance) / len(covariance)
    return vectors / np.sqrt(np.maximum(variance, 0) + floor + 1e-30)


def load_whitening(
    folder: Path, load: Callable[[dict[str, Any]], Any]
) -> WhitenedEncoder:
    """Returns what `save` wrote; `load` is `load_encoder`.

    Raises:
        InputError: The encoder below is no longer the one of the fit, or the
            folder is of another version.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config["whitening_format"] != FORMAT:
        raise fail(
            f"`source` must be a whitened encoder of format {FORMAT}.",
            f"source={str(folder)!r} of format {config['whitening_format']}",
            "Fit the whitening again.",
        )
    base = load(config["encoder"])
    if base.fingerprint != config["fingerprint"]:
        raise fail(
            "`source` must be a whitening of an encoder that is still the "
            "same.",
            f"source={str(folder)!r} of {config['encoder']}, which has changed",
            "Fit the whitening again.",
        )
    tensors = load_file(folder / STATISTICS)
    return WhitenedEncoder(base, tensors["mean"], tensors["matrix"])
