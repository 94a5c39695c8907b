import re

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from tfimportance import InputError, datasets

# Rows, columns and positive rows, counted in the sources.
COUNTS = {
    "chorus_electronics": (3_188, 9, 1_519),
    "esci_sample": (2_670, 11, 1_547),
    "open_bandit": (20_000, 95, 80),
    "womens_clothing_reviews": (23_486, 11, 19_314),
}
POSITIVE = {
    "chorus_electronics": lambda rows: rows.rating >= 2,
    "esci_sample": lambda rows: rows.esci_label == "exact",
    "open_bandit": lambda rows: rows.click == 1,
    "womens_clothing_reviews": lambda rows: rows.recommended == 1,
}


@pytest.fixture(scope="module")
def frames():
    return {name: datasets.load(name) for name in datasets.names()}


def loader(name):
    return getattr(datasets, f"load_{name}")


def test_names_are_sorted_and_complete():
    assert datasets.names() == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_rows_columns_and_positive_labels_are_those_of_the_source(name, frames):
    rows, columns, positives = COUNTS[name]
    assert frames[name].shape == (rows, columns)
    assert POSITIVE[name](frames[name]).sum() == positives


@pytest.mark.parametrize("name", COUNTS)
def test_loader_gives_what_load_gives(name, frames):
    pd.testing.assert_frame_equal(loader(name)(), frames[name])


@pytest.mark.parametrize("name", COUNTS)
def test_nothing_is_missing_and_ids_are_unique(name, frames):
    assert not frames[name].isna().any(axis=None)
    assert frames[name].id.is_unique
    assert all(column.isidentifier() for column in frames[name].columns)
    assert [column.lower() for column in frames[name]] == [*frames[name]]


@pytest.mark.parametrize("dataset", datasets.CATALOG, ids=lambda d: d.name)
def test_catalog_docstring_and_file_say_the_same(dataset, frames):
    said = loader(dataset.name).__doc__
    assert said.splitlines()[0] == dataset.summary
    assert f"{dataset.rows:,} rows" in said
    assert f"Label: `{dataset.label}`" in said
    assert f"Licence: {dataset.licence}." in said
    assert dataset.source in said
    assert len(frames[dataset.name]) == dataset.rows
    assert dataset.label in frames[dataset.name]
    for column in frames[dataset.name]:
        first = re.sub(r"(feature|affinity)_\d+$", r"\1_0", column)
        assert f"`{first}`" in said


@pytest.mark.parametrize("dataset", datasets.CATALOG, ids=lambda d: d.name)
def test_licence_and_attribution_lie_beside_the_data(dataset):
    attribution = (dataset.folder / "ATTRIBUTION.md").read_text("utf-8")
    assert dataset.source in attribution
    assert "What we changed" in attribution
    for licence in dataset.folder.glob("LICENSE-*"):
        assert licence.name in attribution
    spdx = dataset.licence.split(",")[0]
    text = (dataset.folder / f"LICENSE-{spdx}").read_text("utf-8")
    assert len(text) > 7_000


def test_notice_of_esci_is_kept():
    notice = datasets.CATALOG[1].folder / "NOTICE"
    assert "Amazon.com, Inc. or its affiliates" in notice.read_text()


def test_all_sets_together_stay_small():
    sizes = [
        file.stat().st_size
        for dataset in datasets.CATALOG
        for file in dataset.folder.glob("*.parquet")
    ]
    assert len(sizes) == len(COUNTS)
    assert sum(sizes) < 4e6


def test_files_are_plain_compressed_parquet():
    for dataset in datasets.CATALOG:
        path = dataset.folder / f"{dataset.name}.parquet"
        group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
        codecs = {group.column(i).compression for i in range(group.num_columns)}
        assert codecs == {"ZSTD"}


def test_reviews_without_text_are_kept_as_empty(frames):
    reviews = frames["womens_clothing_reviews"]
    assert (reviews.review == "").sum() == 845
    departments = reviews.department.value_counts()
    assert departments["Trend"] == 119
    assert departments["Intimate"] == 1_735
    assert departments[""] == 14


def test_esci_labels_and_locales(frames):
    esci = frames["esci_sample"]
    assert esci.esci_label.value_counts().to_dict() == {
        "exact": 1_547,
        "substitute": 687,
        "irrelevant": 336,
        "complement": 100,
    }
    assert (esci.query_locale != esci.product_locale).sum() == 51


def test_chorus_raters_agree_as_documented(frames):
    chorus = frames["chorus_electronics"]
    final = chorus.rating >= 2
    agree = [((chorus[f"rating_{i}"] >= 2) == final).mean() for i in (1, 2, 3)]
    assert np.round(agree, 2).tolist() == [0.94, 0.91, 0.90]
    assert chorus["query"].nunique() == 135


def test_bandit_policies_and_their_propensities(frames):
    bandit = frames["open_bandit"]
    clicks = bandit.groupby("policy").click
    assert clicks.sum().to_dict() == {"bts": 42, "random": 38}
    assert clicks.size().to_dict() == {"bts": 10_000, "random": 10_000}
    random = bandit[bandit.policy == "random"].propensity_score
    assert random.to_numpy() == pytest.approx(1 / 80)
    assert str(bandit.timestamp.dt.tz) == "UTC"
    per_item = bandit.groupby("item_id")[["item_feature_0", "item_feature_3"]]
    assert (per_item.nunique() == 1).all(axis=None)
    assert bandit.item_id.nunique() == 80


def test_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'esci_sample'"):
        datasets.load("esci_samples")
