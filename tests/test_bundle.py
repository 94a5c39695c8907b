import keras
import numpy as np
import pytest

from tfimportance import Bundle, InputError, dense_head

FEATURES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def test_round_trip(tmp_path):
    keras.utils.set_random_seed(1)
    model = dense_head(3)
    Bundle(model, "static", ("query", "title"), "interaction").save(
        tmp_path / "model"
    )
    loaded = Bundle.load(tmp_path / "model")
    assert loaded.text == ("query", "title")
    assert (loaded.encoder, loaded.fields) == ("static", "interaction")
    assert np.array_equal(
        loaded.model.predict(FEATURES, verbose=0),
        model.predict(FEATURES, verbose=0),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_not_a_bundle(tmp_path):
    with pytest.raises(FileNotFoundError, match="`model`"):
        Bundle.load(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"`model`.*bundle\.json"):
        Bundle.load(tmp_path)
