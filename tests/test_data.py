import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tfimportance import InputError, load_examples

FRAME = pd.DataFrame(
    {
        "title": ["Soft", None, 'so "nice", really', "two\nlines"],
        "review": ["I love it", "NA", "", "null"],
        "sku": ["007", "0010", "7", "1e3"],
        "recommended": [1, 0, 0, 1],
        "stars": [5, 2, 3, 5],
        "price": [9.5, 3.25, np.nan, 0.5],
        "shop": ["a", "b", "a", "ü"],
        "when": pd.to_datetime(
            ["2020-01-02", "2020-01-01", "2021-05-06 07:08:09.5", "1999-12-31"],
            format="ISO8601",
        ),
        "importance": [0.0, 1.5, 2.0, 0.25],
    }
)
TITLES = ["Soft", "", 'so "nice", really', "two\nlines"]
REVIEWS = ["I love it", "NA", "", "null"]


def to_csv(path, separator=","):
    FRAME.to_csv(path, index=False, sep=separator, encoding="utf-8-sig")


def to_json(path):
    rows = json.loads(FRAME.to_json(orient="records", date_format="iso"))
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        encoding="utf-8",
    )


WRITERS = {
    "rows.parquet": FRAME.to_parquet,
    "rows.csv": to_csv,
    "rows.tsv": lambda path: to_csv(path, "\t"),
    "rows.jsonl": to_json,
    "rows.ndjson": to_json,
    "rows.json": to_json,
}


def write(folder, name):
    path = folder / name.removesuffix(".gz")
    WRITERS[path.name](path)
    if not name.endswith(".gz"):
        return path
    packed = folder / name
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


@pytest.fixture(
    params=[*WRITERS, "rows.csv.gz", "rows.tsv.gz", "rows.jsonl.gz", "frame"]
)
def source(request, tmp_path):
    if request.param == "frame":
        return FRAME
    return write(tmp_path, request.param)


def csv(tmp_path, text):
    path = tmp_path / "some.csv"
    path.write_text(text, encoding="utf-8")
    return path


# Every kind of source gives the same rows.


def test_every_source_gives_the_same_examples(source):
    rows = load_examples(
        source,
        text=["review", "title"],
        label="recommended",
        group="shop",
        weight="importance",
        time="when",
        id="sku",
        keep=["price", "stars"],
    )
    assert list(rows.text) == ["review", "title"]
    assert rows.text["title"].tolist() == TITLES
    assert rows.text["review"].tolist() == REVIEWS
    assert rows.text["title"].dtype == object
    assert rows.label.tolist() == [1, 0, 0, 1]
    assert rows.label.dtype == np.float32
    assert rows.group.tolist() == ["a", "b", "a", "ü"]
    assert rows.weight.tolist() == [0.0, 1.5, 2.0, 0.25]
    assert rows.weight.dtype == np.float32
    assert rows.time.dtype == np.dtype("datetime64[us]")
    assert (rows.time == FRAME.when.to_numpy("datetime64[us]")).all()
    assert rows.id.tolist() == ["007", "0010", "7", "1e3"]
    assert rows.columns["price"] == pytest.approx(
        [9.5, 3.25, np.nan, 0.5], nan_ok=True
    )
    assert rows.columns["stars"].tolist() == [5, 2, 3, 5]
    assert rows.columns["stars"].dtype == np.int64


def test_numbers_become_text_without_a_point(source):
    rows = load_examples(source, text=["stars", "price"])
    assert rows.text["stars"].tolist() == ["5", "2", "3", "5"]
    assert rows.text["price"].tolist() == ["9.5", "3.25", "", "0.5"]


def test_one_text_may_be_a_plain_string(source):
    rows = load_examples(
        str(source) if source is not FRAME else source, text="sku"
    )
    assert rows.text["sku"].tolist() == ["007", "0010", "7", "1e3"]
    assert (
        rows.label is rows.group is rows.weight is rows.time is rows.id is None
    )


def test_unknown_column_is_named_with_its_neighbour(source):
    with pytest.raises(InputError) as error:
        load_examples(source, text="reviews")
    assert "`text` must be one of 'title', 'review', 'sku'" in str(error.value)
    is_file = isinstance(source, str | os.PathLike)
    where = f", source={str(source)!r}" if is_file else ""
    assert f"text='reviews'{where}. Did you mean 'review'?" in str(error.value)
    assert "\n" not in str(error.value)


def test_bundled_set():
    rows = load_examples(
        "dataset:womens_clothing_reviews",
        text=["title", "review"],
        label="recommended",
        keep=["department"],
    )
    assert len(rows) == 23_486
    assert rows.label.sum() == 19_314
    assert (rows.columns["department"] == "Trend").sum() == 119
    with pytest.raises(InputError, match="Did you mean 'dataset:esci_sample'"):
        load_examples("dataset:esci_samples", text="query")


def test_folder_of_parquet_files(tmp_path):
    folder = tmp_path / "many"
    (folder / "country=es").mkdir(parents=True)
    (folder / "country=us").mkdir()
    FRAME[:3].to_parquet(folder / "country=es" / "part-0.parquet")
    FRAME[3:].to_parquet(folder / "country=us" / "part-1.parquet")
    (folder / "_SUCCESS").touch()
    rows = load_examples(folder, text="sku", keep=["country"])
    assert rows.text["sku"].tolist() == ["007", "0010", "7", "1e3"]
    assert rows.columns["country"].tolist() == ["es", "es", "es", "us"]


def test_folders_above_a_file_do_not_count(tmp_path):
    folder = tmp_path / "shop=3" / "many"
    folder.mkdir(parents=True)
    FRAME.to_parquet(folder / "rows.parquet")
    for source in (folder, folder / "rows.parquet"):
        rows = load_examples(source, text="sku", group="shop")
        assert rows.group.tolist() == ["a", "b", "a", "ü"]


# What files do to values.


def test_csv_group_and_kept_text_keep_their_spelling(tmp_path):
    big = 2**64 - 1
    path = csv(
        tmp_path, f"q,g,k,n,zip,sku\na,01,NA,1,02134,7\nb,1,x,2,10001,{big}\n"
    )
    keep = ["k", "n", "zip", "sku"]
    rows = load_examples(path, text="q", group="g", keep=keep)
    assert rows.group.tolist() == ["01", "1"]
    assert rows.columns["k"].tolist() == ["NA", "x"]
    assert rows.columns["n"].tolist() == [1, 2]
    assert rows.columns["zip"].tolist() == ["02134", "10001"]
    assert rows.columns["sku"].tolist() == ["7", str(big)]


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_csv_may_be_separated_by_semicolons(tmp_path, ending):
    path = tmp_path / f"some.{ending}"
    FRAME.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    rows = load_examples(path, text=["title", "review"], weight="importance")
    assert rows.text["title"].tolist() == TITLES
    assert rows.text["review"].tolist() == REVIEWS
    assert rows.weight.tolist() == [0.0, 1.5, 2.0, 0.25]
    mixed = csv(tmp_path, "a;b,c\n1;2,3\n")  # what it says it is
    assert load_examples(mixed, text="a;b").text["a;b"].tolist() == ["1;2"]


def test_csv_types_do_not_depend_on_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr("tfimportance.data.reading._BLOCK", 64)
    lines = [f"text {i},{i % 2},{i % 3}" for i in range(50)]
    path = csv(tmp_path, "\n".join(["q,y,w", *lines, "last,1.0,0.5", ""]))
    rows = load_examples(path, text="q", label="y", weight="w", keep=["w"])
    assert len(rows) == 51
    assert rows.weight[-1] == rows.columns["w"][-1] == 0.5
    assert rows.label[-1] == 1


def test_csv_line_breaks_may_fall_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr("tfimportance.data.reading._BLOCK", 64)
    texts = [f"{'line' * (i % 5)}\n\n{i}" for i in range(50)]
    path = tmp_path / "some.csv"
    pd.DataFrame({"q": texts}).to_csv(path, index=False)
    assert load_examples(path, text="q").text["q"].tolist() == texts


def test_json_types_do_not_depend_on_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr("tfimportance.data.reading._BLOCK", 64)
    lines = [{"q": f"text {i}", "w": i} for i in range(50)]
    lines.append({"q": "last", "w": 0.5, "late": "here"})
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    rows = load_examples(path, text=["q", "late"], weight="w")
    assert rows.weight[[1, -1]].tolist() == [1.0, 0.5]
    assert rows.text["late"][[0, -1]].tolist() == ["", "here"]


def test_json_texts_that_look_like_dates_stay_texts(tmp_path):
    path = tmp_path / "days.jsonl"
    path.write_text('{"day": "2020-01-01"}\n{"day": "2020-01-02"}\n')
    rows = load_examples(path, text="day", time="day")
    assert rows.text["day"].tolist() == ["2020-01-01", "2020-01-02"]
    assert rows.time.astype("datetime64[D]").astype(str).tolist() == [
        "2020-01-01",
        "2020-01-02",
    ]


def test_json_of_mixed_types(tmp_path):
    path = tmp_path / "logs.jsonl"
    path.write_text(
        '{"q": "a", "junk": 1}\n\n{"q": 7, "junk": "x"}\n{"junk": [2]}\n'
    )
    rows = load_examples(path, text="q")
    assert rows.text["q"].tolist() == ["a", "7", ""]


def test_times_with_zones_and_as_numbers(tmp_path):
    path = csv(
        tmp_path,
        "q,t,n\na,2019-11-24 01:00:17.25+01:00,5\nb,2019-11-24T00:00:18Z,6\n",
    )
    rows = load_examples(path, text="q", time="t")
    expected = ["2019-11-24T00:00:17.250000", "2019-11-24T00:00:18.000000"]
    assert rows.time.astype(str).tolist() == expected
    assert load_examples(path, text="q", time="n").time.tolist() == [5, 6]


# Files that cannot be read.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"x", r"must end in \.parquet, \.csv"),
        ("a.parquet.gz", b"x", "all but Parquet"),
        ("a", b"x", "must end in"),
        ("a.parquet", b"no parquet", "readable.*Parquet magic bytes"),
        ("a.csv", b"", "readable.*Empty CSV"),
        ("a.csv", b"q,y\n", "at least one row"),
        ("a.csv", b"q,y\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a.csv", b"q\n\xe9\n", r"invalid UTF8.*\. Save it as UTF-8\."),
        ("a.csv", b"q,\xe9\nx,y\n", r"Save it as UTF-8\."),
        ("a.csv.gz", b"q\nx\n", "readable"),
        ("a.jsonl", b"", "there is no row"),
        ("a.json", b'[{"q": "x"}]', "line 1 is no JSON object"),
        ("a.jsonl", b'{"q": 1}\n{"q": ', "line 2: Expecting value"),
        ("a.jsonl.gz", b'{"q": "x"}\n', "readable"),
    ],
)
def test_bad_files_are_one_line_errors(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_examples(path, text="q")
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_missing_file_and_foreign_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`source`.*gone\.csv"):
        load_examples(tmp_path / "gone.csv", text="q")
    with pytest.raises(InputError, match="Received: source of type list"):
        load_examples([{"q": "x"}], text="q")


def test_tensorflow_is_not_imported_for_files(tmp_path):
    path = csv(tmp_path, "q,y\na,1\n")
    code = (
        "import sys, tfimportance as tfi;"
        f"rows = tfi.load_examples({str(path)!r}, text='q', label='y');"
        "tfi.split_examples(rows, [1.0]);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_labels_that_were_not_loaded_are_an_error():
    frame = pd.DataFrame({"text": ["a"], "label": [1]})
    assert load_examples(frame, text="text", label="label").labels == [1]
    with pytest.raises(InputError, match="`label` must name"):
        _ = load_examples(frame, text="text").labels
