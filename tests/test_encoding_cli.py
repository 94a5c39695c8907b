"""Encoders from the shell, and into weights by one changed word."""

import numpy as np
import pandas as pd
import pytest
import tiny_bert

from tfimportance import encode, load_encoder
from tfimportance.cli import main

ROWS = {
    "title": ["the red dress", "a blue sofa", "the red dress", "wood chair."],
    "query": ["dress", "sofa", "bed", "chair"],
    "label": [1, 1, 0, 1],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_bert.write(tmp_path / "tiny-bert")
    pd.DataFrame(ROWS).to_parquet("train.parquet")
    pd.DataFrame(ROWS).iloc[[0, 2]].to_parquet("target.parquet")
    return tmp_path


def score(encoder, fields="auto"):
    code = main(
        f"score train.parquet target.parquet --text query title --label label "
        f"--encoder {encoder} --fields {fields} "
        f"--output weights.parquet".split()
    )
    assert code == 0
    return pd.read_parquet("weights.parquet")["sample_weight"].to_numpy()


def test_from_a_hugging_face_folder_to_weights_by_one_word(folder):
    static, bert = score("static"), score("tiny-bert")
    for weights in (static, bert):
        np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)
    assert not np.allclose(static, bert)


def test_a_file_of_embeddings_takes_the_place_of_its_encoder(folder, capsys):
    arguments = "encode train.parquet --text query title --encoder tiny-bert"
    assert main(f"{arguments} --output e.parquet --cache c".split()) == 0
    assert "7 different texts, 8 numbers" in capsys.readouterr().out
    np.testing.assert_array_equal(
        encode(load_encoder("e.parquet"), ROWS["title"]),
        encode(load_encoder("tiny-bert"), ROWS["title"], cache="c"),
    )
    np.testing.assert_allclose(
        score("e.parquet"), score("tiny-bert"), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("fields", "number"), [("join", 5), ("auto", 9), ("mean", 9)]
)
def test_a_file_of_embeddings_holds_the_texts_of_all_files(
    folder, capsys, fields, number
):
    target = {"title": ["an oak bed"], "query": ["oak"], "label": [0]}
    frame = pd.concat([pd.DataFrame(ROWS)[:1], pd.DataFrame(target)])
    frame.to_csv("target.csv", index=False)
    pd.read_csv("target.csv").to_parquet("target.parquet")
    encode = "--text query title --encoder tiny-bert --output e.parquet"
    files = "train.parquet target.csv"
    assert main(f"encode {files} {encode} --fields {fields}".split()) == 0
    assert f"{number} different texts" in capsys.readouterr().out
    np.testing.assert_allclose(
        score("e.parquet", fields), score("tiny-bert", fields), rtol=1e-4
    )


@pytest.mark.parametrize("fields", ["auto", "join"])
def test_a_text_without_embedding_names_both_causes(folder, capsys, fields):
    texts = "--text query title --encoder tiny-bert --output e.parquet"
    assert main(f"encode target.parquet {texts} --fields auto".split()) == 0
    code = main(
        "score train.parquet target.parquet --text query title --encoder "
        f"e.parquet --fields {fields} --output weights.parquet".split()
    )
    assert code == 2
    err = capsys.readouterr().err
    assert "rows of another file, or made with another `fields`" in err


def test_a_whitened_encoder_takes_the_place_of_its_encoder(folder, capsys):
    arguments = "whiten train.parquet --text query title --encoder tiny-bert"
    assert main(f"{arguments} --dim 3 --output white".split()) == 0
    assert "white: 3 dimensions" in capsys.readouterr().out
    assert encode(load_encoder("white"), ["sofa"]).shape == (1, 3)
    assert not np.allclose(score("white"), score("tiny-bert"))


def test_prefixes_have_no_place_in_a_file(folder, tmp_path):
    from tfimportance import InputError
    from tfimportance.encoding import encode_distinct

    encoder = load_encoder("static", prefixes=["query: "])
    with pytest.raises(InputError, match="no prefixes"):
        encode_distinct(encoder, ["a"], tmp_path / "e.parquet")


def test_a_configuration_holds_an_encoder_with_options(folder):
    from tfimportance.config import RunConfig

    text = """
    name: tiny
    pool: train.parquet
    text: [title]
    label: label
    target: target.parquet
    encoder: {source: tiny-bert, pooling: cls, prefixes: ["red "]}
    """
    (folder / "tiny.yaml").write_text(text)
    config = RunConfig.load("tiny.yaml")
    encoder = load_encoder(config.encoder)
    assert (encoder.pooling, encoder.prefixes) == ("cls", ("red ",))
    assert RunConfig.from_dict(config.to_dict()) == config
