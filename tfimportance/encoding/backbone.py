"""Sentence embeddings of a BERT backbone, tokenised inside the graph."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text


class BackboneEncoder(tf.Module):
    """Embeds text with a BERT backbone: mean of the token states, unit length.

    The tokenizer is `tensorflow_text.FastBertTokenizer`, which follows the
    original BERT more closely than KerasHub's own (that one turns most
    accented words into `[UNK]`). Packing uses core TensorFlow ops only, so
    that the graph loads in every TensorFlow Serving since 2.15.

    Attributes:
        dim: Length of an embedding.
        name: The folder's name as an identifier.
        vocabulary: The word pieces; the position is the token id.
        lowercase: Whether case and accents are dropped.
        max_length: Longest sequence in tokens, `[CLS]` and `[SEP]` included;
            longer texts are cut.
    """

    batch_size = 32

    def __init__(
        self,
        backbone: Any,
        vocabulary: list[str],
        *,
        lowercase: bool,
        max_length: int,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.dim = int(backbone.hidden_dim)
        self.vocabulary = tuple(vocabulary)
        self.max_length = max_length
        self.lowercase = lowercase
        self._tokenizer = tf_text.FastBertTokenizer(
            vocabulary,
            token_out_type=tf.int32,
            lower_case_nfd_strip_accents=lowercase,
        )
        # The Keras model itself is kept from tracking, or a SavedModel would
        # hold every weight twice (keras#23553).
        self._variables = [variable.value for variable in backbone.variables]
        self._states: Callable[[dict[str, tf.Tensor]], tf.Tensor] = (
            lambda inputs: backbone(inputs)["sequence_output"]
        )
        self._encode = tf.function(
            lambda texts: tf.math.l2_normalize(
                self.embed_tokens(self._tokenizer.tokenize(texts)), axis=-1
            ),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 unit vectors of `(batch,)` strings."""
        return self._encode(texts)

    def embed_tokens(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Returns the mean state of `[CLS] tokens [SEP]`.

        Args:
            tokens: Int32 ragged `(batch, None)` of token ids.

        Returns:
            Float32 `(batch, dim)`, not normalised.
        """
        ids = self._pack(tokens)
        mask = tf.cast(ids != self._id("[PAD]"), tf.int32)
        states = self._states(
            {
                "token_ids": ids,
                "segment_ids": tf.zeros_like(ids),
                "padding_mask": mask,
            }
        )
        share = tf.cast(mask, tf.float32)
        share /= tf.reduce_sum(share, axis=1, keepdims=True)
        return tf.einsum("bld,bl->bd", states, share)

    def _pack(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Adds `[CLS]` and `[SEP]`; pads to the longest of the batch.

        Texts come sorted by length, so little is padded; rounding up to
        fixed lengths was measured 15% slower on a processor.
        """
        tokens = tokens[:, : self.max_length - 2]
        edge = [tokens.nrows(), 1]
        tokens = tf.concat(
            [
                tf.fill(edge, self._id("[CLS]")),
                tokens,
                tf.fill(edge, self._id("[SEP]")),
            ],
            axis=1,
        )
        return tokens.to_tensor(self._id("[PAD]"))

    def _id(self, token: str) -> int:
        return self.vocabulary.index(token)


def load_backbone(folder: Path, name: str) -> BackboneEncoder:
    """Returns the encoder of the BERT checkpoint in `folder`."""
    import keras_hub  # slow to import, and only needed here

    backbone = keras_hub.models.BertBackbone.from_preset(str(folder))
    tokenizer = keras_hub.models.BertTokenizer.from_preset(str(folder))
    return BackboneEncoder(
        backbone,
        tokenizer.get_vocabulary(),
        lowercase=tokenizer.lowercase,
        max_length=_max_length(folder, backbone.max_sequence_length),
        name=name,
    )


def _max_length(folder: Path, longest: int) -> int:
    """Returns the length that the sentence model was trained with."""
    path = folder / "sentence_bert_config.json"
    if not path.exists():
        return longest
    return min(longest, json.loads(path.read_text())["max_seq_length"])
