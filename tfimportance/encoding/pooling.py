"""One vector for a text out of the states of its tokens."""

import tensorflow as tf

POOLINGS = ("mean", "cls", "last")


def pool(states: tf.Tensor, mask: tf.Tensor, pooling: str) -> tf.Tensor:
    """Returns `(batch, dim)` of the token states.

    - `mean`: over all tokens, start and end included, as
      sentence-transformers does;
    - `cls`: the first token;
    - `last`: the last token, the only one that has seen all others in a
      causal model.

    Args:
        states: Float `(batch, length, dim)`.
        mask: Int32 `(batch, length)`, 1 for tokens and 0 for the padding, which
            stands behind; each row has a token.
        pooling: One of `POOLINGS`.
    """
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        last = tf.reduce_sum(mask, axis=1) - 1
        return tf.gather(states, last, axis=1, batch_dims=1)
    share = tf.cast(mask, states.dtype)
    share /= tf.reduce_sum(share, axis=1, keepdims=True)
    return tf.einsum("bld,bl->bd", states, share)
