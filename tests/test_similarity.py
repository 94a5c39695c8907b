import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

from tfimportance import (
    ClippedSinhSimilarity,
    InputError,
    clipped_sinh_similarity,
)
from tfimportance.similarity import sinh

rng = np.random.default_rng(11)
V = rng.standard_normal((7, 5)) + 0.3
T = rng.standard_normal((3, 5)) - 0.2
SETTINGS = {"scale": 2.5, "clip": 1.5, "normalize": False}


def test_textbook_values_by_hand():
    v, t = [[1.0, 2.0]], [[3.0, -1.0], [-9.0, 0.0], [0.0, 9.0], [0.0, 0.0]]
    s = clipped_sinh_similarity(v, t, scale=1.0, clip=2.0, normalize=False)
    sinh_1, sinh_2 = 1.1752011936438014, 3.626860407847019
    assert s.numpy()[0] == pytest.approx([sinh_1, -sinh_2, sinh_2, 0], rel=3e-7)
    assert s.dtype == tf.float32


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0, 30.0])
def test_values(scale, normalize):
    settings = {"scale": scale, "clip": 20.0, "normalize": normalize}
    expected = reference.similarity(V, T, **settings)
    double = clipped_sinh_similarity(V, T, **settings)
    assert double.dtype == tf.float64
    np.testing.assert_allclose(double, expected, rtol=1e-12)
    single = clipped_sinh_similarity(V.astype("f4"), T.astype("f4"), **settings)
    np.testing.assert_allclose(single, expected, rtol=5e-5, atol=1e-6)


@pytest.mark.parametrize("bound", [1.0, 4.0, 8.0, np.inf])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_sinh_is_right_to_the_last_digits(bound, jit_compile):
    z = np.logspace(-37, np.log10(min(bound, 88)), 5003).astype(np.float32)
    z = np.concatenate([z[z <= bound], -z[z <= bound]])
    compute = tf.function(lambda z: sinh(z, bound), jit_compile=jit_compile)
    expected = np.sinh(z.astype(np.float64))
    np.testing.assert_allclose(compute(tf.constant(z)), expected, rtol=4e-7)


def test_float64_sinh():
    z = np.logspace(-300, 2.8, 999)
    np.testing.assert_allclose(sinh(tf.constant(-z)), -np.sinh(z), rtol=1e-15)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_any_length_is_normalized(size):
    v = (V * size).astype(np.float32)
    s = clipped_sinh_similarity(v, (T / size).astype(np.float32))
    expected = reference.similarity(V, T)
    np.testing.assert_allclose(s, expected, rtol=2e-5, atol=2e-6)


def test_zero_vectors_are_similar_to_nothing():
    v = np.vstack([np.zeros(5), V]).astype(np.float32)
    s = clipped_sinh_similarity(v, v).numpy()
    assert not s[0].any()
    assert not s[:, 0].any()
    np.testing.assert_allclose(np.diag(s)[1:], np.sinh(4), rtol=1e-5)


def test_small_scale_is_scaled_cosine():
    s = clipped_sinh_similarity(V, T, scale=1e-9)
    cosine = reference.unit(V) @ reference.unit(T).T
    np.testing.assert_allclose(s / 1e-9, cosine, rtol=1e-12)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    v, t = tf.cast(V, dtype), tf.cast(T, dtype)
    s = clipped_sinh_similarity(v, t, scale=20.0, clip=20.0)
    expected = reference.similarity(
        tf.cast(v, tf.float64), tf.cast(t, tf.float64), scale=20.0
    )
    assert s.dtype == tf.float32
    np.testing.assert_allclose(s, expected, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, SETTINGS, {"scale": 30.0}])
def test_gradient_agrees_with_finite_differences(settings):
    v, t = tf.constant(V), tf.constant(T)
    direction = rng.standard_normal(V.shape)

    def total(step):
        s = reference.similarity(V + step * direction, T, **settings)
        return (s * np.arange(1, 22).reshape(7, 3)).sum()

    with tf.GradientTape() as tape:
        tape.watch(v)
        s = clipped_sinh_similarity(v, t, **settings)
        loss = tf.reduce_sum(s * np.arange(1.0, 22).reshape(7, 3))
    slope = np.sum(tape.gradient(loss, v).numpy() * direction)
    finite = (total(1e-6) - total(-1e-6)) / 2e-6
    assert slope == pytest.approx(finite, rel=1e-6)


@pytest.mark.parametrize("clip", [20.0, 88.0])
@pytest.mark.parametrize("size", [0.0, 1e-20, 1.0, 1e30])
@pytest.mark.parametrize("normalize", [True, False])
def test_gradient_is_finite_everywhere(size, clip, normalize):
    v = tf.constant((V * size).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(v)
        s = clipped_sinh_similarity(
            v, T.astype(np.float32), clip=clip, normalize=normalize
        )
    assert np.isfinite(s).all()
    assert np.isfinite(tape.gradient(s, v)).all()


def test_gradient_beyond_the_clip_is_zero():
    v = tf.constant([[3.0, 0.0], [0.1, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(v)
        s = clipped_sinh_similarity(
            v, [[1.0, 0.0]], scale=1.0, clip=2.0, normalize=False
        )
    gradient = tape.gradient(s, v).numpy()
    assert not gradient[0].any()
    assert gradient[1, 0] == pytest.approx(np.cosh(0.1), rel=1e-6)


def make_model(dtype=None):
    layer = ClippedSinhSimilarity(T, **SETTINGS, dtype=dtype)
    return keras.Sequential([keras.Input((5,)), layer])


def test_layer_is_the_function_in_every_way_of_running():
    model, v = make_model(), V.astype(np.float32)
    expected = reference.similarity(V, T, **SETTINGS)
    for result in (
        model(v),
        tf.function(model)(v),
        tf.function(model, jit_compile=True)(v),
        model.predict(v, batch_size=2, verbose=0),
    ):
        np.testing.assert_allclose(result, expected, rtol=2e-5)


def test_layer_has_no_trainable_weight():
    layer = make_model().layers[0]
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 1


def test_layer_config_round_trip():
    layer = ClippedSinhSimilarity(T, **SETTINGS, name="near")
    again = ClippedSinhSimilarity.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.get_config() | SETTINGS == again.get_config()
    assert again.num_targets == 3
    assert again.name == "near"


def test_keras_file_carries_the_targets(tmp_path):
    model = make_model()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(V), again(V))


def test_saved_model_carries_the_targets(tmp_path):
    model = make_model()
    model(V[:2])
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    result = loaded.serve(tf.constant(V, tf.float32))
    expected = reference.similarity(V, T, **SETTINGS)
    np.testing.assert_allclose(result, expected, rtol=2e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_float32(policy):
    model = make_model(policy)
    result = model(V.astype(np.float32))
    assert result.dtype == tf.float32
    expected = reference.similarity(V, T, **SETTINGS)
    np.testing.assert_allclose(result, expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": V[0]}, r"`embeddings` must be .* Received: .*\(5,\)"),
        ({"embeddings": V[:0]}, r"non-empty .*\(0, 5\)"),
        ({"embeddings": V[:, :4]}, r"same number .*\(7, 4\).*\(3, 5\)"),
        ({"target_embeddings": T[0]}, "`target_embeddings` must be"),
        ({"scale": 0.0}, "`scale` must be .* Received: scale=0.0"),
        ({"clip": -1}, "`clip` must be .* Received: clip=-1"),
        ({"clip": 89.0}, "`clip` must be .* at most 88. Received: clip=89.0"),
    ],
)
def test_bad_input_names_argument_and_value(change, message):
    given = {"embeddings": V, "target_embeddings": T} | change
    with pytest.raises(InputError, match=message):
        clipped_sinh_similarity(**given)


def test_layer_refuses_other_dimensions():
    with pytest.raises(InputError, match="same number of columns"):
        ClippedSinhSimilarity(T)(V[:, :4])
    with pytest.raises(InputError, match="`num_targets`"):
        ClippedSinhSimilarity()
