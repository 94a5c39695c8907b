import numpy as np
import pandas as pd
import pytest
from letters import ITEM, QUERY, pairs

from tfimportance import InputError, encode, export, load_encoder
from tfimportance.encoding.precomputed import save_embeddings

TEXTS = sorted({*QUERY, *ITEM})
TABLE = np.random.default_rng(9).normal(size=(len(TEXTS), 5))


@pytest.fixture
def file(tmp_path):
    """As another program may write it: lists, float64."""
    frame = pd.DataFrame({"text": TEXTS, "embedding": list(TABLE), "more": 1})
    frame.to_parquet(tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def test_texts_are_looked_up(file):
    encoder = load_encoder(file)
    assert (encoder.dim, encoder.name) == (5, "mine_parquet")
    rows = dict(zip(TEXTS, TABLE, strict=True))
    expected = [[*rows[q], *rows[i]] for q, i in zip(QUERY, ITEM, strict=True)]
    x = encode(encoder, pairs(query=QUERY, item=ITEM), fields="concat")
    np.testing.assert_allclose(x, expected, atol=1e-6)


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "a.parquet"
    save_embeddings(path, TEXTS, TABLE.astype(np.float32))
    encoder = load_encoder(path)
    np.testing.assert_array_equal(
        encode(encoder, TEXTS), TABLE.astype(np.float32)
    )
    first = encoder.fingerprint
    save_embeddings(path, TEXTS, TABLE.astype(np.float32) + 1)
    assert load_encoder(path).fingerprint != first


def test_unknown_texts_are_named(file):
    with pytest.raises(InputError, match=r"2 of 3 texts.*'northern lights'"):
        encode(load_encoder(file), ["northern lights", QUERY[0], "zzz"])


def test_a_file_cannot_be_exported(file, tmp_path):
    from served import dense

    with pytest.raises(InputError, match="the encoder that made the file"):
        export(dense(5), load_encoder(file), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"text": ["a"], "vector": [[1.0]]}),
        pd.DataFrame({"text": ["a", "b"], "embedding": [[1.0], [1.0, 2.0, 3]]}),
        pd.DataFrame({"text": ["a", "b"], "embedding": [[1.0], None]}),
        pd.DataFrame({"text": ["a"], "embedding": [["x"]]}),
        pd.DataFrame({"text": ["a"], "embedding": [3.0]}),
        pd.DataFrame({"text": ["a", None], "embedding": [[1.0], [2.0]]}),
        pd.DataFrame({"text": [7], "embedding": [[1.0]]}),
        pd.DataFrame({"text": ["a", "b", "c"], "embedding": [[1], [2, 3], []]}),
    ],
)
def test_files_of_another_form(tmp_path, frame):
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="`source` must be a Parquet file"):
        load_encoder(tmp_path / "x.parquet")


def test_a_file_of_another_kind_and_one_with_a_hole(tmp_path):
    (tmp_path / "x.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match="`source` must be a Parquet file"):
        load_encoder(tmp_path / "x.parquet")
    save_embeddings(tmp_path / "y.parquet", ["a"], np.array([[np.nan]]))
    with pytest.raises(InputError, match="`source` must be finite"):
        load_encoder(tmp_path / "y.parquet")
