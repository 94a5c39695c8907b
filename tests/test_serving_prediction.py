"""`predict` and `similar`, from the command line on small real files."""

import json

import keras
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from served import listing

from tfimportance import (
    InputError,
    TargetSet,
    datasets,
    dense_head,
    encode,
    export,
    find_similar,
    fit_columns,
    importance_scores,
    load_encoder,
    load_examples,
    model_embeddings,
    predict_file,
    sequence_model,
)
from tfimportance.cli import main
from tfimportance.serving import prediction, search, similar

ROWS = datasets.load("womens_clothing_reviews")[:130]
TITLES = datasets.load("esci_sample").drop_duplicates("title")[:400]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("static")


@pytest.fixture(scope="module")
def known(encoder):
    """Embeddings, probabilities and scores as the Python chain has them."""
    examples = load_examples(
        ROWS, text=["title", "review"], label="recommended"
    )
    x = encode(encoder, examples, fields="join", progress=False)
    keras.utils.set_random_seed(2)
    model = dense_head(encoder.dim)
    label = examples.labels.astype(int)
    return {
        "model": model,
        "label": label,
        "embedding": x,
        "probability": model.predict(x, verbose=0)[:, 0],
        "importance": importance_scores(
            x,
            x[:40],
            labels=label,
            target_labels=label[:40],
            reference="target",
        ),
    }


@pytest.fixture(scope="module")
def folder(encoder, known, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    x, label = known["embedding"], known["label"]
    targets = TargetSet(x[:40], label[:40], offset=x.mean(axis=0))
    export(
        known["model"],
        encoder,
        folder / "reviews",
        text=["title", "review"],
        fields="join",
        targets=targets,
    )
    rows = ROWS.rename(columns={"recommended": "liked"})
    rows.to_parquet(folder / "rows.parquet")
    rows.to_csv(folder / "rows.csv", index=False)
    rows.to_json(folder / "rows.jsonl", orient="records", lines=True)
    rows.to_csv(folder / "rows.tsv", sep="\t", index=False)
    TITLES[["product_id", "title", "brand"]].to_parquet(folder / "shop.parquet")
    return folder


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("file", "output"),
    [
        ("rows.parquet", "p.parquet"),
        ("rows.csv", "p.csv"),
        ("rows.jsonl", "p.parquet"),
        ("rows.tsv", "p.csv"),
    ],
)
def test_every_row_in_its_order(
    folder, known, tmp_path, capsys, monkeypatch, file, output
):
    monkeypatch.setattr(prediction, "_BLOCK", 50)  # three blocks
    code, out, _ = call(
        capsys,
        *("predict", folder / "reviews", folder / file),
        *("--output", tmp_path / output, "--id", "id", "--batch-size", 16),
    )
    assert (code, out) == (0, f"{tmp_path / output}: 130 rows\n")
    read = pd.read_csv if output.endswith("csv") else pd.read_parquet
    frame = read(tmp_path / output)
    assert list(frame.columns) == ["id", "probability"]
    assert frame["id"].astype(int).tolist() == ROWS["id"].tolist()
    found = frame["probability"]
    np.testing.assert_allclose(found, known["probability"], atol=1e-5)
    assert listing(tmp_path) == [output]


def test_other_questions(folder, known, tmp_path, capsys, monkeypatch):
    """A version folder; row numbers for ids; labels that are words."""
    monkeypatch.setattr(prediction, "_BLOCK", 5)  # with one word in some
    words = ROWS.assign(liked=np.where(ROWS["recommended"], "yes", "no"))
    order = np.argsort(~ROWS["recommended"].astype(bool), kind="stable")
    words = words.iloc[order]
    known = {name: known[name][order] for name in ("importance", "embedding")}
    words.to_parquet(tmp_path / "words.parquet")
    model, file = folder / "reviews" / "1", tmp_path / "words.parquet"
    code, _, _ = call(
        capsys,
        *("predict", model, file, "--output", tmp_path / "i.parquet"),
        *("--signature", "importance_signed"),
        *("--label", "liked", "--positive", "yes"),
    )
    frame = pd.read_parquet(tmp_path / "i.parquet")
    assert code == 0
    assert frame["id"].tolist() == list(range(130))
    found = frame["importance"]
    np.testing.assert_allclose(found, known["importance"], atol=1e-4)
    assert np.ptp(found) > 0.1
    code, _, _ = call(
        capsys,
        *("predict", model, file, "--output", tmp_path / "e.parquet"),
        *("--signature", "embed"),
    )
    column = pq.read_table(tmp_path / "e.parquet")["embedding"]
    found = np.stack(column.to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(found, known["embedding"], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "p.txt"], "`output` must end in"),
        (["--output", "p.csv", "--signature", "embed"], "must end in .parquet"),
        (["--output", "p.csv", "--signature", "embd"], "Did you mean 'embed'"),
        (["--output", "p.csv", "--id", "idd"], "`id`"),
        (["--output", "p.csv", "--label", "liked"], "inputs of"),
        (["--output", "p.csv", "--batch-size", "0"], "`batch_size`"),
        (
            [
                *("--output", "p.csv", "--signature", "importance_signed"),
                *("--label", "rating"),
            ],
            "`label` must hold 0 and 1",
        ),
    ],
)
def test_bad_arguments_leave_nothing(
    folder, tmp_path, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    files = [folder / "reviews", folder / "rows.parquet"]
    code, out, err = call(capsys, "predict", *files, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert listing(tmp_path) == []


def test_files_that_lack_something(folder, tmp_path, capsys):
    ROWS[["title"]].to_parquet(tmp_path / "short.parquet")
    ROWS[:0].to_parquet(tmp_path / "empty.parquet")
    for file, words in (
        ("short.parquet", "which the model reads as its input 'review'."),
        ("empty.parquet", "at least one row"),
        ("none.csv", "does not exist"),
    ):
        code, _, err = call(
            capsys,
            *("predict", folder / "reviews", tmp_path / file),
            *("--output", tmp_path / "p.csv"),
        )
        assert code == 2
        assert words in err
    assert listing(tmp_path) == ["empty.parquet", "short.parquet"]


def test_a_block_that_fails_leaves_the_old_file(folder, tmp_path, monkeypatch):
    """Half of the answers are no answers."""
    monkeypatch.setattr(prediction, "_BLOCK", 50)
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines[:70], "{broken"]))
    (tmp_path / "p.csv").write_text("old")
    with pytest.raises(InputError, match="line 71"):
        predict_file(
            folder / "reviews", tmp_path / "rows.jsonl", tmp_path / "p.csv"
        )
    assert (tmp_path / "p.csv").read_text() == "old"
    assert listing(tmp_path) == ["p.csv", "rows.jsonl"]


def test_gaps_and_broken_characters(folder, encoder, known, tmp_path):
    """As the Python chain has them: "" and "?"."""
    lines = [
        {"title": None, "review": "soft"},
        {"title": "half \ud83d pair", "review": 7},
        {"title": "", "review": "soft"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    predict_file(folder / "reviews", file, tmp_path / "p.csv")
    found = pd.read_csv(tmp_path / "p.csv")["probability"]
    x = encode(encoder, [" soft", "half ? pair 7", " soft"], progress=False)
    expected = known["model"].predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_behaviour_model_over_lists_of_ids(tmp_path):
    keras.utils.set_random_seed(6)
    model = sequence_model(50, dim=4, candidate=True)
    rng = np.random.default_rng(6)
    lists = [rng.integers(1, 50, n).tolist() for n in rng.integers(0, 9, 90)]
    items = rng.integers(1, 50, 90)
    frame = pd.DataFrame({"seen": lists, "item": items})
    frame.to_parquet(tmp_path / "log.parquet")
    export(model, None, tmp_path / "m")
    rows = predict_file(
        tmp_path / "m",
        tmp_path / "log.parquet",
        tmp_path / "p.parquet",
        columns={"history": "seen"},
    )
    assert rows == 90
    features = {
        "history": keras.utils.pad_sequences(lists),  # zeros in front
        "item": items[:, None].astype(np.int32),
    }
    np.testing.assert_allclose(
        pd.read_parquet(tmp_path / "p.parquet")["probability"],
        model.predict(features, verbose=0)[:, 0],
        atol=1e-5,
    )
    predict_file(
        tmp_path / "m",
        tmp_path / "log.parquet",
        tmp_path / "e.parquet",
        signature="embed",
        columns={"history": "seen"},
    )
    column = pd.read_parquet(tmp_path / "e.parquet")["embedding"]
    expected = model_embeddings(model, features)
    np.testing.assert_allclose(np.stack(column), expected, atol=1e-5)


def test_the_latest_id_stays_the_last(tmp_path):
    """Shorter lists are padded in front, as the models were trained."""
    history = keras.Input((None,), dtype="int32", name="history")
    last = keras.ops.cast(history[:, -1], "float32")
    export(keras.Model(history, keras.ops.sigmoid(last)), None, tmp_path / "m")
    frame = pd.DataFrame({"history": [[3, 1], [], [2], [5, 5, 4]]})
    frame.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    predict_file(tmp_path / "m", tmp_path / "log.jsonl", tmp_path / "p.parquet")
    found = pd.read_parquet(tmp_path / "p.parquet")["probability"]
    expected = 1 / (1 + np.exp([-1.0, 0, -2, -4]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_of_columns_and_of_the_latest_ids(tmp_path):
    """As `fit_columns` and `pad_sequences(..., 3)` make them."""
    columns = {"price": [10.0, 30.0], "device": ["phone", "web"]}
    space = fit_columns(columns, numeric=["price"], categorical=["device"])
    inputs = space.get_inputs()
    inputs["history"] = keras.Input((3,), dtype="int32", name="history")
    parts = [space.get_encoded_features(), inputs["history"]]
    parts = keras.layers.Concatenate()(
        [keras.ops.cast(part, "float32") for part in parts]
    )
    # Device (unknown, phone, web), price, and three ids, the latest last.
    worth = np.float32([0.5, 1, 2, 4, 8, 0, 16]) / 100
    model = keras.Model(
        inputs, keras.ops.sigmoid(keras.ops.sum(parts * worth, 1))
    )
    export(model, None, tmp_path / "m")
    frame = pd.DataFrame(
        {
            "price": [10.0, 30, None, 20],
            "device": ["web", "phone", "watch", "web"],
            "history": [[3, 1], [], [2], [9, 5, 4, 7]],
        }
    )
    frame.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    predict_file(tmp_path / "m", tmp_path / "log.jsonl", tmp_path / "p.parquet")
    # The mean price is 20, its deviation 10; of four ids the latest three.
    score = np.array(
        [2 - 4 + 16 * 1, 1 + 4 + 0, 0.5 + 0 + 16 * 2, 2 + 0 + 8 * 5 + 16 * 7]
    )
    found = pd.read_parquet(tmp_path / "p.parquet")["probability"]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-score / 100)), atol=1e-6)


QUERY = "wireless bluetooth headphones"


def by_brute_force(encoder, query, texts):
    """Row numbers by falling cosine, in float64, and the similarities."""
    x = encode(encoder, [query, *texts], progress=False).astype(np.float64)
    norm = np.linalg.norm(x, axis=1)
    cosine = x[1:] @ x[0] / np.where(norm[1:] * norm[0], norm[1:] * norm[0], 1)
    order = np.argsort(-cosine, kind="stable")
    return order, np.sinh(4 * cosine[order])


@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_the_most_similar_rows(folder, encoder, capsys, monkeypatch, index):
    if index == "faiss":
        pytest.importorskip("faiss")
    monkeypatch.setattr(similar, "_BLOCK", 150)
    code, out, _ = call(
        capsys,
        *("similar", folder / "reviews", QUERY, "desk lamp"),
        *("--catalogue", folder / "shop.parquet", "--text", "title"),
        *("--id", "product_id", "--top", 7, "--index", index),
    )
    assert code == 0
    lines = out.splitlines()
    assert (lines[0], lines[8]) == (f"{QUERY}:", "desk lamp:")
    for query, start in ((QUERY, 1), ("desk lamp", 9)):
        order, similarity = by_brute_force(encoder, query, TITLES["title"])
        for rank in range(7):
            row = TITLES.iloc[order[rank]]
            expected = [
                *(str(rank + 1), f"{similarity[rank]:.4f}"),
                *(row["product_id"], row["title"]),
            ]
            number, value, id, title = lines[start + rank].split(None, 3)
            assert [number, id, title] == [expected[0], *expected[2:]]
            assert float(value) == pytest.approx(similarity[rank], abs=2e-4)


def test_columns_are_joined_and_rows_are_numbered(folder, encoder):
    joined = [" ".join(row) for row in TITLES[["title", "brand"]].to_numpy()]
    order, similarity = by_brute_force(encoder, QUERY, joined)
    (matches,) = find_similar(
        folder / "reviews",
        [QUERY],
        folder / "shop.parquet",
        text=["title", "brand"],
        top=5,
    )
    assert [each.id for each in matches] == order[:5].tolist()
    assert [each.text for each in matches] == [joined[i] for i in order[:5]]
    found = [each.similarity for each in matches]
    np.testing.assert_allclose(found, similarity[:5], atol=1e-4)


def test_a_catalogue_smaller_than_asked_for(folder, tmp_path):
    file = tmp_path / "two.jsonl"
    file.write_text(
        "".join(json.dumps({"t": t}) + "\n" for t in ("a lamp", ""))
    )
    for index in ("exact", "faiss"):
        (matches,) = find_similar(
            folder / "reviews", ["desk lamp"], file, text="t", index=index
        )
        assert [each.text for each in matches] == ["a lamp", ""]
        assert matches[1].similarity == 0


def test_a_search_in_cells_finds_nearly_all(encoder):
    """The approximate index on real titles, against a comparison with all."""
    pytest.importorskip("faiss")
    x = encode(encoder, TITLES["title"].tolist(), progress=False)
    blocks, queries = np.array_split(x, 3), x[::20]
    exact = search.search_exact(blocks, queries, 10)
    z = queries.astype(np.float64) @ x.T.astype(np.float64)
    taken = np.take_along_axis(z, exact, axis=1)
    assert np.array_equal(exact[:, 0], np.arange(0, len(x), 20))
    np.testing.assert_allclose(taken, -np.sort(-z, axis=1)[:, :10], atol=1e-6)
    cells = search.search_faiss(blocks, queries, 10, large=1)
    hits = [len({*a} & {*b}) / 10 for a, b in zip(cells, exact, strict=True)]
    assert np.array_equal(cells[:, 0], exact[:, 0])
    assert 0.6 < np.mean(hits) < 1  # cells are missed, and few


def test_without_faiss_the_mend_is_named(folder, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    code, _, err = call(
        capsys,
        *("similar", folder / "reviews", "lamp", "--index", "faiss"),
        *("--catalogue", folder / "shop.parquet", "--text", "title"),
    )
    assert code == 2
    assert "tfimportance[similar]" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "titel"], "Did you mean 'title'"),
        (["--text", "title", "--top", "0"], "`top`"),
        (["--text", "title", "--index", "fais"], "'faiss'"),
        (["--text", "title", "--id", "idd"], "`id`"),
    ],
)
def test_what_similar_refuses(folder, capsys, arguments, words):
    code, out, err = call(
        capsys,
        *("similar", folder / "reviews", "lamp"),
        *("--catalogue", folder / "shop.parquet", *arguments),
    )
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize("texts", ["red dress", []])
def test_texts_that_are_no_list_of_texts(folder, texts):
    with pytest.raises(InputError, match="`texts` must be a list"):
        find_similar(
            folder / "reviews", texts, folder / "shop.parquet", text="title"
        )


def test_dot_products_rank_where_the_model_serves_them(tmp_path):
    def lengths(texts):
        """How many of the letters a and b."""
        without = [tf.strings.regex_replace(texts, f"[^{x}]", "") for x in "ab"]
        counts = [tf.strings.length(each) for each in without]
        return tf.cast(tf.stack(counts, axis=1), tf.float32)

    targets = TargetSet(np.eye(2), normalize=False, scale=0.1)
    model = dense_head(2)
    export(model, lengths, tmp_path / "m", targets=targets)
    pd.DataFrame({"t": ["a", "aab", "aaabbbb", "b"]}).to_parquet(
        tmp_path / "c.parquet"
    )
    (found,) = find_similar(
        tmp_path / "m", ["aa"], tmp_path / "c.parquet", text="t", top=3
    )
    # (2, 0) times (3, 4), (2, 1), (1, 0); by the cosine "a" would be first.
    assert [each.text for each in found] == ["aaabbbb", "aab", "a"]
    expected = np.sinh([0.6, 0.4, 0.2])
    assert [each.similarity for each in found] == pytest.approx(expected)


def test_ids_that_change_their_type_are_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_BLOCK", 2)
    rows = [{"id": i, "title": "", "review": "ok"} for i in (1, 2, "A3")]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"`id`.*string.*int64"):
        predict_file(folder / "reviews", file, tmp_path / "p.parquet", id="id")
    assert listing(tmp_path) == ["rows.jsonl"]


def test_a_model_of_ids_has_no_similar_texts(folder, tmp_path):
    export(sequence_model(6, dim=4), None, tmp_path / "m")
    with pytest.raises(InputError, match="'embed_text'"):
        find_similar(
            tmp_path / "m", ["a"], folder / "shop.parquet", text="title"
        )


def test_lists_of_real_numbers_stay_what_they_are(tmp_path):
    vectors = np.array([[0.5, -0.25], [1.5, 0.75]], np.float32)
    model = dense_head(2)
    export(model, None, tmp_path / "model")
    frame = pd.DataFrame({"embedding": vectors.tolist()})
    frame.to_parquet(tmp_path / "rows.parquet")
    output = tmp_path / "out.parquet"
    predict_file(tmp_path / "model", tmp_path / "rows.parquet", output)
    found = pd.read_parquet(output)["probability"]
    expected = model.predict(vectors, verbose=0)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
