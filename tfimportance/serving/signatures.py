"""What a served model can be asked: each signature a function of tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfimportance._checks import fail
from tfimportance.encoding.fields import (
    combine_embeddings,
    combine_fields,
    field_mode,
)
from tfimportance.importance.settings import Settings
from tfimportance.serving.features import Features, Tensors
from tfimportance.serving.targets import Scorer

DEFAULT, LABEL = "serving_default", "label"
_LABEL = tf.TensorSpec([None], tf.int64, name=LABEL)
_ONE_TEXT = tf.TensorSpec([None], tf.string, name="text")
_OTHER = tf.TensorSpec([None], tf.string, name="other")


@dataclass(frozen=True)
class Signature:
    """One question.

    Attributes:
        purpose: What is answered, in one line.
        specs: Input name to what it holds.
        answer: From the inputs to the named outputs.
        same_rows: Whether all inputs must have the same number of rows.
    """

    purpose: str
    specs: dict[str, tf.TensorSpec]
    answer: Callable[[Tensors], dict[str, tf.Tensor]]
    same_rows: bool = True

    def trace(self) -> Any:
        """Returns the concrete function."""

        def serve(inputs: Tensors) -> dict[str, tf.Tensor]:
            # What a server is sent need not have the shape that was traced.
            inputs = {
                name: tf.ensure_shape(value, self.specs[name].shape)
                for name, value in inputs.items()
            }
            if self.same_rows:
                _assert_same_rows(inputs)
            return self.answer(inputs)

        function = tf.function(serve, autograph=False)
        return function.get_concrete_function(self.specs)


def model_signatures(
    model: keras.Model, features: Features, scorer: Scorer | None
) -> dict[str, Signature]:
    """Returns what can be asked of the rows that the model was trained on."""
    found = {
        DEFAULT: Signature(
            "probability of the label",
            features.specs,
            lambda inputs: {
                "probability": probability(model, features(inputs))
            },
        )
    }
    embed = features.embed
    if embed is None:
        return found
    found["embed"] = Signature(
        "embedding of the row",
        features.specs,
        lambda inputs: {"embedding": tf.cast(embed(inputs), tf.float32)},
    )
    if scorer is None:
        return found
    found["importance"] = Signature(
        "how much the row is like the target set, labels ignored",
        features.specs,
        lambda inputs: {"importance": scorer.importance(embed(inputs))},
    )
    if scorer.is_labelled:
        found["importance_signed"] = Signature(
            "how much the row agrees with like-labelled rows of the target set",
            {**features.specs, LABEL: _LABEL},
            lambda inputs: {
                "importance": scorer.signed_importance(
                    embed(inputs), _binary(inputs[LABEL])
                )
            },
        )
    return found


def text_signatures(encoder: Any, settings: Settings) -> dict[str, Signature]:
    """Returns what can be asked of any text, item to item."""

    def embed(texts: tf.Tensor) -> tf.Tensor:
        return combine_fields(encoder, {"text": texts}, "join")

    def similarity(inputs: Tensors) -> dict[str, tf.Tensor]:
        left, right = (
            settings.direction(embed(inputs[name]))
            for name in ("text", "other")
        )
        z = settings.scale * tf.reduce_sum(left * right, axis=1)
        z = tf.clip_by_value(z, -settings.clip, settings.clip)
        return {"similarity": settings.kernel_function()(z)}

    return {
        "embed_text": Signature(
            "embedding of one text, for a catalogue of items",
            {"text": _ONE_TEXT},
            lambda inputs: {"embedding": embed(inputs["text"])},
        ),
        "similarity": Signature(
            "sinh similarity of two texts; one `text` meets every `other`",
            {"text": _ONE_TEXT, "other": _OTHER},
            similarity,
            same_rows=False,
        ),
    }


def token_signature(
    model: keras.Model, encoder: Any, columns: Mapping[str, str], fields: str
) -> dict[str, Signature]:
    """Returns the signature that takes token ids in place of texts.

    Columns that are joined are one text to the tokenizer: one input `ids`.
    """
    mode = field_mode(fields, len(columns))
    names = ["ids"] if mode == "join" else [f"{name}_ids" for name in columns]

    def answer(inputs: Tensors) -> dict[str, tf.Tensor]:
        parts = [_embed_ids(encoder, inputs[name]) for name in names]
        embedding = parts[0]
        if mode != "join":
            embedding = combine_embeddings(parts, mode)
        return {
            "probability": probability(model, embedding),
            "embedding": embedding,
        }

    specs = {
        name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names
    }
    purpose = "as serving_default and embed, of texts already tokenised"
    return {"tokens": Signature(purpose, specs, answer)}


def probability(model: keras.Model, features: Any) -> tf.Tensor:
    """Returns the model's output as float32 `(batch,)`.

    Raises:
        InputError: The model is not built, does not take these features, or
            gives something else.
    """
    if not getattr(model, "built", True):
        raise fail(
            "`model` must be built.",
            f"model={model.name!r}, without weights so far",
            "Fit it first.",
        )
    try:
        output = model(features, training=False)
    except ValueError as error:
        shape = getattr(features, "shape", "of several inputs")
        raise fail(
            f"`model` must take the embedding of shape {shape} that "
            "`encoder` and `fields` give.",
            f"model.input_shape={getattr(model, 'input_shape', 'unknown')}",
            "Export with the encoder and the columns of the training.",
        ) from error
    shape = str(getattr(output, "shape", type(output).__name__))
    if shape not in ("(None,)", "(None, 1)"):
        raise fail(
            "`model` must give one probability for each row, (batch,) or "
            "(batch, 1).",
            f"an output of shape {shape}",
        )
    return tf.cast(tf.reshape(output, [-1]), tf.float32)


def _assert_same_rows(inputs: Tensors) -> None:
    first, *others = [tf.shape(each)[0] for each in inputs.values()]
    for other in others:
        tf.debugging.assert_equal(
            first, other, "All inputs must have the same number of rows."
        )


def _binary(label: tf.Tensor) -> tf.Tensor:
    """Returns the labels; a request with others gets an error."""
    is_binary = tf.reduce_all((label == 0) | (label == 1))
    tf.debugging.Assert(is_binary, ["`label` must be 0 or 1.", label])
    return label


def _embed_ids(encoder: Any, ids: tf.Tensor) -> tf.Tensor:
    """Returns the embeddings of `(batch, length)` ids.

    Tokenizers differ in whether they frame a text with start and end, and all
    pad: such ids are taken out, and the encoder puts in its own.
    """
    known = encoder.tokens
    special = tf.constant([known.pad, *known.start, *known.end], ids.dtype)
    is_text = tf.reduce_all(ids[..., None] != special, axis=-1)
    embedding = encoder.embed_tokens(tf.ragged.boolean_mask(ids, is_text))
    if encoder.normalize:
        embedding = tf.math.l2_normalize(embedding, axis=1)
    return embedding
