import numpy as np
import pytest

from tfimportance import InputError, load_examples


def tf_rows(number=11):
    import tensorflow as tf

    texts = [f"text é {i}" for i in range(number)]
    features = {"q": texts, "t": [str(i) for i in range(number)]}
    label = [float(i % 3 == 0) for i in range(number)]
    return tf, texts, features, label


@pytest.mark.parametrize("batch", [None, 1, 4, 100])
def test_tf_data_of_dicts_batched_or_not(batch):
    tf, texts, features, label = tf_rows()
    everything = features | {"y": label, "n": np.arange(11)}
    rows = tf.data.Dataset.from_tensor_slices(everything)
    rows = rows if batch is None else rows.batch(batch)
    loaded = load_examples(rows, text=["q"], label="y", id="t", keep=["n"])
    assert loaded.text["q"].tolist() == texts
    assert loaded.label.tolist() == label
    assert loaded.id.tolist() == features["t"]
    assert loaded.columns["n"].tolist() == list(range(11))


@pytest.mark.parametrize("batch", [None, 4])
def test_tf_data_of_keras_tuples(batch):
    tf, texts, features, label = tf_rows()
    column = [[y] for y in label]  # as Keras has it
    weight = list(range(11))
    rows = tf.data.Dataset.from_tensor_slices((features, column, weight))
    rows = rows if batch is None else rows.batch(batch)
    loaded = load_examples(rows, text=["t", "q"])
    assert list(loaded.text) == ["t", "q"]
    assert loaded.text["q"].tolist() == texts
    assert loaded.label.tolist() == label
    assert loaded.weight.tolist() == weight


def test_tf_data_of_bare_texts_and_a_named_label():
    tf, texts, features, label = tf_rows()
    rows = tf.data.Dataset.from_tensor_slices((texts, label)).batch(3)
    loaded = load_examples(rows, text="review", positive=0)
    assert loaded.text["review"].tolist() == texts
    assert loaded.label.tolist() == [1 - y for y in label]
    rows = tf.data.Dataset.from_tensor_slices((features | {"y": label}, texts))
    assert load_examples(rows, text="q", label="y").label.tolist() == label


def test_bad_tf_data():
    tf, _, features, _ = tf_rows()
    rows = tf.data.Dataset.from_tensor_slices(features)
    with pytest.raises(InputError, match="`text` must be one of 'q', 't'"):
        load_examples(rows, text="query")
    with pytest.raises(InputError, match="must end"):
        load_examples(rows.repeat(), text="q")
    with pytest.raises(InputError, match="at least one row"):
        load_examples(rows.take(0), text="q")
    wide = tf.data.Dataset.from_tensors({"q": "a", "v": [1, 2]})
    with pytest.raises(InputError, match=r"`keep`.*'v' of shape \(1, 2\)"):
        load_examples(wide, text="q", keep=["v"])
