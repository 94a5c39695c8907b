"""The example: a whole encoder is trained, with weights."""

from types import SimpleNamespace

import keras
import keras_hub
import numpy as np
import pytest

from tfimportance.examples import finetune
from tfimportance.training import fit

pytestmark = pytest.mark.slow
WORDS = ["the", "dress", "fabric", "love", "size", "too", "not", "is", "it"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A BERT of two tiny layers."""
    keras.utils.set_random_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = special + WORDS + [f"##{c}" for c in "abcdefghinorst"]
    tokenizer = keras_hub.models.BertTokenizer(
        vocabulary + list("abcdefghijklmnopqrstuvwxyz"), lowercase=True
    )
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=24,
    )
    folder = tmp_path_factory.mktemp("bert")
    backbone.save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return str(folder)


def test_every_part_of_the_encoder_learns_by_weight(checkpoint):
    task = finetune.load_task(checkpoint, 96, 16)
    rows = [len(part.labels) for part in task]
    assert rows[:3] == [96, 200, 300]
    model, encoder = finetune.build(checkpoint, 1e-3)
    before = [each.numpy() for each in encoder.variables]
    arguments = SimpleNamespace(allocation="learning_rate", refresh=True)
    given = finetune.resources(encoder, task, arguments)
    assert given["sample_weight"].effective_fraction == pytest.approx(
        0.85, abs=0.01
    )
    fit(model, *task.train, epochs=2, seed=0, batch_size=32, **given)
    moved = {
        variable.path: np.abs(variable.numpy() - old).max() > 0
        for variable, old in zip(encoder.variables, before, strict=True)
    }
    still = {path for path, has_moved in moved.items() if not has_moved}
    # A constant added to all keys changes no attention.
    assert {path for path in still if "key/bias" not in path} == set()
    refreshed = np.asarray(given["callbacks"][0].importance)
    assert refreshed.shape == (96,)


@pytest.mark.slow
def test_the_command_trains_both_ways(checkpoint, capsys):
    options = ["--rows", "64", "--epochs", "1", "--length", "12"]
    found = finetune.main([checkpoint, *options, "--learning-rate", "0.003"])
    assert set(found) == {"uniform", "weighted"}
    assert found["uniform"].roc_auc != found["weighted"].roc_auc
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["uniform", "weighted"]
    assert f"{found['weighted'].roc_auc:.4f}" in lines[1]
