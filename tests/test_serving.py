import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from served import (
    BUCKETS,
    DIM,
    TEXTS,
    HashEncoder,
    TableEncoder,
    ask,
    dense,
    embedded,
    listing,
    probability,
    saved_model,
    sequential,
    size,
)

from tfimportance import dense_head, encode, export, load_encoder, load_examples


@pytest.fixture(scope="module")
def encoder():
    return HashEncoder()


@pytest.fixture(scope="module")
def model():
    return dense()


@pytest.fixture(scope="module")
def version(encoder, model, tmp_path_factory):
    return export(model, encoder, tmp_path_factory.mktemp("m"), text=["review"])


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_any_batch_size(encoder, model, version, rows):
    texts = [f"{TEXTS[i % 3]} size {i}" for i in range(rows)]
    answers = ask(version, review=np.array(texts, object))
    assert answers.shape == (rows,)
    if rows:
        expected = probability(model, embedded(encoder, texts))
        np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_pairs_in_the_order_asked_for(encoder, tmp_path):
    """`query` stands first, though the alphabet says otherwise."""
    model = dense(2 * DIM)
    query, product = ["red shoe", "", "bed"], ["shoe for men", "a b", ""]
    q, p = embedded(encoder, query), embedded(encoder, product)
    version = export(
        model, encoder, tmp_path, text=["query", "product"], fields="concat"
    )
    expected = probability(model, np.concatenate([q, p], 1))
    answers = ask(version, product=product, query=query)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    swapped = ask(version, product=query, query=product)
    assert np.abs(swapped - expected).max() > 1e-3


def test_two_columns_interact_by_default(encoder, tmp_path):
    model = dense(2 * DIM)
    query, product = ["red shoe", "bed"], ["shoe for men", "a b"]
    q, p = embedded(encoder, query), embedded(encoder, product)
    pair = np.concatenate([q * p, np.abs(q - p)], 1)
    pair /= np.linalg.norm(pair, axis=1, keepdims=True)
    version = export(model, encoder, tmp_path, text=["query", "product"])
    np.testing.assert_allclose(
        ask(version, query=query, product=product),
        probability(model, pair),
        atol=1e-5,
    )


def test_lookup_tables_travel_along(model, tmp_path):
    encoder = TableEncoder()
    version = export(model, encoder, tmp_path)
    x = embedded(encoder, ["bed", "wood", "other"])
    expected = probability(model, x * [[1.5], [2.5], [0.5]])
    answers = ask(version, text=["bed", "wood", "other"])
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_a_keras_encoder_with_a_vocabulary(tmp_path):
    words = keras.layers.TextVectorization(
        output_mode="multi_hot", vocabulary=["bed", "wood", "robe"]
    )
    encoder = load_encoder(
        keras.Sequential([keras.Input((), dtype="string"), words])
    )
    model = sequential(
        keras.layers.Dense(1, activation="sigmoid"), columns=encoder.dim
    )
    version = export(model, encoder, tmp_path)
    kernel, bias = model.get_weights()
    hot = np.array([[0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(
        ask(version, text=["bed", "wood robe", "other", ""]),
        1 / (1 + np.exp(-(hot @ kernel + bias)[:, 0])),
        atol=1e-5,
    )


def test_models_of_other_kinds(encoder, tmp_path):
    """Functional with a flat output; a subclass; half precision."""
    inputs = keras.Input((DIM,))
    flat = keras.ops.sigmoid(keras.ops.mean(inputs, axis=1))

    class Mean(keras.Model):
        def call(self, x):
            return keras.ops.sigmoid(keras.ops.mean(x, axis=1, keepdims=True))

    mean = Mean()
    mean(np.zeros((1, DIM)))
    x = embedded(encoder, TEXTS)
    expected = 1 / (1 + np.exp(-x.mean(1)))
    for model in (keras.Model(inputs, flat), mean):
        answers = ask(export(model, encoder, tmp_path), text=TEXTS)
        np.testing.assert_allclose(answers, expected, atol=1e-5)
    half = keras.layers.Dense(1, activation="sigmoid", dtype="mixed_float16")
    model = keras.Sequential([keras.Input((DIM,)), half])
    assert ask(export(model, encoder, tmp_path), text=TEXTS).dtype == np.float32


def test_the_signature_is_text_to_probability(version):
    serve = saved_model(version).signature_def["serving_default"]
    assert serve.method_name == "tensorflow/serving/predict"

    def facts(tensors):
        return {
            name: (tensor.dtype, [d.size for d in tensor.tensor_shape.dim])
            for name, tensor in tensors.items()
        }

    assert facts(serve.inputs) == {"review": (tf.string.as_datatype_enum, [-1])}
    assert facts(serve.outputs) == {
        "probability": (tf.float32.as_datatype_enum, [-1])
    }


@pytest.mark.parametrize("kind", ["variable", "constant"])
def test_every_weight_is_stored_once(tmp_path, kind):
    encoder = HashEncoder()
    if kind == "constant":
        encoder.table = tf.constant(encoder.table)
    model = sequential(
        keras.layers.Dense(20_000, activation="tanh"),
        keras.layers.Dense(1, activation="sigmoid"),
    )
    weights = 4 * (BUCKETS * DIM + model.count_params())  # 1.9 and 2.1 MB
    version = export(model, encoder, tmp_path)
    assert weights < size(version) < weights + 150_000


def test_only_weights_a_graph_and_its_papers_are_stored(version):
    assert listing(version) == [
        "MODEL_CARD.md",
        "assets",
        "assets.extra",
        "assets.extra/tf_serving_warmup_requests",
        "fingerprint.pb",
        "saved_model.pb",
        "signature.json",
        "variables",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


@pytest.fixture(scope="module")
def static():
    return load_encoder("static")


@pytest.mark.parametrize(
    ("fields", "columns"),
    [("join", 2), ("interaction", 2), ("mean", 3)],
)
def test_the_shipped_encoder_answers_as_the_pipeline_does(
    static, tmp_path, fields, columns
):
    names = ["title", "Review Text", "colour"][:columns]
    rng = np.random.default_rng(columns)
    short = [text for text in TEXTS if len(text) < 100]
    rows = rng.choice(short, (1000, columns)).astype(object)
    rows[: len(TEXTS), 0] = TEXTS
    examples = load_examples(pd.DataFrame(rows, columns=names), text=names)
    x = encode(static, examples, fields=fields, progress=False)
    keras.utils.set_random_seed(7)
    model = dense_head(x.shape[1])
    expected = model.predict(x, verbose=0)[:, 0]
    version = export(model, static, tmp_path, text=names, fields=fields)
    for batch in (slice(1), slice(0, 1000)):
        texts = dict(zip(names, rows[batch].T, strict=True))
        texts["Review_Text"] = texts.pop("Review Text")
        answers = ask(version, **texts)
        np.testing.assert_allclose(answers, expected[batch], atol=1e-5)
