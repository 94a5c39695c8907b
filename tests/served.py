"""Models that answer predictably, and the ways to ask an exported one."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

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


def question(version, signature):
    """A function from the named inputs to the named outputs, in NumPy."""
    serve = tf.saved_model.load(str(version)).signatures[signature]
    specs = serve.structured_input_signature[1]

    def answer(**inputs):
        tensors = {
            name: tf.constant(values, specs[name].dtype)
            for name, values in inputs.items()
        }
        return {name: out.numpy() for name, out in serve(**tensors).items()}

    return answer


def ask(version, **texts):
    return question(version, "serving_default")(**texts)["probability"]


def saved_model(version):
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((version / "saved_model.pb").read_bytes())
    return message.meta_graphs[0]


def operations(version):
    graph = saved_model(version).graph_def
    functions = {f.signature.name for f in graph.library.function}
    nodes = [graph.node, *(f.node_def for f in graph.library.function)]
    return {node.op for group in nodes for node in group} - functions


def text_operations(version):
    """The operations that TensorFlow alone does not have."""
    return {op for op in operations(version) if not hasattr(tf.raw_ops, op)}


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def size(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


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
model = tf.saved_model.load(version)
found = {}
for name, inputs in json.loads(Path(requests).read_text()).items():
    serve = model.signatures[name]
    specs = serve.structured_input_signature[1]
    outputs = serve(**{k: tf.constant(x, specs[k].dtype)
                       for k, x in inputs.items()})
    found |= {f"{name} {k}": x.numpy() for k, x in outputs.items()}
np.savez(answers, **found)
assert not any(m.split(".")[0] in ("keras", "keras_hub", "tfimportance")
               for m, loaded in sys.modules.items() if loaded)
"""


def ask_fresh_process(version, folder, **requests):
    """Signature name to inputs; returns `"signature output"` to values."""
    (folder / "requests.json").write_text(json.dumps(requests))
    arguments = [version, folder / "requests.json", folder / "answers.npz"]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert child.returncode == 0, child.stderr
    with np.load(folder / "answers.npz") as answers:
        return dict(answers)


@contextlib.contextmanager
def server(path):
    """The address of a gRPC server on the versions in `path`."""
    command = [sys.executable, Path(__file__).with_name("serve_grpc.py"), path]
    process = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield f"localhost:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
