"""The forward pass of BERT and its kin, lean enough to be all multiplication.

The families differ in their embeddings only; all are the post-norm encoder of
J. Devlin et al., BERT, NAACL 2019. Against the same backbone in KerasHub the
three projections of attention are one product, their scale lies in the weights,
and every product is a plain matrix product over all tokens of the batch, which
TensorFlow fuses with its bias.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfimportance._checks import Array

_FAMILIES = (
    "BertBackbone",
    "DistilBertBackbone",
    "RobertaBackbone",
    "XLMRobertaBackbone",
)


def is_post_norm(backbone: Any) -> bool:
    """Whether `PostNormEncoder` can take the place of this backbone."""
    return type(backbone).__name__ in _FAMILIES


class PostNormEncoder(tf.Module):
    """The token states of a post-norm encoder, with a copy of its weights.

    Args:
        backbone: A KerasHub backbone for which `is_post_norm` holds.
        activation: Name of a Keras activation or of one in Hugging Face
            configurations; None takes that of the backbone. KerasHub has the
            tanh form of GELU in every BERT, as in Google's code, while
            Hugging Face's BERT has the exact one; MiniLM's embeddings are a
            cosine distance of 1e-6 apart.
        dtype: Of the products: "float32" or "bfloat16". Norms, softmax and
            the sums along the layers stay in float32.
    """

    def __init__(
        self,
        backbone: Any,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(name="post_norm")
        tokens, positions = _embedding_tables(backbone)
        self._tokens, self._positions = _constant(tokens), _constant(positions)
        self._norm = _Norm(backbone.embeddings_layer_norm)
        self._blocks = [
            _Block(layer, _activation(activation), tf.as_dtype(dtype))
            for layer in backbone.transformer_layers
        ]

    def __call__(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns float32 `(batch, length, dim)` of int32 ids and mask."""
        shape = tf.shape(ids)
        x = tf.gather(self._tokens, ids) + self._positions[: shape[1]]
        x = self._norm(tf.reshape(x, [-1, x.shape[-1]]))
        hidden = (1.0 - tf.cast(mask, tf.float32)) * tf.float32.min
        for block in self._blocks:
            x = block(x, shape, hidden[:, None, None, :])
        return tf.reshape(x, [shape[0], shape[1], x.shape[-1]])


class _Norm(tf.Module):
    """Layer normalisation of `(tokens, dim)`."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._gamma, self._beta = _constant(layer.gamma), _constant(layer.beta)
        self._epsilon = layer.epsilon

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x -= tf.reduce_mean(x, axis=1, keepdims=True)
        variance = tf.reduce_mean(tf.square(x), axis=1, keepdims=True)
        return x * tf.math.rsqrt(variance + self._epsilon) * self._gamma + (
            self._beta
        )


class _Product(tf.Module):
    """`x @ kernel + bias` for `(tokens, dim)`, in the dtype of the kernel."""

    def __init__(self, kernel: Array, bias: Array, dtype: tf.DType) -> None:
        super().__init__()
        self._kernel = _constant(kernel, dtype)
        self._bias = _constant(bias, dtype)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.matmul(tf.cast(x, self._kernel.dtype), self._kernel)
        return tf.nn.bias_add(x, self._bias)


class _Block(tf.Module):
    """Attention and feed-forward layer, a norm behind the sum with each."""

    def __init__(self, layer: Any, activation: Any, dtype: tf.DType) -> None:
        super().__init__()
        attention = layer._self_attention_layer
        self._heads = layer.num_heads
        self._attention_in = _Product(*_projections(attention), dtype)
        out = attention.output_dense
        dim = out.kernel.shape[-1]
        self._attention_out = _Product(
            np.reshape(out.kernel, [-1, dim]), np.asarray(out.bias), dtype
        )
        self._attention_norm = _Norm(layer._self_attention_layer_norm)
        wide = layer._feedforward_intermediate_dense
        self._wide = _Product(wide.kernel, wide.bias, dtype)
        self._activation = activation or wide.activation
        narrow = layer._feedforward_output_dense
        self._narrow = _Product(narrow.kernel, narrow.bias, dtype)
        self._norm = _Norm(layer._feedforward_layer_norm)

    def __call__(
        self, x: tf.Tensor, shape: tf.Tensor, hidden: tf.Tensor
    ) -> tf.Tensor:
        y = self._attention_out(self._attend(x, shape, hidden))
        x = self._attention_norm(x + tf.cast(y, tf.float32))
        y = self._narrow(self._activation(self._wide(x)))
        return self._norm(x + tf.cast(y, tf.float32))

    def _attend(
        self, x: tf.Tensor, shape: tf.Tensor, hidden: tf.Tensor
    ) -> tf.Tensor:
        """Returns `(tokens, dim)`; `hidden` is added to the scores."""
        dim = x.shape[-1]
        split = [shape[0], shape[1], 3, self._heads, dim // self._heads]
        heads = tf.reshape(self._attention_in(x), split)
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query, key, transpose_b=True)
        share = tf.nn.softmax(tf.cast(scores, tf.float32) + hidden)
        attended = tf.matmul(tf.cast(share, value.dtype), value)
        return tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, dim])


def _embedding_tables(backbone: Any) -> tuple[Array, Array]:
    """Returns the tables of tokens and of positions."""
    if hasattr(backbone, "segment_embedding"):  # BERT: all is segment 0
        positions = backbone.position_embedding.position_embeddings
        segment = backbone.segment_embedding.embeddings[0]
        return backbone.token_embedding.embeddings, positions + segment
    layer = backbone.embeddings
    positions = layer.position_embedding.position_embeddings
    return layer.token_embedding.embeddings, positions


def _projections(attention: Any) -> tuple[Array, Array]:
    """Returns kernel and bias of query, key and value side by side."""
    layers = [
        attention.query_dense,
        attention.key_dense,
        attention.value_dense,
    ]
    dim, _, key_dim = layers[0].kernel.shape
    kernels = [np.reshape(layer.kernel, [dim, -1]) for layer in layers]
    biases = [np.reshape(layer.bias, [-1]) for layer in layers]
    # The scale of the scores, moved into the weights of the query.
    scale = np.float32(key_dim**-0.5)
    kernels[0], biases[0] = kernels[0] * scale, biases[0] * scale
    return np.concatenate(kernels, axis=1), np.concatenate(biases)


def _activation(name: str | None) -> Any:
    if name is None:
        return None
    # Keras' "gelu" is the exact one; so is Hugging Face's.
    tanh = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
    if name in tanh:
        return lambda x: tf.nn.gelu(x, approximate=True)
    return keras.activations.get(name)


def _constant(values: Any, dtype: tf.DType = tf.float32) -> tf.Variable:
    """Returns a variable, so that an exported graph stores it beside itself."""
    return tf.Variable(tf.cast(values, dtype), trainable=False)
