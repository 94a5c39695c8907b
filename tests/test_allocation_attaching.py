"""Weights travel with their rows, whatever becomes of the order."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfimportance import InputError, align_weights, attach_weights, fit

rng = np.random.default_rng(53)
N = 50
X = rng.normal(size=(N, 3)).astype(np.float32)
Y = (np.arange(N) % 3 == 0).astype(np.int64)
WEIGHT = rng.gamma(2.0, 0.5, N).astype(np.float32)
NUMBER = rng.permutation(1000)[:N]
NAME = np.array([f"row-{number}" for number in NUMBER], object)
WEIGHTS = pd.Series(WEIGHT, NUMBER)
BY_NAME = dict(zip(NAME.tolist(), WEIGHT.tolist(), strict=True))


def test_weights_in_the_order_of_the_ids():
    shuffled = rng.permutation(N)
    frame = pd.DataFrame({"id": NAME, "sample_weight": WEIGHT, "more": 1})
    series = pd.Series(WEIGHT, NUMBER)
    for table, ids in [(BY_NAME, NAME), (frame, NAME), (series, NUMBER)]:
        weight = align_weights(table, ids[shuffled])
        assert np.array_equal(weight, WEIGHT[shuffled])
        assert weight.dtype == np.float32


def test_ids_as_tensorflow_has_them():
    weight = align_weights(BY_NAME, tf.constant(NAME[:3].tolist()))
    assert np.array_equal(weight, WEIGHT[:3])


def test_ids_that_a_gap_made_floats_are_refused():
    large = 2**53 + 1
    ids = np.array([large], float)  # 2**53, another id
    with pytest.raises(InputError, match=r"`ids`.*str or integers.*floating"):
        align_weights({large: 0.5, large - 1: 9.0}, ids)
    with pytest.raises(InputError, match=r"`sample_weight`.*floating"):
        align_weights({1.0: 0.5}, [1])


def test_integers_are_found_as_the_text_of_a_csv_file():
    table = dict(zip(map(str, NUMBER.tolist()), WEIGHT, strict=True))
    assert np.array_equal(align_weights(table, NUMBER[::-1]), WEIGHT[::-1])
    batches = [*attach_weights(records(NUMBER), table, id="id")]
    found = np.concatenate([np.atleast_1d(each[2]) for each in batches])
    assert np.array_equal(found, WEIGHT)


def test_weights_of_a_file(tmp_path):
    path = tmp_path / "weights.parquet"
    frame = pd.DataFrame({"id": NAME, "sample_weight": WEIGHT})
    frame.to_parquet(path, index=False)
    assert np.array_equal(align_weights(path, NAME[::-1]), WEIGHT[::-1])
    text = tmp_path / "weights.csv"
    frame.to_csv(text, index=False)
    with pytest.raises(InputError, match=r"Parquet file.*weights\.csv"):
        align_weights(text, NAME)


def seen(data):
    """Pairs of a row's first number and its weight, sorted."""
    pairs = []
    for x, _, weight in data:
        first = x["x"] if isinstance(x, dict) else x
        first = np.atleast_2d(first)[:, 0]
        pairs += zip(first.tolist(), np.ravel(weight).tolist(), strict=True)
    return sorted(pairs)


EXPECTED = sorted(zip(X[:, 0].tolist(), WEIGHT.tolist(), strict=True))


def records(ids=NAME):
    return tf.data.Dataset.from_tensor_slices(({"id": ids, "x": X}, Y))


@pytest.mark.parametrize(
    "arrange",
    [
        lambda data: data,
        lambda data: data.shuffle(N, seed=1),
        lambda data: data.batch(7),
        lambda data: data.shuffle(N, seed=1).batch(7),
        lambda data: data.batch(7).shuffle(9, seed=1),
    ],
)
@pytest.mark.parametrize(
    ("ids", "table"), [(NAME, BY_NAME), (NUMBER, pd.Series(WEIGHT, NUMBER))]
)
def test_the_id_travels_with_the_row(arrange, ids, table):
    data = attach_weights(arrange(records(ids)), table, id="id")
    assert seen(data) == EXPECTED
    assert seen(data.shuffle(9)) == EXPECTED  # and once more, another order
    assert "id" not in data.element_spec[0]


@pytest.mark.parametrize("by", ["position", "id"])
def test_parsed_records_are_weighted_row_by_row(by):
    """Labels and ids of shape (1,), as `FixedLenFeature([1], ...)` parses."""
    data = tf.data.Dataset.from_tensor_slices(
        ({"id": NUMBER[:, None], "x": X}, Y[:, None])
    )
    table, id = (WEIGHT, None) if by == "position" else (WEIGHTS, "id")
    data = attach_weights(data, table, id=id).batch(7)
    assert data.element_spec[2].shape.as_list() == [None, 1]
    data = data.map(lambda x, y, weight: (x["x"], y, weight))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    loss = (X.sum(axis=1) - Y) ** 2
    assert model.evaluate(data, verbose=0) == pytest.approx(
        np.mean(WEIGHT * loss), rel=1e-5
    )


def test_ids_may_stay_or_come_from_a_function():
    data = records(NUMBER).batch(8)
    table = pd.Series(WEIGHT, NUMBER)
    kept = attach_weights(data, table, id="id", keep_id=True)
    assert "id" in kept.element_spec[0]
    by_function = attach_weights(data, table, id=lambda x, y: x["id"])
    assert seen(kept) == seen(by_function) == EXPECTED


@pytest.mark.parametrize("size", [None, 7])
def test_by_position_in_the_order_of_the_set(size):
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    data = data if size is None else data.batch(size)
    weighted = attach_weights(data, WEIGHT)
    for _ in range(2):  # every epoch begins at the first weight again
        assert seen(weighted) == EXPECTED
    after = attach_weights(data, WEIGHT).shuffle(N)
    assert seen(after) == EXPECTED


@pytest.mark.parametrize("table", [WEIGHT, BY_NAME], ids=["position", "id"])
def test_weights_that_are_there_are_multiplied(table):
    given = rng.random(N).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices(
        ({"id": NAME, "x": X}, Y, given)
    ).batch(9)
    weighted = attach_weights(
        data, table, id="id" if isinstance(table, dict) else None
    )
    expected = zip(X[:, 0].tolist(), (WEIGHT * given).tolist(), strict=True)
    assert seen(weighted) == sorted(expected)


class Batches(keras.utils.PyDataset):
    def __init__(self, order):
        super().__init__(workers=2)
        self.order, self.told = order, []

    @property
    def num_batches(self):
        return 8

    def set_epoch(self, epoch):
        self.told.append(epoch)

    def __getitem__(self, index):
        rows = self.order[7 * index : 7 * index + 7]
        return {"id": NAME[rows], "x": X[rows]}, Y[rows]


def test_a_keras_set_by_id_and_by_position():
    order = rng.permutation(N)
    batches = Batches(order)
    weighted = attach_weights(batches, BY_NAME, id="id")
    assert seen(weighted[i] for i in range(8)) == EXPECTED
    assert weighted.num_batches == 8
    assert weighted.workers == 2
    weighted.set_epoch(4)
    assert batches.told == [4]
    in_order = attach_weights(Batches(np.arange(N)), WEIGHT)
    assert seen(in_order[i] for i in range(8)) == EXPECTED
    assert np.array_equal(in_order[7][2], WEIGHT[49:])


def test_ids_of_a_keras_set_may_be_tensors_of_strings():
    class Tensors(Batches):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return {**x, "id": tf.constant(x["id"])}, y

    weighted = attach_weights(Tensors(np.arange(N)), BY_NAME, id="id")
    assert seen(weighted[i] for i in range(8)) == EXPECTED


def of_unknown_rank(data):
    def lose(x, y):
        x["id"] = tf.numpy_function(np.copy, [x["id"]], tf.int64)
        return x, tf.numpy_function(np.copy, [y], tf.int64)

    return data.batch(7).map(lose)


def test_a_file_of_records_trains_as_its_arrays_do(tmp_path):
    path = str(tmp_path / "rows.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for i in rng.permutation(N):
            feature = {
                "id": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[NAME[i].encode()])
                ),
                "x": tf.train.Feature(
                    float_list=tf.train.FloatList(value=X[i])
                ),
                "y": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[Y[i]])
                ),
            }
            example = tf.train.Example(
                features=tf.train.Features(feature=feature)
            )
            writer.write(example.SerializeToString())

    def parse(batch):
        row = tf.io.parse_example(
            batch,
            {
                "id": tf.io.FixedLenFeature([1], tf.string),
                "x": tf.io.FixedLenFeature([3], tf.float32),
                "y": tf.io.FixedLenFeature([1], tf.int64),
            },
        )
        return {"id": row["id"], "x": row["x"]}, row["y"]

    data = tf.data.TFRecordDataset(path).batch(N).map(parse)
    data = attach_weights(data, BY_NAME, id="id")
    ours, theirs = logistic(), logistic()
    fit(ours, data.map(lambda x, y, w: (x["x"], y, w)), epochs=2)
    fit(theirs, X, Y, sample_weight=WEIGHT, epochs=2, batch_size=N)
    for left, right in zip(
        ours.get_weights(), theirs.get_weights(), strict=True
    ):
        assert left == pytest.approx(right, abs=1e-6)


def logistic():
    dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile(keras.optimizers.SGD(0.3), "binary_crossentropy")
    return model


def test_an_id_without_weight_stops_where_it_comes_by():
    some = {name: BY_NAME[name] for name in NAME[:-1]}
    data = attach_weights(records().batch(8), some, id="id")
    with pytest.raises(tf.errors.InvalidArgumentError, match=NAME[-1]):
        list(data)
    with pytest.raises(InputError, match=f"1 of 1 ids.*{NAME[-1]}"):
        attach_weights(Batches(np.arange(N)), some, id="id")[7]


def test_more_rows_than_weights_stop_the_set():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more rows"):
        list(attach_weights(data, WEIGHT[:-1]))
    with pytest.raises(InputError, match="49 weights; batch 7 has 1 rows"):
        attach_weights(Batches(np.arange(N)), WEIGHT[:-1])[7]


@pytest.mark.parametrize("size", [None, 7, 10])
def test_fewer_rows_than_weights_are_an_error_at_the_end(size):
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    data = data if size is None else data.batch(size)
    weighted = attach_weights(data, np.append(WEIGHT, [1.0] * 10))
    batches = len(data)
    assert len(weighted) == batches
    assert len(list(weighted.take(batches - 1))) == batches - 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer rows"):
        list(weighted)


def test_a_keras_set_of_fewer_rows_than_weights_stops_at_its_last_batch():
    class Short(Batches):
        num_batches = 7

    short = Short(np.arange(N))
    data = attach_weights(short, np.append(WEIGHT, [1.0] * 6))
    assert np.array_equal(data[5][2], WEIGHT[35:42])
    with pytest.raises(InputError, match=r"56 weights; batch 6 has 7.*no more"):
        data[6]
    dropped = attach_weights(short, WEIGHT)[6]  # what fills no batch
    assert np.array_equal(dropped[2], WEIGHT[42:49])


def test_a_set_may_drop_what_does_not_fill_a_batch():
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    data = data.batch(7, drop_remainder=True)
    assert seen(attach_weights(data, WEIGHT)) == sorted(
        zip(X[:49, 0].tolist(), WEIGHT[:49].tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: align_weights(BY_NAME, [*NAME, "b"]), "1 of 51 ids.*'b'"),
        (lambda: align_weights(pd.Series([1, 2.0], [3, 3]), [3]), "repeated"),
        (lambda: align_weights({"a": -1.0}, ["a"]), "negative"),
        (lambda: align_weights({"a": np.nan}, ["a"]), "finite"),
        (lambda: align_weights(WEIGHT, NAME), "ndarray"),
        (lambda: align_weights(pd.DataFrame({"id": [1]}), [1]), "columns"),
        (lambda: attach_weights((X, Y), WEIGHT), "tuple.*align_weights"),
        (lambda: attach_weights(records(), BY_NAME, id="di"), "features are"),
        (
            lambda: attach_weights(
                records(), pd.Series(WEIGHT, NUMBER), id="id"
            ),
            "as the set has them",
        ),
        (lambda: attach_weights(records(), -WEIGHT), "negative"),
        (
            lambda: attach_weights(
                records(NUMBER.astype(np.float32)),
                pd.Series(WEIGHT, NUMBER),
                id="id",
            ),
            "str or integers.*float32 there",
        ),
        (
            lambda: attach_weights(records(NUMBER), {1.0: 0.5}, id="id"),
            "`sample_weight`.*str or integers.*floating",
        ),
        (
            lambda: attach_weights(
                Batches(np.arange(N)),
                pd.Series(WEIGHT, NUMBER),
                id=lambda x, y: x["x"][:, 0],
            )[0],
            "`ids`.*str or integers.*floating",
        ),
        (
            lambda: attach_weights(of_unknown_rank(records(NUMBER)), WEIGHT),
            "labels of known rank",
        ),
        (
            lambda: attach_weights(
                of_unknown_rank(records(NUMBER)),
                pd.Series(WEIGHT, NUMBER),
                id="id",
            ),
            "ids of known rank",
        ),
        (
            lambda: attach_weights(tf.data.Dataset.range(3), WEIGHT),
            r"\(x, y\)",
        ),
        (
            lambda: attach_weights(records(), BY_NAME),
            "`id` must be given",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
