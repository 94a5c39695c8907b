"""The diagnosis from the shell, on files whose truth is known."""

import re

import numpy as np
import pandas as pd
import pytest

from tfimportance import (
    datasets,
    encode,
    label_reliability,
    load_encoder,
    load_examples,
)
from tfimportance.cli import main
from tfimportance.review import review_files

COLUMNS = ["--text", "review", "--label", "recommended"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Reviews, one label in ten flipped, and a target of one department."""
    folder = tmp_path_factory.mktemp("review")
    rows = datasets.load("womens_clothing_reviews")
    rows = rows[rows.review.str.len() > 40]
    pool = rows[rows.department == "Tops"][:800].copy()
    pool["flipped"] = np.random.default_rng(3).random(len(pool)) < 0.1
    pool["flipped"] = pool.flipped.astype(int)
    pool["recommended"] = pool.recommended.astype(int) ^ pool.flipped
    pool.to_parquet(folder / "pool.parquet")
    target = rows[rows.department == "Intimate"][:300]
    target.to_csv(folder / "target.csv", index=False)
    return [str(folder / name) for name in ("pool.parquet", "target.csv")]


def test_suspects_gaps_and_the_discovery_curve(files, capsys, tmp_path):
    output = tmp_path / "suspects.csv"
    options = ["--wrong", "flipped", "--top", "80", "--output", str(output)]
    assert main(["review", *files, *COLUMNS, "--id", "id", *options]) == 0
    out = capsys.readouterr().out
    pool = pd.read_parquet(files[0]).set_index("id")
    suspects = pd.read_csv(output)
    assert len(suspects) == 80
    found = pool.loc[suspects.id, "flipped"].to_numpy()
    wrong = pool.flipped.sum()
    # Chance would find a tenth of them among a tenth of the rows.
    share = found.sum() / wrong
    assert share > 0.6
    assert f"lowest  10% holds {share:4.0%} of them" in out
    assert f"{wrong} wrong rows among 800" in out
    assert "of 300 targets" in out
    first = suspects.iloc[0]
    assert f"row {first.id}, label {first.label}, suspicion" in out
    assert first.text[:30] in out
    for suspect in suspects.itertuples():
        place, name = suspect.evidence_position, None
        if suspect.evidence_reference == "pool":
            place = name = pool.index[place]
        assert (suspect.evidence_id == name) == (name is not None)
        assert f"against {suspect.evidence_reference} {place}  " in out


def test_targets_beside_ids_that_are_texts_are_named_by_their_row(
    tmp_path, capsys
):
    words = ["soft", "itchy"] * 20
    pool = pd.DataFrame({"text": words, "label": [1, 0] * 20})
    pool["uuid"] = [f"5e1f-{row:02d}" for row in range(40)]
    pool.loc[7, "label"] = 1  # "itchy" is no praise
    files = [str(tmp_path / name) for name in ("pool.csv", "target.csv")]
    pool.to_csv(files[0], index=False)
    pool[:2].drop(columns="uuid").to_csv(files[1], index=False)
    options = ["--text", "text", "--label", "label", "--id", "uuid"]
    row = ["--row", "5e1f-07", "--top", "2"]
    assert main(["explain", *files, *options, *row]) == 0
    lines = capsys.readouterr().out.splitlines()
    # "itchy" with the label of "soft": both targets speak against it.
    for place, word in enumerate(["soft", "itchy"]):
        (line,) = [x for x in lines if "target" in x and f'"{word}"' in x]
        assert "against" in line
        assert f" target {place}  " in line


def test_the_rows_of_a_query_do_not_clear_each_other(tmp_path, capsys):
    rows = datasets.load("chorus_electronics")
    rows["relevant"] = (rows.rating >= 2).astype(int)
    queries = rows["query"].unique()
    parts = [rows["query"].isin(part) for part in np.split(queries, [40])]
    files = [str(tmp_path / name) for name in ("pool.csv", "target.csv")]
    for path, part in zip(files, parts, strict=True):
        rows[part][:400].to_csv(path, index=False)
    options = ["--text", "query", "title", "--label", "relevant", "--output"]
    suspicion = []
    for group in ([], ["--group", "query"]):
        output = tmp_path / "suspects.csv"
        assert main(["review", *files, *options, str(output), *group]) == 0
        suspicion.append(pd.read_csv(output).suspicion)
        capsys.readouterr()
    pool, target = (
        load_examples(
            path, text=["query", "title"], label="relevant", group="query"
        )
        for path in files
    )
    encoder = load_encoder("static")
    expected = label_reliability(
        encode(encoder, pool),
        encode(encoder, target),
        labels=pool.labels,
        target_labels=target.labels,
        group=pool.group,
        target_group=target.group,
    )
    lowest = np.sort(expected.probability)[:20]
    np.testing.assert_allclose(1 - suspicion[1], lowest, atol=1e-6)
    assert not np.allclose(suspicion[0], suspicion[1], atol=1e-3)


def test_the_scale_is_that_of_the_coverage_too(files):
    columns = {"text": "review", "label": "recommended"}
    cosines = []
    for scale in (3.0, 6.0):
        review = review_files(*files, columns=columns, scale=scale)
        nearest = review.coverage.targets.nearest_similarity
        cosines.append(np.arcsinh(nearest) / scale)
    np.testing.assert_allclose(*cosines, rtol=1e-6)


def test_wrong_labels_may_be_true_and_false(files, capsys, tmp_path):
    frame = pd.read_parquet(files[0])
    frame["known"] = frame.flipped.astype(bool)
    frame["rated"] = 1 + frame.flipped
    pool = str(tmp_path / "pool.csv")
    frame.to_csv(pool, index=False)
    said = []
    for wrong in ("known", "flipped"):
        options = ["--wrong", wrong]
        assert main(["review", pool, files[1], *COLUMNS, *options]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    output = tmp_path / "never.csv"
    options = ["--wrong", "rated", "--output", str(output)]
    assert main(["review", pool, files[1], *COLUMNS, *options]) == 2
    assert "`wrong` must hold 0 and 1 only" in capsys.readouterr().err
    assert not output.exists()


def test_an_explanation_by_id_and_by_number(files, capsys):
    pool = pd.read_parquet(files[0])
    options = [*COLUMNS, "--top", "2", "--row"]
    assert main(["explain", *files, *options, "7"]) == 0
    by_number = capsys.readouterr().out
    name = str(pool.id.iloc[7])
    assert main(["explain", *files, "--id", "id", *options, name]) == 0
    # The same lines, with ids in the place of the pool's row numbers.
    expected = re.sub(
        r"(?<=  pool   )(\d+) *(?=  label)",
        lambda place: f"{pool.id.iloc[int(place[1])]!s:<7}",
        by_number.replace("row 7,", f"id {name} (row 7),", 1),
    )
    assert capsys.readouterr().out == expected
    assert by_number.startswith(f"row 7, label {pool.recommended.iloc[7]}, ")
    assert by_number.count("  for ") == 4  # two targets, two of the pool
    assert main(["explain", *files, *options, "7", "800"]) == 2
    assert "row='800'" in capsys.readouterr().err
