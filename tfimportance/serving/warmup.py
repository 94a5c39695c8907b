"""The requests that a server sends itself when it has loaded a model.

Their format is a TFRecord file of `PredictionLog` messages
(https://www.tensorflow.org/tfx/serving/saved_model_warmup). The generated
classes for it are in a package of its own, `tensorflow-serving-api`, which
whoever exports a model need not have. Of the message only nested fields of
bytes are needed, and those have one simple form on the wire
(https://protobuf.dev/programming-guides/encoding): key, length, content.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

REQUESTS = Path("assets.extra", "tf_serving_warmup_requests")

# Field numbers: PredictionLog, PredictLog, PredictRequest, ModelSpec, a map.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS = 1, 2
_NAME, _SIGNATURE_NAME = 1, 3
_KEY, _VALUE = 1, 2
_LENGTH_DELIMITED = 2


def write_warmup(
    folder: Path, trials: Mapping[str, Mapping[str, Any]], name: str
) -> None:
    """Writes the requests: each signature, with its trial and one row of it.

    Args:
        folder: The SavedModel.
        trials: Signature name to named inputs.
        name: What the server calls the model.
    """
    path = folder / REQUESTS
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in trials.items():
            first = {key: value[:1] for key, value in inputs.items()}
            for each in (first, inputs):
                writer.write(prediction_log(name, signature, each))


def prediction_log(
    model: str, signature: str, inputs: Mapping[str, Any]
) -> bytes:
    """Returns a serialized `PredictionLog` of one Predict request."""
    spec = _field(_NAME, model.encode())
    spec += _field(_SIGNATURE_NAME, signature.encode())
    request = _field(_MODEL_SPEC, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor)
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    key = number << 3 | _LENGTH_DELIMITED
    return _varint(key) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more come."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
