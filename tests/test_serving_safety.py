"""No file that is loaded makes this process run its code."""

import ast
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from served import DIM, HashEncoder, dense

import tfimportance
from tfimportance import Bundle, InputError, export, load_served

PACKAGE = Path(tfimportance.__file__).parent
UNSAFE_MODULES = {
    "pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
}
UNSAFE_CALLS = {"eval", "exec", "Lambda", "enable_unsafe_deserialization"}
SAFE_VALUES = {"safe_mode": True, "allow_pickle": False}


def called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", None))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem
)
def test_nothing_that_could_run_code_from_a_file(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            assert called(node) not in UNSAFE_CALLS
            for keyword in node.keywords:
                if keyword.arg in SAFE_VALUES:
                    safe = SAFE_VALUES[keyword.arg]
                    assert getattr(keyword.value, "value", None) is safe


def bundle_of(model, folder):
    return Bundle(model, "static", ("text",)).save(folder)


def test_a_model_with_python_code_in_it_is_refused(tmp_path):
    inputs = keras.Input((DIM,))
    outputs = keras.layers.Lambda(lambda x: x * 2, output_shape=(DIM,))(inputs)
    folder = bundle_of(keras.Model(inputs, outputs), tmp_path / "model")
    with pytest.raises(InputError, match="and no code") as error:
        Bundle.load(folder)
    assert "\n" not in str(error.value)
    # The code is the reason: Keras would load the file if it were told to.
    keras.saving.load_model(folder / "model.keras", safe_mode=False)


def test_a_damaged_model_is_refused(tmp_path):
    folder = bundle_of(dense(), tmp_path / "model")
    (folder / "model.keras").write_bytes(b"\x80\x04cos\nsystem\n")  # a pickle
    with pytest.raises(InputError, match="`model`"):
        Bundle.load(folder)


def test_a_served_model_has_no_way_back_to_python(tmp_path):
    """A SavedModel made by somebody else: its function is not run."""
    mark = tmp_path / "ran"

    def code(x):
        mark.write_text("ran")
        return x

    module = tf.Module()
    module.serve = tf.function(
        lambda text: {"out": tf.numpy_function(code, [text], tf.string)},
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.serve)
    with pytest.raises(InputError, match="calls Python"):
        load_served(tmp_path / "1")
    assert not mark.exists()


@pytest.mark.parametrize("content", [None, b"", b"no protobuf"])
def test_what_is_no_served_model(tmp_path, content):
    (tmp_path / "1").mkdir()
    if content is not None:
        (tmp_path / "1" / "saved_model.pb").write_bytes(content)
    with pytest.raises(InputError, match="`model` must be a folder") as error:
        load_served(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="`model`"):
        load_served(tmp_path / "nothing")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    path = tmp_path_factory.mktemp("m")
    export(dense(), HashEncoder(), path, text=["review"])
    return load_served(path)


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("serving_defualt", {}, "Did you mean 'serving_default'"),
        ("serving_default", {}, "inputs review"),
        ("serving_default", {"review": ["a"], "title": ["b"]}, "review"),
        ("serving_default", {"text": ["a"]}, "inputs review"),
        ("serving_default", {"review": [1.5]}, "right types"),
        ("serving_default", {"review": "a"}, "right types"),
        ("similarity", {"text": ["a", "b"], "other": ["c"] * 3}, "right types"),
    ],
)
def test_bad_questions_are_one_line(served, signature, inputs, words):
    with pytest.raises(InputError, match=words) as error:
        served.ask(signature, **inputs)
    assert "\n" not in str(error.value)
    answer = served.ask(review=["a"])["probability"]
    assert answer.shape == (1,)


def test_the_highest_version_is_loaded(tmp_path):
    first = export(dense(), HashEncoder(), tmp_path)
    for version in ("9", "10"):
        shutil.copytree(first, tmp_path / version)
    assert load_served(tmp_path).folder.name == "10"
    assert load_served(tmp_path / "9").folder.name == "9"
    (tmp_path / "11.tmp").mkdir()
    assert load_served(tmp_path).folder.name == "10"


def test_many_rows_keep_their_order(served):
    texts = np.array([f"{'bed ' * (i % 7)}{i}" for i in range(150)], object)
    together = served.ask(review=texts)["probability"]
    parted = served.ask_many({"review": texts}, batch_size=8)["probability"]
    np.testing.assert_allclose(parted, together, atol=1e-6)
    assert np.ptp(together) > 1e-3
    with pytest.raises(InputError, match="inputs review"):
        served.ask_many({"review": texts, "weight": np.ones(150)})
