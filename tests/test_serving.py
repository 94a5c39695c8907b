import json
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfimportance import InputError, export, serving

BUCKETS, DIM = 20_011, 24
TEXTS = [
    "Solid wood platform bed",
    "",
    "   ",
    "Très jolie robe, 38 € — naïve 北京 👗",
    " ".join(f"bed{i}" for i in range(30_000)),
    "x" * 100_000,
    "a\tb\nc\x00d",
]


class HashEncoder(tf.Module):
    """The mean of hashed word vectors, in core TensorFlow."""

    dim = DIM

    def __init__(self, seed=0, name="hash"):
        super().__init__(name=name)
        table = np.random.default_rng(seed).normal(0.1, 1, (BUCKETS, DIM))
        self.table = tf.Variable(table.astype(np.float32))

    def __call__(self, texts):
        words = tf.strings.split(texts)
        buckets = tf.strings.to_hash_bucket_fast(words.flat_values, BUCKETS)
        return tf.math.unsorted_segment_mean(
            tf.gather(self.table, buckets), words.value_rowids(), words.nrows()
        )


class TableEncoder(HashEncoder):
    """As above, with a lookup table beside it."""

    def __init__(self):
        super().__init__()
        pairs = tf.lookup.KeyValueTensorInitializer(["bed", "wood"], [1.5, 2.5])
        self.boost = tf.lookup.StaticHashTable(pairs, 0.5)

    def __call__(self, texts):
        return super().__call__(texts) * self.boost.lookup(texts)[:, None]


def dense(columns=DIM, seed=1):
    """A model whose every weight, the moving statistics too, is random."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((columns,)),
            layers.Dense(1003, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.uniform(0.01, 0.09, w.shape) for w in model.get_weights()]
    )
    return model


def sequential(*layers, columns=DIM):
    return keras.Sequential([keras.Input((columns,)), *layers])


def embedded(encoder, texts):
    """The encoder in float64 NumPy, but for the hash."""
    table = encoder.table.numpy().astype(np.float64)
    words = tf.strings.split(texts)
    buckets = tf.strings.to_hash_bucket_fast(words.flat_values, BUCKETS)
    ends = words.row_splits.numpy()
    rows = np.split(buckets.numpy(), ends[1:-1])
    return np.stack(
        [table[r].mean(0) if len(r) else np.zeros(DIM) for r in rows]
    )


def probability(model, x):
    """The model in float64 NumPy."""
    w1, b1, gamma, beta, mean, variance, w2, b2 = (
        w.astype(np.float64) for w in model.get_weights()
    )
    hidden = np.tanh(x @ w1 + b1)
    hidden = (hidden - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    return 1 / (1 + np.exp(-(hidden @ w2 + b2)[:, 0]))


def load(version):
    return tf.saved_model.load(str(version)).signatures["serving_default"]


def ask(version, **texts):
    tensors = {name: tf.constant(column) for name, column in texts.items()}
    return load(version)(**tensors)["probability"].numpy()


def saved_model(version):
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((version / "saved_model.pb").read_bytes())
    return message.meta_graphs[0]


def operations(version):
    graph = saved_model(version).graph_def
    functions = {f.signature.name for f in graph.library.function}
    nodes = [graph.node, *(f.node_def for f in graph.library.function)]
    return {node.op for group in nodes for node in group} - functions


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.fixture(scope="module")
def encoder():
    return HashEncoder()


@pytest.fixture(scope="module")
def model():
    return dense()


@pytest.fixture(scope="module")
def version(encoder, model, tmp_path_factory):
    return export(model, encoder, tmp_path_factory.mktemp("m"), text=["review"])


# Only TensorFlow and the op libraries of TF.Text, which a server links.
CHILD = """
import importlib.util, json, sys
from pathlib import Path
for name in ("keras", "keras_hub", "tf_keras", "tfimportance"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
text = Path(importlib.util.find_spec("tensorflow_text").origin).parent
for library in sorted(text.glob("python/ops/_*.so")):
    tf.load_op_library(str(library))
version, requests, answers = sys.argv[1:]
serve = tf.saved_model.load(version).signatures["serving_default"]
inputs = json.loads(Path(requests).read_text())
outputs = serve(**{name: tf.constant(x) for name, x in inputs.items()})
np.save(answers, outputs["probability"].numpy())
assert not any(m.split(".")[0] in ("keras", "keras_hub", "tfimportance")
               for m, loaded in sys.modules.items() if loaded)
"""


def ask_fresh_process(version, folder, **texts):
    (folder / "requests.json").write_text(json.dumps(texts))
    arguments = [version, folder / "requests.json", folder / "answers.npy"]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert child.returncode == 0, child.stderr
    return np.load(folder / "answers.npy")


def test_a_fresh_process_without_keras_answers_the_same(
    encoder, model, version, tmp_path
):
    expected = probability(model, embedded(encoder, TEXTS))
    assert expected.std() > 0.01
    answers = ask_fresh_process(version, tmp_path, review=TEXTS)
    np.testing.assert_allclose(answers, expected, atol=1e-5)


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
    signatures = dict(saved_model(version).signature_def)
    signatures.pop("__saved_model_init_op")
    assert list(signatures) == ["serving_default"]
    serve = signatures["serving_default"]
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


def size(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


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


def test_only_weights_and_a_graph_are_stored(version):
    assert listing(version) == [
        "assets",
        "fingerprint.pb",
        "saved_model.pb",
        "variables",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


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


def test_an_encoder_that_needs_python(model, tmp_path):
    def python_encoder(texts):
        lengths = tf.numpy_function(
            lambda t: np.ones((len(t), DIM), np.float32), [texts], tf.float32
        )
        return tf.ensure_shape(lengths, (None, DIM))

    with pytest.raises(InputError, match="calls Python"):
        export(model, python_encoder, tmp_path / "new")
    assert listing(tmp_path) == []


def test_the_next_integer_is_taken(encoder, model, tmp_path):
    path = tmp_path / "saved_models" / "reviews"
    assert export(model, encoder, path) == path / "1"
    for name in ("9", "10", "12x", "notes", ".export-old", "-40", "²", "3.5"):
        (path / name).mkdir()
    assert export(model, encoder, str(path)) == path / "11"
    assert ask(path / "11", text=["bed"]).shape == (1,)
    assert {p.name for p in path.iterdir()} == {
        *("1", "9", "10", "11", "12x"),
        *("notes", ".export-old", "-40", "²", "3.5"),
    }


def test_a_relative_path(encoder, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export(model, encoder, "models") == Path("models/1")
    assert listing(tmp_path)[:2] == ["models", "models/1"]


def test_others_may_read_it(version):
    """The private staging folder must not hand on its permissions."""
    plain = version.parent / "plain"
    plain.mkdir()
    assert version.stat().st_mode == plain.stat().st_mode
    plain.rmdir()


def test_a_server_never_sees_half_a_model(
    encoder, model, tmp_path, monkeypatch
):
    real, seen = tf.saved_model.save, []

    def save(*args, **kwargs):
        real(*args, **kwargs)
        seen.extend(p.name for p in tmp_path.iterdir())

    monkeypatch.setattr(tf.saved_model, "save", save)
    export(model, encoder, tmp_path)
    assert len(seen) == 1
    assert not seen[0].isdigit()
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_export_leaves_nothing(
    encoder, model, tmp_path, monkeypatch, error, there
):
    path = tmp_path / "saved_models" / "reviews"
    if there:
        (path / "3").mkdir(parents=True)
    before = listing(tmp_path)

    def save(module, folder, **_):
        (Path(folder) / "variables").mkdir(parents=True)
        (Path(folder) / "variables" / "half").write_bytes(b"half")
        raise error

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(type(error)):
        export(model, encoder, path)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("below", ["", "reviews", "a/b"])
def test_a_path_that_cannot_be_written(encoder, model, tmp_path, below):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="`path` must be a folder") as error:
        export(model, encoder, tmp_path / "file" / below)
    assert "\n" not in str(error.value)
    assert listing(tmp_path) == ["file"]


def test_a_version_that_appears_meanwhile(
    encoder, model, tmp_path, monkeypatch
):
    (tmp_path / "1" / "theirs").mkdir(parents=True)
    real, stale = serving._versions, iter([[]])
    monkeypatch.setattr(serving, "_versions", lambda p: next(stale, real(p)))
    assert export(model, encoder, tmp_path) == tmp_path / "2"
    assert listing(tmp_path / "1") == ["theirs"]


def run_together(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_publish_at_once(tmp_path):
    path, published = tmp_path / "models", []

    def publish(author):
        for number in range(25):
            folder = tmp_path / f"{author}-{number}"
            folder.mkdir()
            (folder / "author").write_text(folder.name)
            published.append((serving._publish(folder, path), folder.name))

    run_together([lambda author=a: publish(author) for a in range(8)])
    assert sorted(int(v.name) for v, _ in published) == list(range(1, 201))
    assert all((v / "author").read_text() == name for v, name in published)


def test_two_exports_at_once(tmp_path):
    jobs = {seed: (dense(seed=seed), HashEncoder(seed)) for seed in (1, 2, 3)}
    versions = {}

    def job(seed):
        versions[seed] = export(*jobs[seed], tmp_path)

    run_together([lambda seed=s: job(seed) for s in jobs])
    assert listing(tmp_path)[0] == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "3"]
    for seed, (model, encoder) in jobs.items():
        expected = probability(model, embedded(encoder, TEXTS[:2]))
        answers = ask(versions[seed], text=TEXTS[:2])
        np.testing.assert_allclose(answers, expected, atol=1e-5)
