"""What lies beside the weights, and whether others can read it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from served import DIM, HashEncoder, dense, embedded, listing, saved_model

from tfimportance import InputError, TargetSet, export, sequence_model

TARGETS = ["red bed", "a desk", "wood"]
CARD = {
    "data": {"pool": "orders.parquet", "train": {"rows": 7}},
    "metrics": {
        "roc_auc": np.float32(0.75),
        "interval": [0.7123456, np.float64(0.81)],
    },
    "licence": "Apache-2.0",
    "intended_use": "Ranks the search results of one shop.",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    encoder = HashEncoder()
    path = tmp_path_factory.mktemp("saved_models") / "my beds"
    targets = TargetSet(
        embedded(encoder, TARGETS), [1, 0, 1], offset=np.ones(DIM)
    )
    text = ["Review Text"]
    export(dense(), encoder, path, text=text, targets=targets, card=CARD)
    return path


def test_the_signature_file_says_what_the_model_says(path):
    facts = json.loads((path / "1" / "signature.json").read_text())
    definitions = dict(saved_model(path / "1").signature_def)
    definitions.pop("__saved_model_init_op")
    assert {
        name: {
            side: {
                key: (each["dtype"], each["shape"])
                for key, each in described[side].items()
            }
            for side in ("inputs", "outputs")
        }
        for name, described in facts["signatures"].items()
    } == {
        name: {
            side: {
                key: (
                    tf.as_dtype(each.dtype).name,
                    [None if d.size < 0 else d.size for d in _dims(each)],
                )
                for key, each in getattr(definition, side).items()
            }
            for side in ("inputs", "outputs")
        }
        for name, definition in definitions.items()
    }
    assert facts["columns"] == {"Review_Text": "Review Text"}
    assert facts["text_operations"] == []
    assert facts["versions"]["tensorflow"] == tf.__version__
    assert facts["target_set"]["rows"] == 3
    assert facts["target_set"]["positive"] == 2
    assert facts["target_set"]["centred"] is True
    assert facts["card"] == CARD


def _dims(tensor):
    return tensor.tensor_shape.dim


def test_the_model_card_for_people(path):
    card = (path / "1" / "MODEL_CARD.md").read_text()
    assert card.startswith("# my beds\n")
    for words in (
        "## Intended use\n\nRanks the search results of one shop.",
        "- pool: orders.parquet\n- train:\n  - rows: 7",
        "## Licence\n\nApache-2.0",
        "- roc_auc: 0.75\n- interval: 0.7123 to 0.81",
        "| importance_signed | Review_Text: string (batch)<br>label: int64",
        "embedding: float32 (batch, 24)",
    ):
        assert words in card


def test_what_nobody_said_is_said_to_be_unsaid(tmp_path):
    version = export(dense(), HashEncoder(), tmp_path)
    card = (version / "MODEL_CARD.md").read_text()
    assert card.count("Not stated") == 4
    assert "Target set" not in card


def test_a_card_with_an_unknown_section(tmp_path):
    with pytest.raises(InputError, match=r"`card`.*'licence'"):
        export(dense(), HashEncoder(), tmp_path / "m", card={"license": "MIT"})
    assert listing(tmp_path) == []


def test_the_server_replays_the_warm_up(path):
    """Each record is a request as the real protos read it, and is answered."""
    protos = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    file = path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    signatures = tf.saved_model.load(str(path / "1")).signatures
    asked = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = protos.PredictionLog.FromString(record)
        assert log.SerializeToString(deterministic=True) == (
            protos.PredictionLog.FromString(
                log.SerializeToString()
            ).SerializeToString(deterministic=True)
        )
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "my beds"
        name = request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(value))
            for key, value in request.inputs.items()
        }
        (output,) = signatures[name](**inputs).values()
        asked.append((name, output.shape[0]))
    names = list(signatures)
    assert len(asked) <= 1000  # more are no warm-up to a server
    assert sorted(asked) == sorted((n, r) for n in names for r in (1, 3))


def test_the_warm_up_of_a_behaviour_model(tmp_path):
    protos = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    keras.utils.set_random_seed(1)
    model = sequence_model(6, dim=4, candidate=True)
    version = export(model, None, tmp_path)
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    record = next(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    request = protos.PredictionLog.FromString(record).predict_log.request
    assert {
        name: (value.dtype, tf.make_ndarray(value).shape)
        for name, value in request.inputs.items()
    } == {"history": (3, (1, 2)), "item": (3, (1, 1))}  # 3 is int32


def test_long_inputs_in_the_warm_up_format():
    """Lengths of more than seven bits take more than a byte."""
    protos = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    from tfimportance.serving.warmup import prediction_log

    for length in (0, 1, 100, 127, 128, 300, 20_000, 3_000_000):
        text = "x" * length
        log = prediction_log("m", "embed", {"text": tf.constant([text])})
        request = protos.PredictionLog.FromString(log).predict_log.request
        (found,) = tf.make_ndarray(request.inputs["text"])
        assert found == text.encode()


def test_the_server_reads_its_configuration(path):
    protos = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2"
    )
    from google.protobuf import text_format

    text = (path / "models.config").read_text()
    config = text_format.Parse(text, protos.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == ("my beds", "tensorflow")
    service = yaml.safe_load((path / "compose.yaml").read_text())["services"]
    (mount,) = service["serving"]["volumes"]
    assert mount["source"] == "."
    assert mount["target"] == model.base_path == "/models/my beds"
    assert service["serving"]["command"] == [
        "--model_config_file=/models/my beds/models.config"
    ]
    assert service["serving"]["image"].startswith("tensorflow/serving")


def test_a_changed_configuration_stays(tmp_path):
    export(dense(), HashEncoder(), tmp_path)
    (tmp_path / "models.config").write_text("mine")
    (tmp_path / "compose.yaml").unlink()
    export(dense(), HashEncoder(), tmp_path)
    assert (tmp_path / "models.config").read_text() == "mine"
    assert (tmp_path / "compose.yaml").exists()


def test_a_list_in_a_card_is_no_interval(tmp_path):
    data = {"files": ["a.csv", "b.csv"], "range": [0.25, 0.5]}
    version = export(dense(), HashEncoder(), tmp_path, card={"data": data})
    card = (version / "MODEL_CARD.md").read_text()
    assert "- files: a.csv, b.csv\n- range: 0.25 to 0.5" in card
