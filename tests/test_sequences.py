import keras
import numpy as np
import pytest
import tensorflow as tf

from tfimportance import (
    AttentionPooling,
    InputError,
    encode_sequences,
    fit,
    model_embeddings,
    sequence_model,
)

SEQUENCES = [["red", "oak bed", "sofa"], [], ["sofa"], ["a", "red"], ["", "a"]]
rng = np.random.default_rng(23)
VECTORS = {
    text: rng.standard_normal(3).astype(np.float32)
    for row in SEQUENCES
    for text in [*row, "query"]
} | {"": np.zeros(3, np.float32)}


class Table:
    """Looks each text up, and remembers what it was asked."""

    def __init__(self):
        self.seen = []

    def __call__(self, texts):
        texts = [text.decode() for text in texts.numpy()]
        self.seen += texts
        return tf.constant([VECTORS[text] for text in texts])


def shares(row, pooling, query=None, half_life=5.0, scale=4.0):
    """The share of each text of a row, in plain Python."""
    if pooling == "mean":
        power = [1.0] * len(row)
    elif pooling == "recency":
        power = [0.5 ** (later / half_life) for later in range(len(row))][::-1]
    else:
        query = VECTORS[row[-1] if query is None else query]
        power = [np.exp(scale * cosine(query, VECTORS[text])) for text in row]
    return np.array(power) / sum(power)


def cosine(a, b):
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b) / length if length else 0.0


def expected(sequences, pooling, queries=None, **settings):
    rows = []
    for number, row in enumerate(sequences):
        query = None if queries is None else queries[number]
        parts = shares(row, pooling, query, **settings) if row else []
        pairs = zip(parts, row, strict=True)
        rows.append(sum((a * VECTORS[x] for a, x in pairs), np.zeros(3)))
    return np.array(rows)


@pytest.mark.parametrize(
    ("pooling", "settings"),
    [
        ("mean", {}),
        ("recency", {}),
        ("recency", {"half_life": 0.5}),
        ("attention", {}),
        ("attention", {"scale": 0.3}),
        ("attention", {"queries": ["sofa", "a", "red", "query", "a"]}),
        ("attention", {"queries": ["", "a", "red", "a", "query"], "scale": 9}),
    ],
)
def test_pooled_without_training(pooling, settings):
    x = encode_sequences(Table(), SEQUENCES, pooling=pooling, **settings)
    assert x.dtype == np.float32
    rows = expected(SEQUENCES, pooling, **settings)
    np.testing.assert_allclose(x, rows, rtol=1e-5, atol=1e-6)
    assert not x[1].any()


def test_recency_by_hand():
    x = encode_sequences(
        Table(), [["a", "red", "sofa"]], pooling="recency", half_life=1
    )
    by_hand = (VECTORS["a"] + 2 * VECTORS["red"] + 4 * VECTORS["sofa"]) / 7
    np.testing.assert_allclose(x[0], by_hand, rtol=1e-5)


def test_prefixes_stand_before_items_and_queries():
    table = Table()
    table.prefixes = ("", "que")
    queries = ["ry"] * 5
    x = encode_sequences(table, SEQUENCES, pooling="attention", queries=queries)
    rows = expected(SEQUENCES, "attention", ["query"] * 5)
    np.testing.assert_allclose(x, rows, rtol=1e-5, atol=1e-6)
    assert table.prefixes == ("", "que")


def test_strong_attention_takes_the_text_nearest_to_the_query():
    queries = ["oak bed", "a", "sofa", "a", "a"]
    x = encode_sequences(
        Table(), SEQUENCES, pooling="attention", queries=queries, scale=1e5
    )
    nearest = [VECTORS[text] for text in ["oak bed", "sofa", "a", "a"]]
    np.testing.assert_allclose(x[[0, 2, 3, 4]], nearest, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "recency", "attention", "none"])
def test_each_different_text_is_encoded_once(pooling):
    table = Table()
    encode_sequences(table, SEQUENCES, pooling=pooling, batch_size=2)
    assert sorted(table.seen) == ["", "a", "oak bed", "red", "sofa"]


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_only_the_latest_texts_count(length):
    x = encode_sequences(Table(), SEQUENCES, length=length)
    rows = expected([row[-length:] for row in SEQUENCES], "mean")
    np.testing.assert_allclose(x, rows, rtol=1e-5)


def test_padded_in_front_for_trainable_attention():
    padded = encode_sequences(Table(), SEQUENCES, pooling="none", length=2)
    assert padded.shape == (5, 2, 3)
    assert not padded[1].any()
    np.testing.assert_array_equal(
        padded[0], [VECTORS["oak bed"], VECTORS["sofa"]]
    )
    np.testing.assert_array_equal(padded[2], [np.zeros(3), VECTORS["sofa"]])
    inputs = keras.Input((None, 3))
    pooled = AttentionPooling()(keras.layers.Masking()(inputs))
    rows = expected([row[-2:] for row in SEQUENCES], "mean")
    rows[4] = VECTORS["a"]  # a text without an embedding is like padding
    result = keras.Model(inputs, pooled).predict(padded, verbose=0)
    np.testing.assert_allclose(result, rows, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences": ["ab"]}, "`sequences` must hold lists .*'ab' in row 0"),
        ({"sequences": [["a"], None]}, "None in row 1.*use \\[\\] for none"),
        ({"sequences": [["a", 7]]}, "`sequences` must hold strings.* 7"),
        ({"sequences": [[], []]}, "at least one text"),
        ({"pooling": "last"}, "`pooling` must be one of"),
        ({"queries": ["a"] * 5}, "`queries` needs `pooling` 'attention'"),
        ({"queries": ["a"], "pooling": "attention"}, r"`queries`.*\(5,\)"),
        ({"queries": [1] * 5, "pooling": "attention"}, "`queries` must hold"),
        ({"half_life": 0}, "`half_life` must be"),
        ({"scale": -1}, "`scale` must be"),
        ({"length": 0}, "`length` must be"),
    ],
)
def test_bad_sequences(change, message):
    with pytest.raises(InputError, match=message) as error:
        encode_sequences(Table(), **{"sequences": SEQUENCES} | change)
    assert "\n" not in str(error.value)


HISTORY = np.array([[0, 3, 5], [4, 4, 1], [0, 0, 0], [0, 0, 2]], np.int32)
PAIR = {"history": HISTORY, "item": np.array([[3], [1], [5], [2]], np.int32)}


def table_of(model, name):
    return model.get_layer(name).items.get_weights()[0].astype(np.float64)


def test_embeddings_of_a_history():
    model = sequence_model(6, dim=4)
    x = model_embeddings(model, HISTORY, batch_size=3)
    assert x.dtype == np.float32
    table = table_of(model, "embedding")  # untrained attention is the mean
    rows = [(table[3] + table[5]) / 2, (2 * table[4] + table[1]) / 3]
    rows += [np.zeros(4), table[2]]
    np.testing.assert_allclose(x, rows, rtol=1e-5, atol=1e-8)


def test_embeddings_relate_the_user_to_the_item():
    model = sequence_model(6, dim=4, candidate=True)
    x = model_embeddings(model, PAIR)
    assert x.shape == (4, 8)
    table = table_of(model, "encoder")
    user, item = (table[3] + table[5]) / 2, table[3]
    np.testing.assert_allclose(
        x[0], [*(user * item), *abs(user - item)], rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(x[3, 4:], 0, atol=1e-8)


@pytest.mark.parametrize("candidate", [False, True])
def test_sequence_model_is_reloaded_and_served(candidate, tmp_path):
    model = sequence_model(6, dim=4, positions=2, candidate=candidate)
    rows = PAIR if candidate else HISTORY
    fit(model, rows, [1, 0, 1, 0], epochs=2, seed=1)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    before = model.predict(rows, verbose=0)
    np.testing.assert_array_equal(again.predict(rows, verbose=0), before)
    np.testing.assert_array_equal(
        model_embeddings(again, rows), model_embeddings(model, rows)
    )
    fit(again, rows, [1, 0, 1, 0], epochs=1)  # the optimizer came along
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    one = keras.tree.map_structure(lambda part: part[:1], rows)
    np.testing.assert_allclose(loaded.serve(one), before[:1], rtol=1e-5)


def test_bad_layers():
    model = sequence_model(6, dim=4, candidate=True)
    with pytest.raises(InputError, match=r"`layer` must be one of.*'encoder'"):
        model_embeddings(model, PAIR, layer="enkoder")
    users = model_embeddings(model, PAIR, layer="encoder")  # its first use
    table = table_of(model, "encoder")
    np.testing.assert_allclose(users[0], (table[3] + table[5]) / 2, rtol=1e-5)
    cube = keras.Sequential(
        [keras.Input((2,)), keras.layers.Embedding(3, 4, name="embedding")]
    )
    with pytest.raises(InputError, match=r"one vector.*\(None, 2, 4\)"):
        model_embeddings(cube, HISTORY[:, :2])

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Dense(2, name="embedding")

    unbuilt = keras.Sequential([keras.layers.Dense(2, name="embedding")])
    for model, kind in ((Own(), "Own"), (unbuilt, "Sequential")):
        with pytest.raises(InputError, match=f"functional.* of type {kind}"):
            model_embeddings(model, HISTORY)


def test_a_layer_of_a_sequential_model():
    hidden = keras.layers.Dense(2, activation="relu")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(1)])
    x = rng.standard_normal((5, 3)).astype(np.float32)
    result = model_embeddings(model, x, layer=hidden.name)
    kernel, bias = hidden.get_weights()
    np.testing.assert_allclose(
        result, np.maximum(x @ kernel + bias, 0), rtol=1e-5, atol=1e-6
    )
