"""A static encoder from a checkpoint, without any training text."""

import os
import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA
from tqdm import tqdm

from tfimportance._checks import Array, check_count, fail
from tfimportance._files import check_writable
from tfimportance.encoding.backbone import BackboneEncoder
from tfimportance.encoding.loading import load_path, locate
from tfimportance.encoding.static import CONFIG, save_static

_BATCH = 512


def distill(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dim: int = 256,
) -> Path:
    """Returns the folder of a new static encoder made from `checkpoint`.

    Every word piece goes through the model alone, as `[CLS] piece [SEP]`; the
    mean of the three states is its vector. The vectors are centred, rotated to
    their `dim` principal components, and weighted by `log(1 + rank)`: a
    vocabulary stands in the order of frequency, so that rare words weigh more,
    as with an inverse document frequency. Single characters stand before the
    words and do not count in the rank. On validation halves of the bundled
    sets this weighting agreed better with the model's own similarities than
    equal weights, log rank over all pieces and SIF, and 8 bits for a number
    changed no AUC of a linear probe by more than 0.001.

    The same checkpoint gives the same files, byte for byte, on one machine.
    The files are `config.json`, `model.safetensors` and `vocab.txt`.

    Example:
        `distill("all-MiniLM-L6-v2", "my_encoder")`, then
        `load_encoder("my_encoder")`.

    Args:
        checkpoint: Folder of a BERT checkpoint, as for `load_encoder`.
        output: Folder that is new, empty, or holds a static encoder, which is
            replaced.
        dim: Length of an embedding, at most the model's own.

    Raises:
        InputError: `checkpoint` is no BERT, `dim` does not suit it, or
            `output` holds something else or cannot be written.
    """
    folder = Path(output)
    check_count("dim", dim)
    _check_output(folder)
    teacher = load_path("checkpoint", locate("checkpoint", checkpoint))
    pieces_of = getattr(getattr(teacher, "tokens", None), "word_pieces", None)
    if not isinstance(teacher, BackboneEncoder) or pieces_of is None:
        raise fail(
            "`checkpoint` must be a BERT or another backbone with a WordPiece "
            "vocabulary.",
            f"checkpoint={str(checkpoint)!r}, a {type(teacher).__name__}",
            "Write its embeddings with `tfimportance encode`, or take the "
            "checkpoint itself.",
        )
    vocabulary, lowercase = pieces_of
    ids = _text_pieces(vocabulary)
    if dim > min(teacher.dim, len(ids)):
        raise fail(
            f"`dim` must be at most {min(teacher.dim, len(ids))} for this "
            "checkpoint.",
            f"dim={dim}",
        )
    pieces = [vocabulary[i] for i in ids]
    vectors = _piece_vectors(teacher, ids)
    components = PCA(dim, svd_solver="covariance_eigh").fit_transform(vectors)
    table = components * _rank_weights(pieces)[:, None]
    save_static(folder, table, pieces, lowercase=lowercase)
    return folder


def _check_output(folder: Path) -> None:
    check_writable("output", folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    config = folder / CONFIG
    if not config.exists() or "static_format" not in config.read_text():
        raise fail(
            "`output` must be a new or empty folder, or that of a static "
            "encoder.",
            f"output={str(folder)!r}, which holds other files",
            "Name another folder.",
        )


def _text_pieces(vocabulary: list[str]) -> list[int]:
    """Returns the ids that a text can give: no `[CLS]`, no `[unused7]`."""
    return [
        i
        for i, piece in enumerate(vocabulary)
        if piece == "[UNK]" or not re.fullmatch(r"\[\w+\]", piece)
    ]


def _piece_vectors(teacher: BackboneEncoder, ids: list[int]) -> Array:
    """Returns float64 `(len(ids), teacher.dim)`."""
    embed = tf.function(
        lambda batch: teacher.embed_tokens(
            tf.RaggedTensor.from_tensor(batch[:, None])
        ),
        input_signature=[tf.TensorSpec([None], tf.int32)],
    )
    starts = range(0, len(ids), _BATCH)
    return np.concatenate(
        [
            embed(tf.constant(ids[start : start + _BATCH])).numpy()
            for start in tqdm(starts, desc="distil", disable=None)
        ]
    ).astype(np.float64)


def _rank_weights(pieces: list[str]) -> Array:
    """Returns `log(1 + rank)`, where longer pieces alone raise the rank."""
    longer = [len(piece.removeprefix("##")) > 1 for piece in pieces]
    return np.log1p(np.maximum(np.cumsum(longer), 1))
