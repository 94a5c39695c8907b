import keras
import numpy as np
import pytest
import tensorflow as tf

from tfimportance import AttentionPooling, InputError, SequenceEncoder
from tfimportance.encoding.attention import recency

rng = np.random.default_rng(17)
X = rng.standard_normal((5, 6, 3)) + 0.2
QUERY = 4 * rng.standard_normal(3)
BIAS = rng.standard_normal(4)
MASK = np.array(
    [
        [0, 0, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
    ],
    bool,
)
IDS = np.array(
    [[0, 0, 4, 1], [2, 3, 4, 1], [0, 4, 0, 2], [0, 0, 0, 0], [1, 1, 1, 5]],
    np.int32,
)
TABLE = rng.standard_normal((6, 3))


def pool(x, mask, query=QUERY, bias=BIAS):
    """Pooled `(batch, dim)` and shares, in plain float64."""
    pooled, shares = np.zeros((len(x), x.shape[2])), np.zeros(x.shape[:2])
    for row, values in enumerate(np.asarray(x, np.float64)):
        places = np.flatnonzero(mask[row])
        for later, place in enumerate(places[::-1]):
            score = values[place] @ query / np.sqrt(len(query))
            score += bias[min(later, len(bias) - 1)]
            shares[row, place] = np.exp(score)
        if len(places):
            shares[row] /= shares[row].sum()
        pooled[row] = shares[row] @ values
    return pooled, shares


def pooling(dtype=None, **settings):
    layer = AttentionPooling(**({"positions": 4} | settings), dtype=dtype)
    layer.build((None, None, 3))
    layer.set_weights([QUERY, BIAS])
    return layer


def encoder(dtype=None):
    layer = SequenceEncoder(6, dim=3, positions=4, dtype=dtype, name="user")
    layer.build((None, None))
    layer.set_weights([TABLE, QUERY, BIAS])
    return layer


def ids_model(dtype=None):
    inputs = keras.Input((None,), dtype="int32")
    return keras.Model(inputs, encoder(dtype)(inputs))


def test_values_with_padding_anywhere():
    layer, x = pooling(), X.astype(np.float32)
    pooled, shares = pool(X, MASK)
    np.testing.assert_allclose(layer(x, mask=MASK), pooled, rtol=2e-5)
    np.testing.assert_allclose(layer.attention(x, MASK), shares, rtol=2e-5)


def test_two_positions_by_hand():
    layer = AttentionPooling(positions=2)
    x = np.array([[[4.0, 0.0, 0.0, 0.0], [0.0, 8.0, 0.0, 0.0]]])
    layer.build(x.shape)
    layer.set_weights([np.array([0.5, 0, 0, 0]), np.array([np.log(2), 0.0])])
    # Scores 4 * 0.5 / 2 + 0 and 0 + log(2): shares e and 2.
    first, last = np.e / (np.e + 2), 2 / (np.e + 2)
    expected = [[4 * first, 8 * last, 0, 0]]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6)


def test_recency_counts_the_real_positions_behind():
    later = recency(tf.constant(MASK[[0, 1, 2]])).numpy()
    assert later[0, 2:].tolist() == [3, 2, 1, 0]
    assert later[1, :3].tolist() == [2, 1, 0]
    assert later[2, [0, 2, 3, 5]].tolist() == [3, 2, 1, 0]


def test_without_a_mask_all_positions_count():
    everything = np.ones(X.shape[:2], bool)
    pooled, shares = pool(X, everything)
    np.testing.assert_allclose(pooling()(X), pooled, rtol=2e-5)
    np.testing.assert_allclose(pooling().attention(X), shares, rtol=2e-5)


def test_untrained_it_is_the_mean():
    layer = AttentionPooling()
    expected = X[2][MASK[2]].mean(axis=0)
    np.testing.assert_allclose(layer(X, mask=MASK)[2], expected, rtol=2e-6)


def test_positions_zero_forget_the_order():
    layer = AttentionPooling(positions=0)
    layer.build(X.shape)
    layer.query.assign(QUERY)
    assert [w.name for w in layer.trainable_weights] == ["query"]
    np.testing.assert_allclose(layer(X), layer(X[:, ::-1]), rtol=2e-5)
    shuffled = pooling()(X[:, ::-1])
    assert np.abs(pooling()(X) - shuffled).max() > 0.01


def test_what_lies_in_the_padding_does_not_count():
    dirty = np.where(MASK[..., None], X, np.nan)
    result = pooling()(dirty, mask=MASK)
    np.testing.assert_allclose(result, pool(X, MASK)[0], rtol=2e-5)


@pytest.mark.parametrize("shape", [(3, 4, 3), (2, 0, 3), (0, 4, 3)])
def test_only_padding_gives_zero_and_a_finite_gradient(shape):
    layer, x = pooling(), tf.ones(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = layer(x, mask=tf.zeros(shape[:2], tf.bool))
    assert pooled.shape == (shape[0], 3)
    assert not pooled.numpy().any()
    for gradient in tape.gradient(pooled, [x, *layer.trainable_weights]):
        assert not tf.convert_to_tensor(gradient).numpy().any()


def test_gradient_agrees_with_finite_differences():
    layer = pooling("float64")
    ahead = [rng.standard_normal(w.shape) for w in (X, QUERY, BIAS)]
    factor = np.arange(1.0, 16).reshape(5, 3)

    def total(step):
        x, query, bias = (
            value + step * way
            for value, way in zip((X, QUERY, BIAS), ahead, strict=True)
        )
        return (pool(x, MASK, query, bias)[0] * factor).sum()

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, mask=MASK) * factor)
    gradients = tape.gradient(loss, [x, *layer.trainable_weights])
    slope = sum(
        np.sum(tf.convert_to_tensor(gradient).numpy() * way)
        for gradient, way in zip(gradients, ahead, strict=True)
    )
    finite = (total(1e-6) - total(-1e-6)) / 2e-6
    assert slope == pytest.approx(finite, rel=1e-6)


def test_encoder_looks_up_and_pools():
    pooled, shares = pool(TABLE[IDS], IDS != 0)
    np.testing.assert_allclose(encoder()(IDS), pooled, rtol=2e-5)
    np.testing.assert_allclose(encoder().attention(IDS), shares, rtol=2e-5)
    assert not encoder()(IDS)[3].numpy().any()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_ids_of_any_type(dtype):
    pooled, _ = pool(TABLE[IDS], IDS != 0)
    np.testing.assert_allclose(encoder()(IDS.astype(dtype)), pooled, rtol=2e-5)


def test_neither_side_nor_amount_of_padding_counts():
    forms = [[4, 2, 1], [0, 0, 4, 2, 1], [4, 2, 1, 0], [0, 4, 0, 2, 0, 1, 0]]
    results = [encoder()(np.array([ids])).numpy() for ids in forms]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)
    assert np.abs(results[0] - encoder()(np.array([[2, 4, 1]]))).max() > 0.01


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ids_that_are_not_in_the_table_count_as_padding(jit_compile):
    call = tf.function(encoder(), jit_compile=jit_compile)
    expected = encoder()(np.array([[4, 1], [0, 0]]))
    result = call(tf.constant([[4, 6, -1, 1], [99, 0, 6, -7]]))
    np.testing.assert_allclose(result, expected, rtol=2e-5)


def test_ids_beyond_32_bits_count_as_padding():
    far = np.array([[4, 2**32 + 1, 1, 2**31 + 3]], np.int64)
    expected = encoder()(np.array([[4, 1]]))
    np.testing.assert_allclose(encoder()(far), expected, rtol=2e-5)


def test_a_sequence_of_one_is_the_row_of_the_table():
    ids = np.array([[5], [2]])
    np.testing.assert_allclose(encoder()(ids), TABLE[[5, 2]], rtol=1e-6)


def test_the_same_in_every_way_of_running():
    model = ids_model()
    expected, _ = pool(TABLE[IDS], IDS != 0)
    for result in (
        model(IDS),
        tf.function(model)(IDS),
        tf.function(model, jit_compile=True)(IDS),
        model.predict(IDS, batch_size=2, verbose=0),
    ):
        np.testing.assert_allclose(result, expected, rtol=2e-5, atol=1e-7)


def test_config_round_trips():
    for layer in (
        AttentionPooling(positions=7, name="look", dtype="mixed_bfloat16"),
        SequenceEncoder(9, dim=5, positions=0, name="u", trainable=False),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert again.name == layer.name
    assert again.get_config()["vocabulary_size"] == 9
    assert again.get_config()["dim"] == 5
    assert again.get_config()["positions"] == 0
    assert not again.trainable
    assert (
        layer.get_config()
        == SequenceEncoder(
            9, dim=5, positions=0, name="u", trainable=False
        ).get_config()
    )


def test_settings_may_be_numpy_integers():
    size, dim, positions = np.array([6, 3, 4], np.int32)
    layer = SequenceEncoder(size, dim=dim, positions=positions, name="user")
    assert layer.get_config() == encoder().get_config()
    assert type(layer.get_config()["vocabulary_size"]) is int


def test_keras_file_gives_the_same_answers(tmp_path):
    inputs = keras.Input((None, 3))
    outputs = pooling()(keras.layers.Masking()(inputs))
    for model, x in (
        (ids_model(), IDS),
        (keras.Model(inputs, outputs), np.where(MASK[..., None], X, 0)),
    ):
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model(x), again(x))


def test_saved_model_with_another_batch_and_length(tmp_path):
    model = ids_model()
    model(IDS[:2])
    model.export(tmp_path / "model", verbose=False)
    expected, _ = pool(TABLE[IDS], IDS != 0)
    loaded = tf.saved_model.load(tmp_path / "model")
    result = loaded.serve(tf.constant(IDS))
    np.testing.assert_allclose(result, expected, rtol=2e-5)
    longer = tf.pad(IDS, [[0, 0], [0, 9]])
    np.testing.assert_allclose(loaded.serve(longer), expected, rtol=2e-5)


def test_saved_model_in_a_fresh_graph(tmp_path):
    archive = keras.export.ExportArchive()
    model = ids_model()
    archive.track(model)
    spec = tf.TensorSpec([None, None], tf.int32, name="history")
    archive.add_endpoint("serving_default", model, [spec])
    archive.write_out(tmp_path / "model", verbose=False)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(
            session, ["serve"], str(tmp_path / "model")
        )
        signature = meta.signature_def["serving_default"]
        (given,) = signature.inputs.values()
        (asked,) = signature.outputs.values()
        result = session.run(asked.name, {given.name: IDS[:3]})
    expected, _ = pool(TABLE[IDS[:3]], IDS[:3] != 0)
    np.testing.assert_allclose(result, expected, rtol=2e-5)


def test_raw_ids_are_looked_up_inside_a_served_model(tmp_path):
    lookup = keras.layers.StringLookup(mask_token="", vocabulary=["b", "a"])
    inputs = keras.Input((None,), dtype="string")
    outputs = SequenceEncoder(lookup.vocabulary_size(), dim=3)(lookup(inputs))
    model = keras.Model(inputs, outputs)
    raw = tf.constant([["", "a", "b"], ["", "", "new"]])
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(raw)
    table = model.layers[-1].items.get_weights()[0]
    np.testing.assert_allclose(served[0], table[[3, 2]].mean(0), rtol=1e-5)
    np.testing.assert_allclose(served[1], table[1], rtol=1e-5)  # unknown


@pytest.mark.parametrize(
    ("policy", "output", "tolerance"),
    [
        ("mixed_float16", "float16", 2e-3),
        ("mixed_bfloat16", "bfloat16", 2e-2),
        ("float16", "float16", 5e-3),
        ("bfloat16", "bfloat16", 5e-2),
        ("float64", "float64", 1e-12),
    ],
)
def test_other_precisions(policy, output, tolerance):
    result = ids_model(policy)(IDS)
    assert result.dtype == output
    expected, _ = pool(TABLE[IDS], IDS != 0)
    result = tf.cast(result, tf.float64)
    np.testing.assert_allclose(result, expected, rtol=0, atol=4 * tolerance)


def test_half_precision_does_not_round_ids():
    layer = SequenceEncoder(5000, dim=2, dtype="mixed_float16")
    ids = np.array([[4099.0]], np.float32)  # between two float16
    row = tf.cast(layer(ids), tf.float32)
    table = layer.items.get_weights()[0]
    np.testing.assert_allclose(row[0], table[4099], rtol=1e-3)


def test_half_precision_does_not_overflow():
    layer = pooling("mixed_float16")
    layer.query.assign([3e4, -3e4, 1e4])
    x = tf.constant([[[6e4, -6e4, 1.0], [6e4, -5e4, 2.0]]], tf.float16)
    assert layer(x).numpy().tolist() == x[:, 0].numpy().tolist()


def test_the_mask_is_taken_and_ends_here():
    x = tf.constant(np.where(MASK[..., None], X, 0), tf.float32)
    masked = keras.layers.Masking()(x)
    pooled = pooling()(masked)
    np.testing.assert_allclose(pooled, pool(X, MASK)[0], rtol=2e-5)
    assert getattr(pooled, "_keras_mask", None) is None
    assert getattr(encoder()(IDS), "_keras_mask", None) is None
    assert pooling().supports_masking


def test_the_mask_reaches_it_through_a_functional_model():
    inputs = keras.Input((None,), dtype="int32")
    items = keras.layers.Embedding(6, 3, mask_zero=True)
    model = keras.Model(inputs, pooling()(items(inputs)))
    items.set_weights([TABLE])
    expected, _ = pool(TABLE[IDS], IDS != 0)
    result = model.predict(IDS, verbose=0)
    np.testing.assert_allclose(result, expected, rtol=2e-5)


def test_the_order_is_learned_from_the_label():
    ids = np.array([[1, 2], [2, 1]] * 64, np.int32)
    label = ids[:, 0] == 1
    for positions, least, most in ((2, 0.95, 1.0), (0, 0.5, 0.5)):
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [
                keras.Input((2,), dtype="int32"),
                SequenceEncoder(3, dim=4, positions=positions),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy")
        model.fit(ids, label, epochs=15, verbose=0)
        right = (model.predict(ids, verbose=0)[:, 0] > 0.5) == label
        assert least <= right.mean() <= most


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionPooling(positions=-1), "`positions` .*=-1"),
        (lambda: SequenceEncoder(1), "`vocabulary_size` .* at least 2.*=1"),
        (lambda: SequenceEncoder(9, dim=0), "`dim` .*dim=0"),
        (lambda: SequenceEncoder(9, positions=2.5), "`positions` .*=2.5"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()
