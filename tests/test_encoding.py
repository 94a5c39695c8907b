import numpy as np
import pandas as pd
import pytest
import reference
import tensorflow as tf

from tfimportance import Examples, InputError
from tfimportance.encoding import combine_fields, encode, load_encoder

QUERY = ["red shoe", "", "bed", "red shoe", "a very long query", "bed"]
ITEM = ["Nike Air", "Sofa", "bed frame, oak", "shoe", "Nike Air", "Sofa"]


class Letters(tf.Module):
    """Counts of five letters and the length; remembers what it was given."""

    dim = 6

    def __init__(self):
        super().__init__(name="letters")
        self.seen = []

    def __call__(self, texts):
        if tf.executing_eagerly():
            self.seen.append([text.decode() for text in texts.numpy()])
        rest = [tf.strings.regex_replace(texts, c, "") for c in "aehos"]
        lengths = [tf.strings.length(t) for t in [*rest, texts]]
        return tf.cast(tf.stack(lengths, axis=1), tf.float32) / 7


def letters(texts):
    """The same in plain Python, float64."""
    rows = [[len(t.replace(c, "")) for c in "aehos"] + [len(t)] for t in texts]
    return np.array(rows, np.float64) / 7


def pairs(**columns):
    text = {name: np.array(c, object) for name, c in columns.items()}
    return Examples(text=text)


def test_each_row_gets_the_embedding_of_its_text():
    x = encode(Letters(), QUERY, batch_size=2)
    np.testing.assert_allclose(x, letters(QUERY), rtol=1e-6)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_each_different_text_is_encoded_once_the_longest_first(batch_size):
    encoder = Letters()
    encode(encoder, QUERY, batch_size=batch_size)
    seen = [text for batch in encoder.seen for text in batch]
    assert seen == ["a very long query", "red shoe", "bed", ""]
    assert max(map(len, encoder.seen)) <= batch_size


def test_columns_are_deduplicated_apart():
    encoder = Letters()
    encode(encoder, pairs(query=QUERY, item=ITEM))
    assert sum(map(len, encoder.seen)) == 4 + 4


@pytest.mark.parametrize(
    "texts",
    [
        pd.Series(QUERY),
        np.array(QUERY),
        np.array(QUERY, object),
        tuple(QUERY),
        pairs(only=QUERY),
    ],
    ids=["Series", "U", "object", "tuple", "Examples"],
)
def test_what_holds_strings_is_taken(texts):
    np.testing.assert_allclose(
        encode(Letters(), texts), letters(QUERY), rtol=1e-6
    )


def test_half_a_surrogate_pair_does_not_stop_the_run():
    x = encode(Letters(), ["shoe \ud83d", "shoe ?"])
    np.testing.assert_array_equal(x[0], x[1])


def test_many_rows_are_combined_in_pieces(monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.batching._ROWS", 4)
    x = encode(Letters(), pairs(query=QUERY, item=ITEM), fields="concat")
    expected = np.hstack([letters(QUERY), letters(ITEM)])
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def interaction(q, p):
    return reference.unit(np.hstack([q * p, np.abs(q - p)]))


EXPECTED = {
    "join": lambda q, p: letters(
        [f"{a} {b}" for a, b in zip(QUERY, ITEM, strict=True)]
    ),
    "interaction": interaction,
    "concat": lambda q, p: np.hstack([q, p]),
    "mean": lambda q, p: (q + p) / 2,
    "auto": interaction,
}


@pytest.mark.parametrize("fields", EXPECTED)
def test_two_columns(fields):
    examples = pairs(query=QUERY, item=ITEM)
    expected = EXPECTED[fields](letters(QUERY), letters(ITEM))
    np.testing.assert_allclose(
        encode(Letters(), examples, fields=fields), expected, atol=1e-6
    )


@pytest.mark.parametrize("fields", EXPECTED)
def test_the_graph_form_agrees_with_encode(fields):
    encoder = Letters()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def graph(query, item):
        return combine_fields(encoder, {"q": query, "i": item}, fields)

    expected = encode(encoder, pairs(query=QUERY, item=ITEM), fields=fields)
    np.testing.assert_allclose(
        graph(tf.constant(QUERY), tf.constant(ITEM)), expected, atol=1e-6
    )


def test_three_columns_are_joined_by_default():
    x = encode(Letters(), pairs(a=QUERY, b=ITEM, c=QUERY))
    joined = [" ".join(t) for t in zip(QUERY, ITEM, QUERY, strict=True)]
    np.testing.assert_allclose(x, letters(joined), rtol=1e-6)
    x = encode(Letters(), pairs(a=QUERY, b=ITEM, c=QUERY), fields="mean")
    expected = (2 * letters(QUERY) + letters(ITEM)) / 3
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_the_order_of_the_columns_counts():
    one = encode(Letters(), pairs(z=QUERY, a=ITEM), fields="concat")
    np.testing.assert_allclose(one[:, :6], letters(QUERY), rtol=1e-6)


def test_a_pair_of_empty_texts_gives_no_nan():
    x = encode(Letters(), pairs(query=["", "a"], item=["", "b"]))
    np.testing.assert_array_equal(x[0], np.zeros(12))


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


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "`examples` must hold at least one text"),
        ("a text", "Put the text into a list"),
        (["a", None], "strings. Received: None in row 1"),
        (["a", b"b"], "strings. Received: b'b' in row 1"),
        ([["a"], ["b"]], "in one dimension"),
    ],
)
def test_texts_that_are_none(texts, message):
    with pytest.raises(InputError, match=message):
        encode(Letters(), texts)


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        (2, "joined", "Did you mean 'join'"),
        (1, "interaction", "exactly two text columns. Received: 1 column"),
        (3, "interaction", "exactly two text columns. Received: 3 column"),
    ],
)
def test_fields_that_do_not_suit(columns, fields, message):
    texts = {f"c{i}": np.array(QUERY, object) for i in range(columns)}
    with pytest.raises(InputError, match=message):
        encode(Letters(), Examples(text=texts), fields=fields)
    with pytest.raises(InputError, match=message):
        combine_fields(Letters(), texts, fields)


def test_no_columns_at_all():
    with pytest.raises(InputError, match="at least one column"):
        combine_fields(Letters(), {})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: tf.ones([3, 2]), r"shape \(3, 2\) for 2 texts"),
        (lambda t: tf.ones([len(t)]), r"shape \(2,\) for 2 texts"),
        (lambda t: tf.ones([len(t), len(t)]), r"shape \(1, 1\) for 1 texts"),
        (lambda t: tf.ones([len(t), 0]), r"shape \(2, 0\)"),
        (lambda t: [[1, np.nan]] * len(t), "NaN or infinity for 2 of 2 texts"),
    ],
    ids=["rows", "rank", "changing dim", "no dim", "NaN"],
)
def test_encoders_that_misbehave(function, message):
    with pytest.raises(InputError, match=message):
        encode(function, ["a", "b", "c"], batch_size=2)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_batch_sizes_that_are_none(batch_size):
    with pytest.raises(InputError, match="`batch_size` must be an integer"):
        encode(Letters(), QUERY, batch_size=batch_size)


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
            "a Hugging Face BERT without model.safetensors, tokenizer_config",
        ),
        (
            {"config.json": '{"static_format": 1}'},
            "a static encoder without model.safetensors, vocab.txt",
        ),
        (
            {"config.json": '{"registered_name": "x"}', "tokenizer.json": ""},
            "a checkpoint of a BERT model.*a 'x'",
        ),
    ],
)
def test_folders_without_an_encoder(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load_encoder(tmp_path)
