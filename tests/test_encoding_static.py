import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import reference
import tensorflow as tf
from safetensors.numpy import load_file, save_file
from served import ask_fresh_process, text_operations

import tfimportance
from tfimportance import InputError, datasets, encode, load_encoder

SHIPPED = Path(tfimportance.__file__).parent / "encoding" / "static"
FILES = ("config.json", "model.safetensors", "vocab.txt")

# Texts and their word pieces, worked out by hand: BERT drops case and accents,
# splits at white space and around punctuation and Chinese characters, and
# takes the longest pieces of the vocabulary from the left.
PIECES = {
    "A red dress": "a red dress",
    "Café naïve ÀÉÎ": "cafe naive ae ##i",
    "Cafe\u0301": "cafe",
    "北京 東": "北 京 東",
    "don't—stop!": "don ' t — stop !",
    "$5.00 50% ^_^": "$ 5 . 00 50 % ^ _ ^",
    "[CLS] hi": "[ cl ##s ] hi",
    "great 😀👍": "great [UNK]",
    "a" * 301: "[UNK]",
    "\uff26\uff35\uff2c\uff2c \ufb01ne": "full fine",
    "İstanbul": "istanbul",
    "two\u3000words\u00a0here": "two words here",
    "soft\u00adware": "software",
    "tab\tnew\nline": "tab new line",
    "the " * 5000: "the " * 5000,
    "": "",
    " \t\r\n": "",
    "\ufeffmark": "mark",
}


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("static")


@pytest.fixture(scope="module")
def table():
    """Word piece to float64 vector, read from the files alone."""
    tensors = load_file(SHIPPED / "model.safetensors")
    rows = tensors["table"] * tensors["scale"].astype(np.float64)[:, None]
    pieces = (SHIPPED / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return dict(zip(pieces[:-1], rows, strict=True))


def embedded(table, pieces):
    return reference.unit([sum((table[p] for p in pieces), np.zeros(256))])[0]


def test_word_pieces_worked_out_by_hand(encoder, table):
    x = encoder(tf.constant(list(PIECES))).numpy()
    for row, (text, pieces) in zip(x, PIECES.items(), strict=True):
        np.testing.assert_allclose(
            row, embedded(table, pieces.split()), atol=4e-6, err_msg=text[:60]
        )


def test_the_word_pieces_of_real_reviews(encoder, table):
    """KerasHub's tokenizer agrees, but that it keeps accents."""
    from keras_hub.tokenizers import WordPieceTokenizer

    other = WordPieceTokenizer(list(table), lowercase=True, dtype="string")
    reviews = datasets.load("womens_clothing_reviews")["review"][:1000]
    plain = [
        "".join(
            character
            for character in unicodedata.normalize("NFD", review)
            if unicodedata.category(character) != "Mn"
        )
        for review in reviews
    ]
    expected = [embedded(table, pieces) for pieces in other(plain)]
    np.testing.assert_allclose(encode(encoder, reviews), expected, atol=2e-6)


def test_what_is_similar_lies_together(encoder):
    x = encode(encoder, ["red summer dress", "crimson gown", "usb-c charger"])
    near, far = x[0] @ x[1], x[0] @ x[2]
    assert near > far + 0.2


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_empty_texts_are_zero_wherever_they_stand(encoder, rows):
    x = encoder(tf.constant([""] * rows + ["bed"] + [""] * rows)).numpy()
    np.testing.assert_allclose((x**2).sum(1), [0] * rows + [1] + [0] * rows)
    assert encoder(tf.constant([], tf.string)).shape == (0, 256)


def test_a_saved_model_answers_the_same_without_this_package(encoder, tmp_path):
    texts = list(PIECES)
    module = tf.Module()
    module.encoder = encoder
    module.serve = tf.function(
        lambda text: {"probability": encoder(text)},
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    version = tmp_path / "1"
    tf.saved_model.save(module, str(version), {"serving_default": module.serve})
    answers = ask_fresh_process(
        version, tmp_path, serving_default={"text": texts}
    )["serving_default probability"]
    np.testing.assert_array_equal(answers, encoder(tf.constant(texts)))
    # Known to every TensorFlow Serving since 2.15.
    assert text_operations(version) == {
        "FastBertNormalize",
        "FastWordpieceTokenizeWithOffsets",
    }


def test_the_shipped_files_are_small_and_say_where_they_are_from():
    files = {path.name: path.stat().st_size for path in SHIPPED.iterdir()}
    assert set(files) == {*FILES, "ATTRIBUTION.md"}
    assert sum(files.values()) <= 8_000_000
    assert "Apache License 2.0" in (SHIPPED / "ATTRIBUTION.md").read_text()


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(SHIPPED, tmp_path / "my 2"))


def test_a_copied_folder_is_the_same_encoder(encoder, copy):
    other = load_encoder(str(copy))
    assert other.name == "my_2"
    texts = tf.constant(["Solid oak bed", "usb"])
    np.testing.assert_array_equal(other(texts), encoder(texts))


def test_damaged_files(copy):
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:1_000_000])
    with pytest.raises(InputError, match=r"a whole table.*model\.safetensors"):
        load_encoder(copy)
    save_file({"other": np.ones(3)}, copy / "model.safetensors")
    with pytest.raises(InputError, match=r"a whole table.*table"):
        load_encoder(copy)
    (copy / "model.safetensors").write_bytes(whole)
    with (copy / "vocab.txt").open("a") as file:
        file.write("one more\n")
    with pytest.raises(InputError, match=r"29525 lines, table.shape=\(29524"):
        load_encoder(copy)


def test_files_of_a_later_version(copy):
    config = json.loads((SHIPPED / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"static_format": 2}))
    with pytest.raises(InputError, match=r"of format 1.*of format 2"):
        load_encoder(copy)
