"""`export`: a trained model to a folder that TensorFlow Serving loads."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfimportance.encoding import Encoder
from tfimportance.serving.card import check_card, describe, write_card
from tfimportance.serving.checks import (
    check_answers,
    check_graph,
    check_model,
    graph_of,
    trial_inputs,
)
from tfimportance.serving.deployment import write_deployment
from tfimportance.serving.features import (
    Features,
    ModelFeatures,
    TextFeatures,
)
from tfimportance.serving.publishing import publish, staging
from tfimportance.serving.signatures import (
    Signature,
    model_signatures,
    text_signatures,
    token_signature,
)
from tfimportance.serving.targets import SETTINGS, Scorer, TargetSet
from tfimportance.serving.warmup import write_warmup

logger = logging.getLogger(__name__)

_VOCABULARY = "vocab.txt"


def export(
    model: keras.Model,
    encoder: Encoder | None,
    path: str | Path,
    *,
    text: Sequence[str] = ("text",),
    fields: str = "auto",
    targets: TargetSet | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Returns the new folder `path/<version>`, a model ready to be served.

    `path` is what TensorFlow Serving watches (`--model_base_path`); the version
    is one above the highest in it, or 1. The folder appears by rename when it
    is complete, so that a server never sees half a model, and a failed export
    leaves nothing behind.

    The signatures, in any batch size:

    - `serving_default`: one string tensor `(batch,)` for each column of
      `text`, to `probability`, float32 `(batch,)` in [0, 1];
    - `embed`: the same, to `embedding`, float32 `(batch, embedding_dim)`, as
      `encode` returns it;
    - `importance`: the same, to `importance`, float32 `(batch,)`, what
      `importance_scores(..., mode="similarity")` says against `targets`;
    - `importance_signed`: with `label`, int64 `(batch,)` of 0 and 1, beside
      the texts, what `mode="label_signed", reference="target"` says;
    - `embed_text`: `text` to the `embedding` of that one text;
    - `similarity`: `text` and `other` to `similarity`, float32 `(batch,)` in
      ±sinh(clip), as `clipped_sinh_similarity` says of the two embeddings;
    - `tokens`: where the encoder is a backbone, `ids` (of the columns joined
      with one space) or `<column>_ids`, int32 `(batch, length)` with or
      without start, end and padding, to `probability` and `embedding`.

    An input has the name of its column, with `_` for every character but ASCII
    letters and digits ("Review Text" becomes `Review_Text`). Tokenizer, encoder
    and model lie in one graph; every weight is stored once, and no Python code
    is stored. Beside it lie `signature.json`, `MODEL_CARD.md` and the warm-up
    requests; in `path`, unless they are there, `models.config` and
    `compose.yaml` for the official image.

    Example:
        >>> import tempfile
        >>> from tfimportance import dense_head, load_encoder
        >>> encoder = load_encoder("static")
        >>> model = dense_head(encoder.dim)  # and fit it
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     version = export(model, encoder, folder, text=["review"])
        ...     served = tf.saved_model.load(version)
        >>> serve = served.signatures["serving_default"]
        >>> reviews = tf.constant(["Lovely!", "", "Ein Kleid"])
        >>> version.name, serve(review=reviews)["probability"].shape
        ('1', TensorShape([3]))

    Args:
        model: A built Keras model from the combined embedding
            `(batch, embedding_dim)` to a probability, `(batch, 1)` or
            `(batch,)`.
        encoder: What `load_encoder` returned for the training. None for a
            model that takes no text, such as `sequence_model`: then the
            inputs are the model's own, with their names, types and shapes,
            and the embedding is the output of its layer `"embedding"`.
        path: The model's own folder, e.g. `saved_models/reviews`.
        text: The text columns, in the order of the training.
        fields: How the columns become one embedding, as in `encode`.
        targets: The target set; its embeddings are made as those of the
            training. None leaves the importance signatures out.
        card: What the model card says: `data`, `metrics`, `licence` and
            `intended_use`, each a text or a mapping.

    Raises:
        InputError: A column's name is no name for an input, `model` does not
            map the embeddings of `encoder` and `targets` to probabilities,
            `targets` are of another dimension, the graph would call back into
            Python, or `path` cannot be written.
    """
    path, card = Path(path), dict(card or {})
    check_card(card)
    features = _features(model, encoder, text, fields)
    signatures = _signatures(model, encoder, features, fields, targets)
    functions = {name: each.trace() for name, each in signatures.items()}
    for function in functions.values():
        check_graph("`encoder` and `model`", graph_of(function))
    check_answers(functions)
    # Without an encoder the model takes something else than embeddings.
    tried = None if encoder is None or targets is None else targets.embeddings
    check_model(model, tried)
    with staging(path.absolute()) as folder:
        served = _module(functions, encoder, model)
        _attach_vocabulary(served, encoder, folder.parent)
        tf.saved_model.save(served, str(folder), signatures=functions)
        name = path.absolute().name
        trials = {name: trial_inputs(each) for name, each in functions.items()}
        write_warmup(folder, trials, name)
        facts = describe(name, signatures, functions, features.columns, targets)
        write_card(folder, {**facts, "card": card})
        version = publish(folder, path)
    write_deployment(path)
    logger.info("Exported %s", version)
    return version


def _features(
    model: keras.Model,
    encoder: Encoder | None,
    text: Sequence[str],
    fields: str,
) -> Features:
    if encoder is None:
        return ModelFeatures(model)
    return TextFeatures(encoder, text, fields)


def _signatures(
    model: keras.Model,
    encoder: Encoder | None,
    features: Features,
    fields: str,
    targets: TargetSet | None,
) -> dict[str, Signature]:
    scorer = None if targets is None else Scorer(targets)
    found = model_signatures(model, features, scorer)
    if encoder is not None:
        settings = SETTINGS if targets is None else targets.settings
        found |= text_signatures(encoder, settings)
    if hasattr(encoder, "embed_tokens"):
        found |= token_signature(model, encoder, features.columns, fields)
    return found


def _module(
    functions: Mapping[str, Any], encoder: Encoder | None, model: keras.Model
) -> tf.Module:
    """Returns what the functions use: variables and lookup tables.

    No Keras object is among them: it would store its weights a second time
    (keras#23553).
    """
    served, root = tf.Module(), tf.Module()
    served.weights = [each.variables for each in functions.values()]
    # A graph uses the lookup tables of a tokenizer but cannot name them.
    root.sources = [encoder, model]
    served.tables = [
        part
        for part in tf.train.TrackableView(root).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
    return served


def _attach_vocabulary(
    served: tf.Module, encoder: Encoder | None, folder: Path
) -> None:
    """Puts the word pieces into `assets`, for clients that tokenise."""
    pieces = getattr(getattr(encoder, "tokens", None), "word_pieces", None)
    if pieces is not None:
        file = folder / _VOCABULARY
        file.write_text("\n".join(pieces[0]) + "\n", encoding="utf-8")
        served.vocabulary = tf.saved_model.Asset(str(file))
