import keras
import numpy as np
import pytest
import tensorflow as tf
from served import (
    DIM,
    TEXTS,
    HashEncoder,
    ask,
    dense,
    listing,
    saved_model,
    sequential,
)

from tfimportance import InputError, TargetSet, export


@pytest.fixture(scope="module")
def encoder():
    return HashEncoder()


@pytest.fixture(scope="module")
def model():
    return dense()


@pytest.mark.parametrize(
    ("column", "name"),
    [("Review Text", "Review_Text"), ("prix (€)", "prix____"), ("a.b", "a_b")],
)
def test_column_names_become_input_names(
    encoder, model, tmp_path, column, name
):
    version = export(model, encoder, tmp_path, text=[column])
    assert list(
        saved_model(version).signature_def["serving_default"].inputs
    ) == [name]
    assert ask(version, **{name: TEXTS}).shape == (len(TEXTS),)


@pytest.mark.parametrize(
    "text",
    [
        "review",
        [],
        [""],
        ["1st"],
        ["_id"],
        ["商品名"],
        ["class"],
        ["self"],
        ["label"],
        ["Query", "query"],
        ["a b", "a-b"],
        ["a", "a"],
    ],
)
def test_names_that_no_input_can_have(encoder, model, tmp_path, text):
    with pytest.raises(InputError, match=r"^`text` must .* Received: text="):
        export(model, encoder, tmp_path / "new", text=text)
    assert listing(tmp_path) == []


def two_outputs():
    inputs = keras.Input((DIM,))
    outputs = [keras.layers.Dense(1, activation="sigmoid")(inputs)] * 2
    return keras.Model(inputs, outputs)


def diverged():
    model = sequential(keras.layers.Dense(1, activation="sigmoid"))
    model.set_weights([np.full((DIM, 1), np.nan), np.zeros(1)])
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: dense(DIM + 1),
            r"embedding of shape \(None, 24\).*\(None, 25\)",
        ),
        (
            lambda: sequential(keras.layers.Dense(2, activation="softmax")),
            r"one probability for each row.*\(None, 2\)",
        ),
        (two_outputs, "one probability for each row.*list"),
        (
            lambda: keras.Sequential([keras.layers.Dense(1)]),
            "`model` must be built",
        ),
        (
            lambda: sequential(keras.layers.Dense(1, bias_initializer="ones")),
            r"probabilities in \[0, 1\]",
        ),
        (diverged, r"probabilities in \[0, 1\].*nan"),
    ],
)
def test_models_that_do_not_fit(encoder, tmp_path, make, message):
    with pytest.raises(InputError, match=message) as error:
        export(make(), encoder, tmp_path / "new")
    assert "\n" not in str(error.value)
    assert listing(tmp_path) == []


def test_logits_are_no_probabilities(encoder, tmp_path):
    """Though those of the few texts that are tried happen to be in [0, 1]."""
    layer = keras.layers.Dense(
        1, kernel_initializer="zeros", bias_initializer="ones"
    )
    model = sequential(layer)
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    with pytest.raises(InputError, match="from_logits=True"):
        export(model, encoder, tmp_path / "new")
    layer.set_weights([np.eye(DIM, 1), np.full(1, 0.5)])
    model.compile(loss="mse")
    targets = TargetSet(9 * np.eye(DIM))
    mine = HashEncoder()
    mine.table.assign(mine.table * 0)
    with pytest.raises(InputError, match=r"0\.5 to 9\.5.*`targets`"):
        export(model, mine, tmp_path / "new", targets=targets)
    assert listing(tmp_path) == []


def test_an_encoder_that_needs_python(model, tmp_path):
    def python_encoder(texts):
        lengths = tf.numpy_function(
            lambda t: np.ones((len(t), DIM), np.float32), [texts], tf.float32
        )
        return tf.ensure_shape(lengths, (None, DIM))

    with pytest.raises(InputError, match="calls Python"):
        export(model, python_encoder, tmp_path / "new")
    assert listing(tmp_path) == []


def test_an_encoder_that_fails_on_some_texts(model, tmp_path):
    def only_known_words(texts):
        ids = tf.where(texts == "a", 1, -1)
        return tf.gather(tf.ones((2, DIM)), ids)

    with pytest.raises(InputError, match="must answer the texts") as error:
        export(model, only_known_words, tmp_path / "new")
    assert "\n" not in str(error.value)
    assert listing(tmp_path) == []


def test_a_model_without_inputs_of_its_own_needs_an_encoder(tmp_path):
    class Mean(keras.Model):
        def call(self, x):
            return keras.ops.sigmoid(keras.ops.mean(x, axis=1, keepdims=True))

    model = Mean()
    model(np.zeros((1, DIM)))
    with pytest.raises(InputError, match="with inputs where there is no"):
        export(model, None, tmp_path / "new")
    assert listing(tmp_path) == []
