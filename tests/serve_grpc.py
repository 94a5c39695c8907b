"""A minimal PredictionService over a SavedModel: `serve_grpc.py MODEL`.

The protos are those of TensorFlow Serving, the model runs without Keras, and
errors have the codes that the official server gives. Prints its port.
"""

import importlib.util
import sys
from concurrent import futures
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

WRONG = grpc.StatusCode.INVALID_ARGUMENT


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, version):
        self.version = version
        self.signatures = tf.saved_model.load(str(version)).signatures
        message = saved_model_pb2.SavedModel()
        data = (version / "saved_model.pb").read_bytes()
        message.ParseFromString(data)
        self.definitions = message.meta_graphs[0].signature_def

    def Predict(self, request, context):  # noqa: N802
        name = request.model_spec.signature_name or "serving_default"
        if name not in self.signatures:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no {name}")
        serve = self.signatures[name]
        specs = serve.structured_input_signature[1]
        if set(request.inputs) != set(specs):
            context.abort(
                WRONG,
                f"inputs {sorted(request.inputs)} are not {sorted(specs)}",
            )
        inputs = {}
        for key, spec in specs.items():
            value = tf.make_ndarray(request.inputs[key])
            if request.inputs[key].dtype != spec.dtype.as_datatype_enum:
                context.abort(WRONG, f"{key} must be {spec.dtype.name}")
            inputs[key] = tf.constant(value, spec.dtype)
        try:
            outputs = serve(**inputs)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            context.abort(WRONG, str(error)[:500])
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = int(self.version.name)
        for key, value in outputs.items():
            proto = tf.make_tensor_proto(value.numpy())
            response.outputs[key].CopyFrom(proto)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        known = get_model_metadata_pb2.SignatureDefMap()
        for key, value in self.definitions.items():
            known.signature_def[key].CopyFrom(value)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(known)
        return response


def main():
    for name in ("keras", "keras_hub", "tfimportance"):
        sys.modules[name] = None
    text = Path(importlib.util.find_spec("tensorflow_text").origin).parent
    for library in sorted(text.glob("python/ops/_*.so")):
        tf.load_op_library(str(library))
    path = Path(sys.argv[1])
    highest = max(int(p.name) for p in path.iterdir() if p.name.isdigit())
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(path / str(highest)), server
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
