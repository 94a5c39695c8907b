"""`saved_models/README.md`: its table is true and its examples run."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from served import DIM, HashEncoder, dense, saved_model, server

from tfimportance import TargetSet, export

README = Path(__file__).parents[1] / "saved_models" / "README.md"


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    export(
        dense(2 * DIM),
        HashEncoder(),
        folder / "saved_models" / "reviews",
        text=["title", "review"],
        targets=TargetSet(np.eye(2 * DIM), np.arange(2 * DIM) % 2),
    )
    return folder


def test_the_table_names_every_signature_and_output(text, folder):
    rows = [
        re.findall("`([a-z_]+)`", line.split("|", 2)[1] + line.split("|")[3])
        for line in text.splitlines()
        if re.match(r"\| `[a-z_]+` \|", line)
    ]
    table = {name: set(outputs) for name, *outputs in rows}
    version = folder / "saved_models" / "reviews" / "1"
    definitions = saved_model(version).signature_def
    for name, definition in definitions.items():
        if not name.startswith("__"):
            assert set(definition.outputs) <= table[name], name
    # Of a backbone only; test_serving_proofs asks it.
    assert set(table) - set(definitions) == {"tokens"}


def test_the_python_examples_run(text, folder, monkeypatch):
    pytest.importorskip("tensorflow_serving")
    grpc, plain = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    exec(plain.replace("\nserve(", "\nfound = serve("), names := {})
    assert names["found"].shape == (1,)
    with server(folder / "saved_models" / "reviews") as address:
        code = grpc.replace("localhost:8500", address)
        exec(code.replace("\ntf.make", "\nfound = tf.make"), names := {})
    assert names["found"].shape == (1,)
    assert names["found"].dtype == tf.float32


def test_the_listing_is_that_of_a_version(text, folder):
    found = {
        path.name
        for path in (folder / "saved_models" / "reviews").rglob("*")
        if path.is_dir() or path.parent.name in ("1", "reviews")
    } - {"1", "fingerprint.pb"}
    for name in found:
        assert name in text.split("A version is")[0], name
