import itertools
import threading
import time

import numpy as np
import pandas as pd
import pytest
import reference
import tensorflow as tf
from letters import ITEM, QUERY, Letters, letters, pairs

from tfimportance import Examples, InputError
from tfimportance.encoding import combine_fields, encode


def test_each_row_gets_the_embedding_of_its_text():
    x = encode(Letters(), QUERY, batch_size=2)
    np.testing.assert_allclose(x, letters(QUERY), rtol=1e-6)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_each_different_text_is_encoded_once_the_longest_first(batch_size):
    encoder = Letters()
    encode(encoder, QUERY, batch_size=batch_size)
    seen = [text for batch in encoder.seen for text in batch]
    assert seen == ["a very long query", "red shoe", "bed", ""]
    assert max(map(len, encoder.seen)) <= batch_size


@pytest.mark.parametrize("fields", ["interaction", "concat", "mean"])
def test_a_text_in_two_columns_is_encoded_once(fields):
    encoder = Letters()
    encode(
        encoder,
        pairs(a=["bed", "x", "bed"], b=["y", "bed", "x"]),
        fields=fields,
    )
    assert sorted(itertools.chain(*encoder.seen)) == ["bed", "x", "y"]


class Words(Letters):
    """Says that a word is a token and how many tokens fit a batch."""

    batch_tokens = 12

    def token_counts(self, texts):
        return tf.strings.split(texts).row_lengths() + 2


TEXTS = [
    "a",
    "b c d e f g h i j k l m n o",
    "longlonglong",
    "r s t",
    "u v",
    "w",
]


def test_a_batch_holds_so_many_tokens():
    # 16 tokens alone; 5 and 4 make 10 when padded; 3 each, four of them fit.
    encoder = Words()
    x = encode(encoder, TEXTS)
    assert encoder.seen == [
        ["b c d e f g h i j k l m n o"],
        ["r s t", "u v"],
        ["a", "longlonglong", "w"],
    ]
    np.testing.assert_allclose(x, letters(TEXTS), rtol=1e-6)
    encoder = Words()
    encode(encoder, TEXTS, batch_size=5)
    assert list(map(len, encoder.seen)) == [5, 1]


def test_tokens_are_estimated_where_they_are_not_counted():
    encoder = Letters()
    encoder.batch_tokens = 12  # characters // 4 + 2
    encode(encoder, ["x" * 40, "y" * 12, "z" * 4, "u" * 8, "v"])
    assert encoder.seen == [
        ["x" * 40],
        ["y" * 12, "u" * 8],
        ["z" * 4, "v"],
    ]


def test_many_texts_are_counted_in_pieces(monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.running._COUNTED", 2)
    encoder = Words()
    encode(encoder, TEXTS)
    assert list(map(len, encoder.seen)) == [1, 2, 3]


class Slow(Letters):
    """Embeds four batches at a time; the first ones take longest."""

    threads = 4

    def __init__(self):
        super().__init__()
        self.running, self.most, self.lock = 0, 0, threading.Lock()

    def __call__(self, texts):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.05 if len(texts[0].numpy()) > 3 else 0)
        values = super().__call__(texts)
        with self.lock:
            self.running -= 1
        return values


def test_threads_change_nothing_but_the_time():
    encoder = Slow()
    x = encode(encoder, [*QUERY, *ITEM], batch_size=1)
    np.testing.assert_array_equal(x, encode(Letters(), [*QUERY, *ITEM]))
    assert 1 < encoder.most <= 4


def test_an_error_in_a_thread_is_the_callers():
    def encoder(texts):
        return [[np.nan if len(t) < 9 else 1.0] for t in texts.numpy()]

    encoder.threads = 3
    with pytest.raises(InputError, match="NaN or infinity for 1 of 1 texts"):
        encode(encoder, QUERY, batch_size=1)


@pytest.mark.parametrize(
    "texts",
    [
        pd.Series(QUERY),
        np.array(QUERY),
        np.array(QUERY, object),
        tuple(QUERY),
        pairs(only=QUERY),
    ],
    ids=["Series", "U", "object", "tuple", "Examples"],
)
def test_what_holds_strings_is_taken(texts):
    np.testing.assert_allclose(
        encode(Letters(), texts), letters(QUERY), rtol=1e-6
    )


def test_half_a_surrogate_pair_does_not_stop_the_run():
    x = encode(Letters(), ["shoe \ud83d", "shoe ?"])
    np.testing.assert_array_equal(x[0], x[1])


def test_many_rows_are_combined_in_pieces(monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.batching._ROWS", 4)
    x = encode(Letters(), pairs(query=QUERY, item=ITEM), fields="concat")
    expected = np.hstack([letters(QUERY), letters(ITEM)])
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def interaction(q, p):
    return reference.unit(np.hstack([q * p, np.abs(q - p)]))


EXPECTED = {
    "join": lambda q, p: letters(
        [f"{a} {b}" for a, b in zip(QUERY, ITEM, strict=True)]
    ),
    "interaction": interaction,
    "concat": lambda q, p: np.hstack([q, p]),
    "mean": lambda q, p: (q + p) / 2,
    "auto": interaction,
}


@pytest.mark.parametrize("fields", EXPECTED)
def test_two_columns(fields):
    examples = pairs(query=QUERY, item=ITEM)
    expected = EXPECTED[fields](letters(QUERY), letters(ITEM))
    np.testing.assert_allclose(
        encode(Letters(), examples, fields=fields), expected, atol=1e-6
    )


def test_three_columns_are_joined_by_default():
    x = encode(Letters(), pairs(a=QUERY, b=ITEM, c=QUERY))
    joined = [" ".join(t) for t in zip(QUERY, ITEM, QUERY, strict=True)]
    np.testing.assert_allclose(x, letters(joined), rtol=1e-6)
    x = encode(Letters(), pairs(a=QUERY, b=ITEM, c=QUERY), fields="mean")
    expected = (2 * letters(QUERY) + letters(ITEM)) / 3
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_the_order_of_the_columns_counts():
    one = encode(Letters(), pairs(z=QUERY, a=ITEM), fields="concat")
    np.testing.assert_allclose(one[:, :6], letters(QUERY), rtol=1e-6)


def test_a_pair_of_empty_texts_gives_no_nan():
    x = encode(Letters(), pairs(query=["", "a"], item=["", "b"]))
    np.testing.assert_array_equal(x[0], np.zeros(12))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "`examples` must hold at least one text"),
        ("a text", "Put the text into a list"),
        (["a", None], "strings. Received: None in row 1"),
        (["a", b"b"], "strings. Received: b'b' in row 1"),
        ([["a"], ["b"]], "in one dimension"),
    ],
)
def test_texts_that_are_none(texts, message):
    with pytest.raises(InputError, match=message):
        encode(Letters(), texts)


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        (2, "joined", "Did you mean 'join'"),
        (1, "interaction", "exactly two text columns. Received: 1 column"),
        (3, "interaction", "exactly two text columns. Received: 3 column"),
    ],
)
def test_fields_that_do_not_suit(columns, fields, message):
    texts = {f"c{i}": np.array(QUERY, object) for i in range(columns)}
    with pytest.raises(InputError, match=message):
        encode(Letters(), Examples(text=texts), fields=fields)
    with pytest.raises(InputError, match=message):
        combine_fields(Letters(), texts, fields)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: tf.ones([3, 2]), r"shape \(3, 2\) for 2 texts"),
        (lambda t: tf.ones([len(t)]), r"shape \(2,\) for 2 texts"),
        (lambda t: tf.ones([len(t), len(t)]), r"shape \(1, 1\) for 1 texts"),
        (lambda t: tf.ones([len(t), 0]), r"shape \(2, 0\)"),
        (lambda t: [[1, np.nan]] * len(t), "NaN or infinity for 2 of 2 texts"),
    ],
    ids=["rows", "rank", "changing dim", "no dim", "NaN"],
)
def test_encoders_that_misbehave(function, message):
    with pytest.raises(InputError, match=message):
        encode(function, ["a", "b", "c"], batch_size=2)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_batch_sizes_that_are_none(batch_size):
    with pytest.raises(InputError, match="`batch_size` must be an integer"):
        encode(Letters(), QUERY, batch_size=batch_size)


class Bar:
    """What the bar was told."""

    def __init__(self, total, bar_format, disable):
        self.total, self.disable, self.updates, self.texts = (
            total,
            disable,
            [],
            [],
        )
        assert "{remaining}" in bar_format
        bars.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def set_description_str(self, text, refresh):
        self.texts.append(text)

    def update(self, amount):
        self.updates.append(amount)


bars = []


def test_the_bar_counts_texts_and_its_time_goes_by_their_length(monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.running.tqdm", Bar)
    bars.clear()
    encode(Letters(), QUERY, batch_size=3)
    encode(Words(), TEXTS, progress=False)
    characters, tokens = bars
    assert characters.updates == [18 + 9 + 4, 1]
    assert characters.total == sum(characters.updates)
    starts = [text.split(" texts, ")[0] for text in characters.texts]
    assert starts == ["encode 3/4", "encode 4/4"]
    assert characters.texts[0].endswith("/s")
    assert tokens.updates == [16, 5 + 4, 3 + 3 + 3]
    assert (characters.disable, tokens.disable) == (None, True)


@pytest.mark.parametrize("fields", EXPECTED)
@pytest.mark.parametrize("repeated", [False, True])
def test_the_output_is_a_file(tmp_path, monkeypatch, fields, repeated):
    monkeypatch.setattr("tfimportance.encoding.batching._ROWS", 4)
    query = QUERY if repeated else [f"{q} {i}" for i, q in enumerate(QUERY)]
    examples = pairs(query=query, item=ITEM)
    path = tmp_path / "new" / "x.npy"
    x = encode(Letters(), examples, fields=fields, output=path)
    expected = encode(Letters(), examples, fields=fields)
    assert [file.name for file in path.parent.iterdir()] == ["x.npy"]
    assert isinstance(x, np.memmap)
    assert not x.flags.writeable
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(np.load(path), expected)


def test_an_error_leaves_the_old_output(tmp_path):
    path = tmp_path / "x.npy"
    encode(Letters(), QUERY, output=path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="finite"):
        encode(lambda t: [[1, np.nan]] * len(t), ["a"], output=path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("name", ["x", "x.npz", "folder.npy"])
def test_outputs_that_are_none(tmp_path, name):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match="`output` must be a file that ends"):
        encode(Letters(), QUERY, output=tmp_path / name)
