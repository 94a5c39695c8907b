import json

import numpy as np
import pytest
import reference
import tensorflow as tf
from letters import Letters, letters
from served import ask_fresh_process

from tfimportance import Examples, InputError, datasets, encode, load_encoder
from tfimportance.encoding import fit_whitening

POOL = ["red shoe", "", "a hoe", "oases", "red shoe", "some hash", "heaps, so"]
POOL += ["easel", "echo hall", "a sea", "soho", "hoses and shoes", "x", "aeho"]
NEW = ["a new shoe", "", "ease"]


def statistics(texts):
    x = letters(texts)
    return x.mean(0), np.cov(x.T, ddof=0)


def test_centred_by_hand():
    white = fit_whitening(Letters(), POOL, scale=False)
    mean, _ = statistics(POOL)
    expected = reference.unit(letters(NEW) - mean)
    np.testing.assert_allclose(encode(white, NEW), expected, atol=1e-5)
    assert (white.dim, white.name) == (6, "letters_whitened")


def test_whitened_inner_products_in_float64():
    """Components have no sign, so inner products are compared."""
    white = fit_whitening(Letters(), POOL)
    mean, covariance = statistics(POOL)
    ridge = 1e-3 * np.trace(covariance) / 6 * np.eye(6)
    centred = letters(NEW) - mean
    expected = centred @ np.linalg.inv(covariance + ridge) @ centred.T
    lengths = np.sqrt(np.diag(expected))
    x = encode(white, NEW).astype(np.float64)
    np.testing.assert_allclose(
        x @ x.T, expected / np.outer(lengths, lengths), atol=1e-4
    )


def test_the_strongest_components_are_kept():
    two = fit_whitening(Letters(), POOL, dim=2, scale=False)
    mean, covariance = statistics(POOL)
    _, vectors = np.linalg.eigh(covariance)
    expected = reference.unit((letters(NEW) - mean) @ vectors[:, :-3:-1])
    assert two.dim == 2
    np.testing.assert_allclose(
        np.abs(encode(two, NEW)), np.abs(expected), atol=1e-5
    )


def test_all_columns_and_every_row_count():
    columns = {"a": np.array(POOL[:7], object), "b": np.array(POOL[7:], object)}
    np.testing.assert_allclose(
        encode(fit_whitening(Letters(), Examples(text=columns)), NEW),
        encode(fit_whitening(Letters(), POOL), NEW),
        atol=1e-5,
    )


def test_each_column_is_fitted_behind_its_own_prefix():
    columns = {"a": np.array(POOL[:7], object), "b": np.array(POOL[7:], object)}
    encoder = Letters()
    encoder.prefixes = ("ask: ", "")
    white = fit_whitening(encoder, Examples(text=columns))
    asked = [f"ask: {text}" for text in POOL[:7]] + POOL[7:]
    expected = fit_whitening(Letters(), asked)
    white.prefixes = ()
    np.testing.assert_allclose(
        encode(white, NEW), encode(expected, NEW), atol=1e-5
    )


@pytest.fixture(scope="module")
def reviews():
    return list(datasets.load("womens_clothing_reviews")["review"][:400])


def test_what_is_whitened_varies_alike_in_all_directions(reviews):
    white = fit_whitening(load_encoder("static"), reviews, dim=8)
    x = encode(white, reviews).astype(np.float64)
    spread = np.linalg.eigvalsh(np.cov(x.T))
    assert spread[-1] < 3 * spread[0]
    plain = encode(load_encoder("static"), reviews)
    spread = np.linalg.eigvalsh(np.cov(plain.T))[-8:]
    assert spread[-1] > 4 * spread[0]


def test_it_is_carried_on_reload_and_export(reviews, tmp_path):
    white = fit_whitening(load_encoder("static"), reviews, dim=16)
    folder = white.save(tmp_path / "white")
    again = load_encoder(folder)
    assert again.fingerprint == white.fingerprint
    x = encode(white, reviews[:5])
    np.testing.assert_array_equal(encode(again, reviews[:5]), x)
    module = tf.Module()
    module.encoder = again
    module.serve = tf.function(
        lambda text: {"probability": again(text)},
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    version = tmp_path / "1"
    tf.saved_model.save(module, str(version), {"serving_default": module.serve})
    answers = ask_fresh_process(
        version, tmp_path, serving_default={"text": reviews[:5]}
    )["serving_default probability"]
    np.testing.assert_allclose(answers, x, atol=1e-6)


def test_its_cache_is_not_that_of_the_encoder_below(reviews, tmp_path):
    static = load_encoder("static")
    white = fit_whitening(static, reviews, dim=4, cache=tmp_path)
    assert encode(white, reviews, cache=tmp_path).shape == (400, 4)
    assert encode(static, reviews, cache=tmp_path).shape == (400, 256)


def test_a_whitening_of_another_encoder_is_refused(reviews, tmp_path):
    from tfimportance.encoding.static import save_static

    rng = np.random.default_rng(2)
    for _ in range(2):
        table = rng.normal(size=(4, 4)).astype(np.float32)
        pieces = ["[UNK]", "a", "b", "##c"]
        save_static(tmp_path / "s", table, pieces, lowercase=True)
        if not (tmp_path / "white").exists():
            base = load_encoder(tmp_path / "s")
            fit_whitening(base, ["a", "b", "ac"]).save(tmp_path / "white")
    with pytest.raises(
        InputError, match=r"has changed.*Fit the whitening again"
    ):
        load_encoder(tmp_path / "white")


def test_a_whitening_of_another_version_is_refused(tmp_path):
    static = load_encoder("static")
    folder = fit_whitening(static, ["a", "b"], dim=1).save(tmp_path / "white")
    config = json.loads((folder / "config.json").read_text())
    config["whitening_format"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="of format 2"):
        load_encoder(folder)


def test_what_cannot_be_fitted_or_saved(tmp_path):
    with pytest.raises(InputError, match="`dim` must be at most 6"):
        fit_whitening(Letters(), POOL, dim=7)
    with pytest.raises(InputError, match="`dim` must be an integer"):
        fit_whitening(Letters(), POOL, dim=0)
    with pytest.raises(InputError, match="from a folder or a name"):
        fit_whitening(Letters(), POOL).save(tmp_path / "white")
    assert not (tmp_path / "white").exists()


def test_a_pool_without_any_variation_stays_finite():
    white = fit_whitening(Letters(), ["shoe", "shoe"])
    assert np.isfinite(encode(white, NEW)).all()
    assert (encode(white, ["shoe"]) == 0).all()
