"""The clipped-sinh similarity: one pure formula and a thin Keras layer.

    similarity(v, t) = sinh(clip(scale * <v, t>, -clip, +clip))

`sinh` is odd and steeper than linear: close targets count for much more than
distant ones, and opposite ones count against. The clip is on its *argument*,
so the result lies in `[-sinh(clip), sinh(clip)]`.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfimportance._checks import Array, check_count, check_number, fail

# exp(88) is the last whole number that float32 holds with a margin.
LARGEST_CLIP = 88.0

# One odd polynomial is right up to here with fewer operations than exp.
_POLYNOMIAL_BOUND = 8.0


def clipped_sinh_similarity(
    embeddings: Any,
    target_embeddings: Any,
    *,
    scale: float = 4.0,
    clip: float = 20.0,
    normalize: bool = True,
) -> Any:
    """Returns `sinh(clip(scale * <v_i, t_j>, -clip, clip))` for all pairs.

    With `normalize=True` the product is a cosine (a zero vector has cosine 0
    with everything), so the argument stays within `±scale`. The literal
    textbook form is `scale=1.0, normalize=False`. Half-precision inputs are
    computed in float32. Beyond the clip the gradient is zero.

    Args:
        embeddings: `(num_samples, embedding_dim)`, real numbers.
        target_embeddings: `(num_targets, embedding_dim)`, real numbers.
        scale: Above 0; 4 to 8 is the useful range for cosines.
        clip: In (0, 88], the largest size of the argument of sinh.
        normalize: Whether vectors are brought to length 1 first.

    Returns:
        `(num_samples, num_targets)` tensor in `[-sinh(clip), sinh(clip)]`,
        float32 (float64 where an input is float64).

    Raises:
        InputError: Where ranks or dimensions do not match, or where `scale`
            or `clip` is out of range.

    Example:
        >>> import tfimportance as tfi
        >>> s = tfi.clipped_sinh_similarity([[3.0, 4.0]], [[6.0, 8.0]])
        >>> print(f"{float(s[0, 0]):.4f}")  # sinh(4)
        27.2899
    """
    check_settings(scale, clip)
    embeddings, targets = as_pair(embeddings, target_embeddings)
    return _compiled_similarity(
        embeddings,
        targets,
        tf.constant(scale, embeddings.dtype),
        tf.constant(clip, embeddings.dtype),
        normalize,
    )


@keras.saving.register_keras_serializable(package="tfimportance")
class ClippedSinhSimilarity(keras.layers.Layer):
    """Similarity of a batch of embeddings to target embeddings it holds.

    The targets are a non-trainable weight, so that `.keras` files and
    SavedModels carry them. The configuration holds only their number: a layer
    made by `from_config` has zero targets until its weights are loaded. The
    output is float32 under every dtype policy (float64 for float64 inputs),
    because sinh leaves the range of float16 at 11.8.

    Args:
        target_embeddings: `(num_targets, embedding_dim)` array, or `None`
            where the weights will be loaded.
        num_targets: Number of targets; needed only without an array.
        scale: As in `clipped_sinh_similarity`.
        clip: As in `clipped_sinh_similarity`.
        normalize: As in `clipped_sinh_similarity`.
        **kwargs: Passed to `keras.layers.Layer` (`name`, `dtype`).

    Example:
        >>> import numpy as np
        >>> import tfimportance as tfi
        >>> layer = tfi.ClippedSinhSimilarity(np.eye(3)[:2], scale=1.0)
        >>> print(layer(np.eye(3)).shape)
        (3, 2)
    """

    def __init__(
        self,
        target_embeddings: Any = None,
        *,
        num_targets: int | None = None,
        scale: float = 4.0,
        clip: float = 20.0,
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        # Autocasting would round the embeddings to half precision.
        super().__init__(autocast=False, **kwargs)
        check_settings(scale, clip)
        if target_embeddings is not None:
            target_embeddings = np.asarray(target_embeddings)
            check_matrix("target_embeddings", target_embeddings.shape)
            num_targets = len(target_embeddings)
        check_count("num_targets", num_targets)
        self.target_embeddings = target_embeddings
        self.num_targets = num_targets
        self.scale = scale
        self.clip = clip
        self.normalize = normalize

    def build(self, input_shape: Any) -> None:
        """Creates the target weights for embeddings of this width."""
        initializer: Any = "zeros"
        if self.target_embeddings is not None:
            check_same_dim(input_shape, self.target_embeddings.shape)
            initializer = keras.initializers.Constant(self.target_embeddings)
        self.targets = self.add_weight(
            name="targets",
            shape=(self.num_targets, input_shape[-1]),
            initializer=initializer,
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: Any) -> Any:
        """Returns the `(batch_size, num_targets)` similarities."""
        embeddings, targets = as_pair(inputs, self.targets)
        return _similarity(
            embeddings, targets, self.scale, self.clip, self.normalize
        )

    def get_config(self) -> dict[str, Any]:
        """Returns all settings; the targets themselves are weights."""
        return {
            **super().get_config(),
            "num_targets": self.num_targets,
            "scale": self.scale,
            "clip": self.clip,
            "normalize": self.normalize,
        }


def unit(vectors: Any) -> Any:
    """Returns `(n, d)` vectors at length 1; zero vectors stay zero.

    Dividing by the largest entry first keeps the squares of 1e-30 and of 1e30
    inside float32.
    """
    largest = tf.stop_gradient(
        tf.reduce_max(tf.abs(vectors), axis=-1, keepdims=True)
    )
    is_zero = largest < np.finfo(np.float32).tiny
    one = tf.ones_like(largest)
    # The inner choices keep 0/0 out of the gradient as well.
    scaled = vectors / tf.where(is_zero, one, largest)
    scaled = tf.where(is_zero, tf.zeros_like(scaled), scaled)
    squared = tf.reduce_sum(scaled * scaled, axis=-1, keepdims=True)
    return scaled / tf.sqrt(tf.where(is_zero, one, squared))


def sinh(argument: Any, bound: float = math.inf) -> Any:
    """Returns sinh to a few units in the last place for `|argument| <= bound`.

    `(exp(z) - exp(-z)) / 2` loses all digits of a tiny z, so the odd
    polynomial `z * p(z^2)` is used there, or everywhere when `bound` is small.
    """
    if argument.dtype == tf.float32 and bound <= _POLYNOMIAL_BOUND:
        return _odd_polynomial(argument, _sinh_coefficients(bound))
    # Away from 1 each branch is held at 1, so that no gradient overflows.
    is_small = tf.abs(argument) < 1
    one = tf.ones_like(argument)
    small = tf.where(is_small, argument, one)
    large = tf.where(is_small, one, argument)
    terms = 6 if argument.dtype == tf.float32 else 10
    taylor = [1 / math.factorial(2 * k + 1) for k in range(terms)]
    exact = (tf.exp(large) - tf.exp(-large)) / 2
    return tf.where(is_small, _odd_polynomial(small, taylor), exact)


def check_matrix(name: str, shape: Any) -> None:
    """Raises unless `shape` is that of a non-empty matrix."""
    sizes = tuple(shape)
    if len(sizes) == 2 and 0 not in sizes:
        return
    raise fail(
        f"`{name}` must be a non-empty matrix, one row for each sample.",
        f"{name}.shape={sizes}",
    )


def check_same_dim(shape: Any, target_shape: Any) -> None:
    """Raises unless both sides have the same `embedding_dim`."""
    if shape[-1] in (None, target_shape[-1]):
        return
    raise fail(
        "`embeddings` and `target_embeddings` must have the same number of "
        "columns.",
        f"embeddings.shape={tuple(shape)}, "
        f"target_embeddings.shape={tuple(target_shape)}",
        "Encode both with the same encoder and the same fields.",
    )


def as_pair(embeddings: Any, targets: Any) -> tuple[Any, Any]:
    """Returns both in float64 where one is float64, otherwise in float32."""
    pair = [tf.convert_to_tensor(each) for each in (embeddings, targets)]
    check_matrix("embeddings", pair[0].shape)
    check_matrix("target_embeddings", pair[1].shape)
    check_same_dim(pair[0].shape, pair[1].shape)
    is_double = any(each.dtype == tf.float64 for each in pair)
    dtype = tf.float64 if is_double else tf.float32
    return tf.cast(pair[0], dtype), tf.cast(pair[1], dtype)


def check_settings(scale: object, clip: object) -> None:
    """Raises where a setting is out of range."""
    check_number("scale", scale, above=0)
    check_number("clip", clip, above=0, at_most=LARGEST_CLIP)


def _similarity(
    embeddings: Any, targets: Any, scale: Any, clip: Any, normalize: bool
) -> Any:
    if normalize:
        embeddings, targets = unit(embeddings), unit(targets)
    product = tf.matmul(embeddings, scale * targets, transpose_b=True)
    return sinh(tf.clip_by_value(product, -clip, clip))


_compiled_similarity = tf.function(
    _similarity, jit_compile=True, reduce_retracing=True, autograph=False
)


def _odd_polynomial(argument: Any, coefficients: Any) -> Any:
    square = argument * argument
    value = tf.zeros_like(square) + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * square + coefficient
    return argument * value


def _sinh_coefficients(bound: float) -> list[float]:
    """Returns p with `z * p(z^2) = sinh(z)` to 3e-8 for `|z| <= bound`."""

    def ratio(square: Array) -> Array:
        return np.sinh(np.sqrt(square)) / np.sqrt(square)

    points = np.linspace(0, bound**2, 4001)[1:]
    for degree in range(1, 20):
        fit = np.polynomial.Chebyshev.interpolate(
            ratio, degree, domain=[0, bound**2]
        )
        if np.max(np.abs(fit(points) / ratio(points) - 1)) < 3e-8:
            break
    power = fit.convert(kind=np.polynomial.Polynomial)
    return [float(each) for each in power.coef]
