"""The peers of benchmarks/encoding.py: reads requests, encodes, says seconds.

Runs in an environment of its own and with whatever of it can be imported:

    python3 -m venv .venv-peers-encoding
    .venv-peers-encoding/bin/pip install -r benchmarks/peers-encoding.txt

Each line of the input is JSON: `peer`, `texts` (a JSON file), `checkpoint`, and
for model2vec `table` (a folder). Each line of the output is JSON: `seconds`
and `file`, where the embeddings are; or `error`.
"""

import functools
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Encode = Callable[[list[str]], Array]
CORES = len(os.sched_getaffinity(0))
BATCH = 32  # sentence-transformers' own


def sentence_transformers(request: dict[str, str], half: bool) -> Encode:
    """Returns the encoding of the original implementation."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(CORES)
    model = SentenceTransformer(request["checkpoint"], device="cpu")
    if half:
        model = model.bfloat16()
    return lambda texts: (
        model.encode(texts, batch_size=BATCH, convert_to_tensor=True)
        .float()
        .numpy()
    )


@functools.cache
def onnx_file(checkpoint: str, int8: bool) -> str:
    """Returns the file of the token states, exported from PyTorch."""
    import torch
    from transformers import AutoModel

    folder = Path(tempfile.gettempdir()) / f"encoding-onnx-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = folder / "int8.onnx"
        source = onnx_file(checkpoint, False)
        quantize_dynamic(source, small, weight_type=QuantType.QInt8)
        return str(small)

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(
                checkpoint, attn_implementation="eager"
            )

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask)[0]

    ids = torch.ones((2, 8), dtype=torch.int64)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    torch.onnx.export(
        States().eval(),
        (ids, torch.ones_like(ids)),  # one tensor twice would be one input
        str(path),
        input_names=["ids", "mask"],
        output_names=["states"],
        dynamic_shapes=(sizes, sizes),
    )
    return str(path)


def batched(
    request: dict[str, str], states: Callable[[Array, Array], Array]
) -> Encode:
    """Returns the encoding around `states`, as sentence-transformers does it.

    Texts sorted by length, padded to the longest of their batch, mean of the
    token states, unit length.
    """
    from tokenizers import Tokenizer

    file = Path(request["checkpoint"]) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def encode(texts: list[str]) -> Array:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        parts = []
        for start in range(0, len(order), BATCH):
            rows = [texts[i] for i in order[start : start + BATCH]]
            tokens = tokenizer.encode_batch(rows)
            ids = np.array([each.ids for each in tokens])
            mask = np.array([each.attention_mask for each in tokens])
            share = (mask / mask.sum(1, keepdims=True)).astype(np.float32)
            parts.append(np.einsum("bld,bl->bd", states(ids, mask), share))
        result = np.empty((len(texts), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result / np.linalg.norm(result, axis=1, keepdims=True)

    return encode


def onnx_runtime(request: dict[str, str], int8: bool) -> Encode:
    """Returns the encoding by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    session = onnxruntime.InferenceSession(
        onnx_file(request["checkpoint"], int8), options
    )
    return batched(
        request,
        lambda ids, mask: session.run(["states"], {"ids": ids, "mask": mask})[
            0
        ],
    )


def openvino(request: dict[str, str], precision: str) -> Encode:
    """Returns the encoding by OpenVINO."""
    import openvino as ov

    core = ov.Core()
    model = core.compile_model(
        ov.convert_model(onnx_file(request["checkpoint"], False)),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": CORES,
        },
    )
    return batched(
        request,
        lambda ids, mask: model({"ids": ids, "mask": mask})[0],
    )


def model2vec(request: dict[str, str]) -> Encode:
    """Returns the encoding by model2vec, with our table."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    folder = Path(request["table"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    table = np.load(folder / "table.npy")
    model = StaticModel(table, tokenizer, config={}, normalize=True)
    return lambda texts: model.encode(texts, max_length=None)


PEERS: dict[str, Callable[[dict[str, str]], Encode]] = {
    "sentence-transformers, float32": lambda r: sentence_transformers(r, False),
    "sentence-transformers, bfloat16": lambda r: sentence_transformers(r, True),
    "ONNX Runtime, float32": lambda r: onnx_runtime(r, False),
    "ONNX Runtime, int8": lambda r: onnx_runtime(r, True),
    "OpenVINO, float32": lambda r: openvino(r, "f32"),
    "OpenVINO, bfloat16": lambda r: openvino(r, "bf16"),
    "model2vec": model2vec,
}


def versions() -> str:
    """Returns the peers' versions."""
    names = [
        "torch",
        "sentence-transformers",
        "onnxruntime",
        "openvino",
        "model2vec",
    ]
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)


def answer(
    request: dict[str, str], loaded: dict[str, Encode]
) -> dict[str, Any]:
    """Returns the seconds for the texts; the model is loaded before."""
    peer = request["peer"]
    texts = json.loads(Path(request["texts"]).read_text())
    if peer not in loaded:
        loaded[peer] = PEERS[peer](request)
        loaded[peer](texts[:BATCH])
    start = time.perf_counter()
    values = loaded[peer](texts)
    seconds = time.perf_counter() - start
    file = Path(request["texts"]).with_suffix(".npy")
    np.save(file, values)
    return {"seconds": seconds, "file": str(file)}


def main() -> None:
    """Answers until the input ends."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else the libraries print is no answer
    loaded: dict[str, Encode] = {}
    output.write(json.dumps({"versions": versions()}) + "\n")
    output.flush()
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), loaded)
        except Exception as error:  # a peer that does not run is a row, too
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        output.write(json.dumps(reply) + "\n")
        output.flush()


if __name__ == "__main__":
    main()
