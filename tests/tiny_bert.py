"""A tiny BERT with random weights, and the same in float64 NumPy."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.special import erf

# fmt: off
VOCABULARY = [
    "[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", ".", "##s",
    "the", "red", "dress", "bed", "wood", "##en", "北", "sofa", "##bed",
    "blue", "chair",
]
# fmt: on
WIDTH, HEADS, DEPTH = 8, 2, 2


def bert_weights():
    """Random weights under the names of Hugging Face."""
    rng = np.random.default_rng(3)
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": (16, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(DEPTH):
        layer = f"encoder.layer.{i}."
        for name, out, into in [
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", 24, WIDTH),
            ("output.dense", WIDTH, 24),
        ]:
            shapes[f"{layer}{name}.weight"] = (out, into)
            shapes[f"{layer}{name}.bias"] = (out,)
        norms += [f"{layer}attention.output.LayerNorm"]
        norms += [f"{layer}output.LayerNorm"]
    weights = {name: rng.normal(0, 0.5, s) for name, s in shapes.items()}
    for norm in norms:
        weights[f"{norm}.weight"] = rng.uniform(0.5, 1.5, WIDTH)
        weights[f"{norm}.bias"] = rng.normal(0, 0.2, WIDTH)
    return {name: w.astype(np.float32) for name, w in weights.items()}


def bert(w, pieces):
    """The mean token state of a BERT in float64 NumPy."""
    return mean_state(
        w, [VOCABULARY.index(p) for p in ["[CLS]", *pieces, "[SEP]"]]
    )


def mean_state(w, ids, *, skipped=0, epsilon=1e-12):
    """As above, of ids; RoBERTa skips two positions."""
    w = {name: value.astype(np.float64) for name, value in w.items()}

    def dense(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        x = x - x.mean(1, keepdims=True)
        x /= np.sqrt((x**2).mean(1, keepdims=True) + epsilon)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    positions = w["embeddings.position_embeddings.weight"][skipped:]
    x = x + positions[: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = norm("embeddings.LayerNorm", x)
    for i in range(DEPTH):
        layer = f"encoder.layer.{i}."
        q, k, v = (
            np.split(dense(f"{layer}attention.self.{name}", x), HEADS, axis=1)
            for name in ("query", "key", "value")
        )
        heads = []
        for h in range(HEADS):
            scores = np.exp(q[h] @ k[h].T / np.sqrt(WIDTH / HEADS))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[h])
        attended = dense(f"{layer}attention.output.dense", np.hstack(heads))
        x = norm(f"{layer}attention.output.LayerNorm", x + attended)
        z = dense(f"{layer}intermediate.dense", x)
        z = z * (1 + erf(z / np.sqrt(2))) / 2
        z = dense(f"{layer}output.dense", z)
        x = norm(f"{layer}output.LayerNorm", x + z)
    return x.mean(0)


def write(folder: Path):
    """Makes the folder of a checkpoint as Hugging Face writes it."""
    folder.mkdir()
    config = {
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "max_position_embeddings": 16,
        "hidden_act": "gelu",
    }
    files = {
        "config.json": config,
        "tokenizer_config.json": {"do_lower_case": True},
        "sentence_bert_config.json": {"max_seq_length": 12},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    save_file(bert_weights(), folder / "model.safetensors")
    return folder
