"""Importance inside the training step, batch by batch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfimportance._checks import check_binary, check_length, check_number
from tfimportance.similarity import check_settings, clipped_sinh_similarity
from tfimportance.training.batches import as_tensors

# Scores are standardised, so a strength above this is a hard maximum.
_STRONGEST = 1e4
_HALVINGS = 40  # 1e4 / 2^40 is far below float32's resolution at 1


class OnlineImportance(keras.Model):
    """A model whose every training step weights its batch by importance.

    Before each step the encoder embeds the batch and the target rows (in
    inference mode, without gradient); the sinh similarities are reduced to a
    score per row, as in `importance_scores` with `reference="target"`, and
    tempered within the batch: `w = batch_size * softmax(beta * score)`, with
    beta found by bisection so that the batch's effective size is
    `effective_fraction` of its rows. A `sample_weight` from the data is
    multiplied in. Everything else is Keras' own training step.

    Compile and fit this model; save `inner`, which knows nothing of it. The
    history's `effective_fraction` is the mean that was reached. Under a
    distribution strategy each replica tempers within its own rows. All target
    rows are embedded in every step: take tens to hundreds.

    Attributes:
        inner: The model that is trained.

    Args:
        model: Any built or unbuilt Keras model with one probability per row.
        encoder: From the features of `model` to `(batch, embedding_dim)`;
            usually a model that shares its layers. Only `model` is trained.
        target_features: The target rows, as `encoder` takes them.
        target_labels: `(num_targets,)` of 0 and 1, both present: scores are
            label-signed. None: labels are ignored.
        effective_fraction: In (0, 1]; of the rows of a batch.
        scale: As in `importance_scores`.
        clip: As in `importance_scores`.
        normalize: As in `importance_scores`.
        center: Whether the mean embedding of the batch is subtracted from
            both sides.
        **kwargs: Passed to `keras.Model` (`name`, `dtype`).

    Example:
        >>> import keras, numpy as np
        >>> import tfimportance as tfi
        >>> rows = np.random.default_rng(0).normal(size=(64, 4))
        >>> label = (rows[:, 0] > 0).astype(int)
        >>> model = tfi.dense_head(4)
        >>> encoder = keras.Model(model.input, model.layers[2].output)
        >>> online = tfi.OnlineImportance(model, encoder, rows[:9], label[:9])
        >>> online.compile("adam", "binary_crossentropy")
        >>> result = tfi.fit(online, rows, label, epochs=1)
        >>> print(round(result.history["effective_fraction"][0], 3))
        0.85
    """

    def __init__(
        self,
        model: keras.Model,
        encoder: Any,  # a keras.Model or keras.layers.Layer
        target_features: Any,
        target_labels: ArrayLike | None = None,
        *,
        effective_fraction: float = 0.85,
        scale: float = 4.0,
        clip: float = 20.0,
        normalize: bool = True,
        center: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_settings(scale, clip)
        check_number(
            "effective_fraction", effective_fraction, above=0, at_most=1
        )
        self.inner = model
        self.effective_fraction = effective_fraction
        self.scale, self.clip = scale, clip
        self.normalize, self.center = normalize, center
        self._reached = keras.metrics.Mean("effective_fraction")
        targets = as_tensors(target_features)

        def embed(rows: Any) -> Any:
            return tf.cast(encoder(rows, training=False), tf.float32)

        # Functions, so that Keras does not take the encoder's weights for
        # weights to be trained.
        self._embed: Callable[[Any], Any] = embed
        self._embed_targets: Callable[[], Any] = lambda: embed(targets)
        self._target_label = _target_label(target_labels, targets)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns what the inner model returns."""
        return self.inner(inputs, training=training)

    def train_step(self, data: Any) -> Any:
        """One step of Keras with the importance of the batch as weights."""
        x, y, given = keras.utils.unpack_x_y_sample_weight(data)
        weight = self.importance_weight(x, y)
        count = tf.cast(tf.size(weight), tf.float32)
        reached = tf.math.divide_no_nan(
            tf.square(tf.reduce_sum(weight)),
            count * tf.reduce_sum(tf.square(weight)),
        )
        self._reached.update_state(reached, sample_weight=count)
        if given is not None:
            weight *= tf.cast(tf.reshape(given, [-1]), weight.dtype)
        return super().train_step((x, y, weight))

    def importance_weight(self, features: Any, labels: Any = None) -> Any:
        """Returns the batch's weights, `(batch,)` float32 of mean 1.

        Args:
            features: A batch, as the encoder takes it.
            labels: `(batch,)` or `(batch, 1)` of 0 and 1; needed with target
                labels.
        """
        rows, targets = self._embed(features), self._embed_targets()
        if self.center:
            offset = tf.reduce_mean(rows, axis=0)
            rows, targets = rows - offset, targets - offset
        similarity = clipped_sinh_similarity(
            rows,
            targets,
            scale=self.scale,
            clip=self.clip,
            normalize=self.normalize,
        )
        score = self._reduce(similarity, labels)
        return tf.stop_gradient(temper(score, self.effective_fraction))

    def _reduce(self, similarity: Any, labels: Any) -> Any:
        if self._target_label is None:
            return tf.reduce_mean(similarity, axis=1)
        speaks = self._target_label / self._target_label.sum()
        against = 1 - self._target_label
        votes = (speaks - against / against.sum()).astype(np.float32)
        sign = tf.cast(tf.reshape(labels, [-1]), tf.float32) - 0.5
        return sign * tf.linalg.matvec(similarity, votes)


def temper(score: Any, effective_fraction: float) -> Any:
    """Returns `n * softmax(beta * score)` of the effective size asked for.

    The same weights as `to_sample_weight`, as tensor operations.

    Args:
        score: `(n,)` float32 tensor.
        effective_fraction: In (0, 1].
    """
    spread = tf.math.reduce_std(score)
    # Equal scores differ by rounding, which must not be blown up.
    noise = 1e-6 * tf.reduce_max(tf.abs(score))
    spread = tf.where(spread > noise, spread, tf.zeros_like(spread))
    score = tf.math.divide_no_nan(score - tf.reduce_max(score), spread)
    count = tf.cast(tf.size(score), tf.float32)
    goal = tf.math.log(effective_fraction * count)

    def halve(lower: Any, upper: Any) -> tuple[Any, Any]:
        middle = (lower + upper) / 2
        scaled = middle * score
        size = 2 * tf.reduce_logsumexp(scaled)
        size -= tf.reduce_logsumexp(2 * scaled)
        return (
            tf.where(size >= goal, middle, lower),
            tf.where(size >= goal, upper, middle),
        )

    beta, _ = tf.while_loop(
        lambda *_: True,
        halve,
        (tf.constant(0.0), tf.constant(_STRONGEST)),
        maximum_iterations=_HALVINGS,
    )
    return tf.nn.softmax(beta * score) * count


def _target_label(labels: ArrayLike | None, targets: Any) -> Any:
    if labels is None:
        return None
    label = np.asarray(labels)
    count = keras.tree.flatten(targets)[0].shape[0]
    check_length("target_labels", label, count, "target_features")
    check_binary("target_labels", label, both=True)
    return label.astype(np.float64)
