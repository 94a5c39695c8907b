"""A RoBERTa as sentence-transformers saves it, against NumPy."""

import json

import numpy as np
import pytest
import reference
import tiny_bert
from safetensors.numpy import save_file

from tfimportance import encode, load_encoder

TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "Ġ", "Ġa", "ab"]
# Text to its ids: byte pairs merge from the left, a space belongs to the word.
TEXTS = {
    "ab a": [0, 9, 8, 2],
    "b": [0, 6, 2],
    "": [0, 2],
    "bab aab": [0, 6, 9, 8, 9, 2],
}


def write(folder, prefix):
    """With a head, the names of the weights have a prefix; else none."""
    folder.mkdir()
    config = {
        "model_type": "roberta",
        "vocab_size": len(tiny_bert.VOCABULARY),
        "num_hidden_layers": tiny_bert.DEPTH,
        "num_attention_heads": tiny_bert.HEADS,
        "hidden_size": tiny_bert.WIDTH,
        "intermediate_size": 24,
        "max_position_embeddings": 16,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text("{}")
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = ["#version: 0.2", "a b", "Ġ a"]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n")
    weights = tiny_bert.bert_weights()
    save_file(
        {f"{prefix}{name}": value for name, value in weights.items()},
        folder / "model.safetensors",
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "roberta."])
def test_values_agree_with_a_roberta_in_numpy(tmp_path, prefix):
    folder = write(tmp_path / "tiny-roberta", prefix)
    before = sorted(folder.iterdir())
    encoder = load_encoder(folder)
    assert (encoder.max_length, encoder.pooling) == (14, "mean")
    rows = [
        tiny_bert.mean_state(
            tiny_bert.bert_weights(), ids, skipped=2, epsilon=1e-5
        )
        for ids in TEXTS.values()
    ]
    expected = reference.unit(rows)
    np.testing.assert_allclose(
        encode(encoder, list(TEXTS)), expected, atol=2e-6
    )
    assert sorted(folder.iterdir()) == before
