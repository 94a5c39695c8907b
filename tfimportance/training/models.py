"""A small model for those who bring none; what any model needs first."""

import keras

from tfimportance._checks import check_count
from tfimportance.training.batches import Batches


def dense_head(
    embedding_dim: int,
    *,
    hidden: int = 128,
    dropout: float = 0.2,
    learning_rate: float = 1e-3,
) -> keras.Model:
    """Returns a compiled model from embeddings to a probability.

    One hidden layer with dropout; Adam on binary cross-entropy. Unit-length
    embeddings are rescaled to unit variance, so that the learning rate does
    not depend on their dimension.

    Args:
        embedding_dim: Columns of the embeddings.
        hidden: Units of the hidden layer.
        dropout: Share of hidden units dropped in training, in [0, 1).
        learning_rate: Adam's step size.
    """
    check_count("embedding_dim", embedding_dim)
    inputs = keras.Input((embedding_dim,), name="embedding")
    x = keras.layers.Rescaling(embedding_dim**0.5)(inputs)
    x = keras.layers.Dense(hidden, activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(x)
    model = keras.Model(inputs, outputs, name="dense_head")
    model.compile(keras.optimizers.Adam(learning_rate), "binary_crossentropy")
    return model


def create_variables(model: keras.Model, batches: Batches) -> None:
    """Creates the variables, which Keras else does in the first step."""
    with model.distribute_strategy.scope():
        if not model.built:
            model(batches.first())
        model.optimizer.build(model.trainable_variables)
