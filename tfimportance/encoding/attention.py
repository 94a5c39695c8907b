"""Masked attention pooling: a sequence of vectors becomes one vector.

    score_l = <q, x_l> / sqrt(dim) + b_recency(l)
    a       = softmax of the scores over the positions that are no padding
    pooled  = sum_l a_l * x_l

The recency of a position is the number of real positions after it: 0 for the
last one. So neither the side nor the amount of the padding counts.
"""

from typing import Any

import keras
import tensorflow as tf

from tfimportance._checks import check_count


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Returns the softmax over the positions where `mask` is true.

    Other positions get 0, and a row without any true position is all 0; the
    gradient is finite there as well.

    Args:
        scores: Float `(batch, length)`.
        mask: Bool `(batch, length)`.
    """
    held = tf.where(mask, scores, tf.fill(tf.shape(scores), scores.dtype.min))
    return tf.nn.softmax(held, axis=1) * tf.cast(mask, scores.dtype)


def recency(mask: Any) -> Any:
    """Returns int32 `(batch, length)`: how many true positions come later."""
    return tf.cumsum(
        tf.cast(mask, tf.int32), axis=1, exclusive=True, reverse=True
    )


@keras.saving.register_keras_serializable(package="tfimportance")
class AttentionPooling(keras.layers.Layer):
    """Pools `(batch, length, dim)` to `(batch, dim)` with one learned query.

    The query and the biases start at zero, so an untrained layer is the plain
    mean. The mask of `keras.layers.Masking` or of an embedding with
    `mask_zero=True` is taken and ends here: the output has no positions left.
    A sequence that is all padding gives the zero vector.

    Scores and softmax are float32 in half precision (float64 under a float64
    policy); the output has the compute dtype of the policy.

    Args:
        positions: How many of the latest positions have a bias of their own;
            older ones share that of the oldest. With 0 the order of a
            sequence does not count.
        **kwargs: Passed to `keras.layers.Layer` (`name`, `dtype`).

    Example:
        >>> import numpy as np
        >>> steps = np.array([[[1.0, 2.0], [3.0, 6.0], [0.0, 0.0]]])
        >>> model = keras.Sequential(
        ...     [keras.layers.Masking(), AttentionPooling()]
        ... )
        >>> print(model(steps).numpy())  # the padding is left out
        [[2. 4.]]

    Source: Z. Yang et al., Hierarchical Attention Networks for Document
    Classification, NAACL 2016 (one learned query); the scale is that of
    A. Vaswani et al., Attention Is All You Need, 2017.
    """

    def __init__(self, *, positions: int = 50, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("positions", positions, at_least=0)
        self.positions = int(positions)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the query and one bias for each recency."""
        self.query = self.add_weight(
            name="query",
            shape=(input_shape[-1],),
            initializer="zeros",
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(max(self.positions, 1),),
            initializer="zeros",
            trainable=self.positions > 0,
            autocast=False,
        )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Returns `(batch, dim)`; `mask` is bool `(batch, length)`."""
        values, attention = self._attend(inputs, mask)
        pooled = tf.einsum("bl,bld->bd", attention, values)
        return tf.cast(pooled, self.compute_dtype)

    def attention(self, inputs: Any, mask: Any = None) -> Any:
        """Returns the `(batch, length)` shares of the positions, to look at.

        Each row adds up to 1, or is all 0 where everything is padding.
        """
        return self._attend(inputs, mask)[1]

    def _attend(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        wide = tf.float64 if self.compute_dtype == "float64" else tf.float32
        values = tf.cast(inputs, wide)
        if mask is None:
            mask = tf.ones(tf.shape(values)[:2], tf.bool)
        mask = tf.cast(mask, tf.bool)
        # Whatever lies in the padding, a NaN even, does not get through.
        values = tf.where(mask[..., None], values, tf.zeros_like(values))
        query, bias = tf.cast(self.query, wide), tf.cast(self.bias, wide)
        scores = tf.einsum("bld,d->bl", values, query)
        scores /= tf.sqrt(tf.cast(tf.shape(values)[-1], wide))
        place = tf.minimum(recency(mask), max(self.positions, 1) - 1)
        return values, masked_softmax(scores + tf.gather(bias, place), mask)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Returns None: the mask ends here."""

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Returns `(batch, dim)`."""
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns all settings."""
        return {**super().get_config(), "positions": self.positions}


@keras.saving.register_keras_serializable(package="tfimportance")
class SequenceEncoder(keras.layers.Layer):
    """Embeds sequences of item ids: an item table and `AttentionPooling`.

    An untrained encoder knows nothing; train it from the label in any Keras
    model, such as `sequence_model`, and use its output as the embeddings.

    Ids that are no small integers become ones inside the model, before this
    layer: `keras.layers.StringLookup(mask_token="")` gives padding 0, unknown
    items 1 and known ones 2 and above. A candidate item is a sequence of one:
    its embedding is the item's row in the table.

    Args:
        vocabulary_size: Ids lie in `[0, vocabulary_size)`, as in
            `keras.layers.Embedding`; 0 is padding, wherever it stands, and
            ids outside count as padding.
        dim: Length of the embedding.
        positions: As in `AttentionPooling`.
        **kwargs: Passed to `keras.layers.Layer` (`name`, `dtype`).

    Input: integers `(batch, length)`, the latest item last; any length.
    Output: `(batch, dim)` in the compute dtype; zero where all is padding.

    Example:
        >>> encoder = SequenceEncoder(100, dim=8)
        >>> left = encoder(tf.constant([[0, 0, 7, 42]]))
        >>> right = encoder(tf.constant([[7, 42, 0]]))
        >>> left.shape, bool(tf.reduce_all(left == right))
        (TensorShape([1, 8]), True)
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        dim: int = 32,
        positions: int = 50,
        **kwargs: Any,
    ) -> None:
        # Autocasting would round ids that come as floats to half precision.
        super().__init__(autocast=False, **kwargs)
        check_count("vocabulary_size", vocabulary_size, at_least=2)
        check_count("dim", dim)
        check_count("positions", positions, at_least=0)
        self.vocabulary_size = int(vocabulary_size)
        self.dim = int(dim)
        self.positions = int(positions)
        self.items = keras.layers.Embedding(
            self.vocabulary_size,
            self.dim,
            name="items",
            dtype=self.dtype_policy,
        )
        self.pooling = AttentionPooling(
            positions=self.positions, name="pooling", dtype=self.dtype_policy
        )

    def build(self, input_shape: Any) -> None:
        """Creates the item table and the attention."""
        self.items.build(input_shape)
        self.pooling.build((*input_shape, self.dim))

    def call(self, inputs: Any) -> Any:
        """Returns the `(batch, dim)` embeddings of `(batch, length)` ids."""
        ids = self._known(inputs)
        return self.pooling(self.items(ids), mask=ids != 0)

    def attention(self, inputs: Any) -> Any:
        """Returns the `(batch, length)` shares of the items, to look at."""
        ids = self._known(inputs)
        return self.pooling.attention(self.items(ids), ids != 0)

    def _known(self, inputs: Any) -> Any:
        # Without this a GPU would read zeros and XLA the table's last row.
        ids = tf.cast(inputs, tf.int64)
        is_known = (ids > 0) & (ids < self.vocabulary_size)
        return tf.cast(tf.where(is_known, ids, tf.zeros_like(ids)), tf.int32)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Returns None: the output has no positions left."""

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Returns `(batch, dim)`."""
        return (input_shape[0], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Returns all settings."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "dim": self.dim,
            "positions": self.positions,
        }
