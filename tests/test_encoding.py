import numpy as np
import pytest
import tensorflow as tf
from letters import ITEM, QUERY, Letters, pairs

from tfimportance import InputError
from tfimportance.encoding import combine_fields, encode, load_encoder


@pytest.mark.parametrize(
    "fields", ["auto", "join", "interaction", "concat", "mean"]
)
def test_the_graph_form_agrees_with_encode(fields):
    encoder = Letters()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def graph(query, item):
        return combine_fields(encoder, {"q": query, "i": item}, fields)

    expected = encode(encoder, pairs(query=QUERY, item=ITEM), fields=fields)
    np.testing.assert_allclose(
        graph(tf.constant(QUERY), tf.constant(ITEM)), expected, atol=1e-6
    )


def test_a_function_and_a_keras_model_are_encoders():
    import keras

    def lengths(texts):
        return np.array([[len(text), 1.0] for text in texts.numpy()])

    encoder = load_encoder(lengths)
    assert (encoder.name, encoder.dim) == ("lengths", 2)
    assert encode(encoder, ["abc", "d"]).tolist() == [[3, 1], [1, 1]]
    words = keras.layers.TextVectorization(
        vocabulary=["red", "bed"], output_mode="count"
    )
    text = keras.Input((), dtype="string")
    encoder = load_encoder(keras.Model(text, words(text), name="bag-of-words"))
    assert (encoder.name, encoder.dim) == ("bag_of_words", 3)
    assert encode(encoder, ["bed red bed", "x"]).tolist() == [
        [0, 1, 2],
        [1, 0, 0],
    ]
    assert load_encoder(encoder) is encoder


def test_no_columns_at_all():
    with pytest.raises(InputError, match="at least one column"):
        combine_fields(Letters(), {})


@pytest.mark.parametrize("source", ["statik", 5, None])
def test_sources_of_no_kind(source):
    with pytest.raises(InputError, match=f"source={source!r}"):
        load_encoder(source)


def test_functions_that_give_no_embeddings():
    with pytest.raises(InputError, match="output of shape"):
        load_encoder(tf.strings.length)


def test_a_missing_folder():
    with pytest.raises(FileNotFoundError, match=r"`source`.*'no/such/folder'"):
        load_encoder("no/such/folder")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "without config.json"),
        ({"config.json": "{"}, "config.json: Expecting"),
        ({"config.json": "[]"}, "a config.json of no known kind"),
        (
            {"config.json": '{"model_type": "bert"}', "vocab.txt": ""},
            "a Hugging Face checkpoint without tokenizer_config.json",
        ),
        (
            {"config.json": '{"static_format": 1}'},
            "a static encoder without model.safetensors, vocab.txt",
        ),
        (
            {"config.json": '{"registered_name": "x"}', "tokenizer.json": ""},
            "a whole checkpoint of a family that KerasHub reads",
        ),
    ],
)
def test_folders_without_an_encoder(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load_encoder(tmp_path)
