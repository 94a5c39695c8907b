import json

import numpy as np
import pandas as pd
import pytest

from tfimportance import (
    Examples,
    InputError,
    encode,
    load_examples,
    split_examples,
)

HISTORY = [[3, 1], [], None, [2, 2, 7]]
TITLES = [["a dress"], ["é", ""], [], None]


def frame(**columns):
    return pd.DataFrame({"click": [1, 0, 1, 0], **columns})


def write(path, rows):
    if path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        lines = rows.to_dict("records")
        path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["log.parquet", "log.jsonl"])
def test_lists_of_ids_and_of_texts_without_any_text(tmp_path, name):
    path = write(tmp_path / name, frame(history=HISTORY, titles=TITLES))
    rows = load_examples(path, label="click", keep=["history", "titles"])
    assert len(rows) == 4
    assert rows.text == {}
    assert rows.label.tolist() == [1, 0, 1, 0]
    history = rows.columns["history"]
    assert [each.tolist() for each in history] == [[3, 1], [], [], [2, 2, 7]]
    assert {each.dtype for each in history} == {np.dtype(np.int64)}
    titles = [each.tolist() for each in rows.columns["titles"]]
    assert titles == [["a dress"], ["é", ""], [], []]


def test_lists_that_start_late_in_a_file(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"q": "a"}\n{"q": "b", "h": [5, 6.5]}\n')
    rows = load_examples(path, text="q", keep=["h"])
    assert [each.tolist() for each in rows.columns["h"]] == [[], [5.0, 6.5]]


def test_large_ids_stay_whole():
    hashes = [[2**64 - 1, 2**63], [1], [], [2]]
    rows = load_examples(frame(h=hashes), keep=["h"])
    assert [each.tolist() for each in rows.columns["h"]] == hashes


def test_all_lists_empty():
    rows = load_examples(frame(h=[[], None, [], []]), keep=["h"])
    assert [each.tolist() for each in rows.columns["h"]] == [[]] * 4
    assert rows.columns["h"][1].dtype == np.int64


def test_rows_are_padded_split_and_taken_like_others():
    import keras

    table = frame(history=HISTORY, user=["u", "v", "u", "v"])
    rows = load_examples(table, label="click", group="user", keep=["history"])
    padded = keras.utils.pad_sequences(rows.columns["history"], 2)
    assert padded.tolist() == [[3, 1], [0, 0], [0, 0], [2, 7]]
    taken = rows.take([3, 0])
    assert [each.tolist() for each in taken.columns["history"]] == [
        [2, 2, 7],
        [3, 1],
    ]
    left, right = split_examples(rows, [0.5, 0.5])
    assert {len(left), len(right)} == {2}
    assert not set(left.group) & set(right.group)


@pytest.mark.parametrize(
    ("lists", "received"),
    [
        ([[1], 2, [], []], "2 in row 1"),
        ([["a"], ["b"], "c", []], "'c' in row 2"),
        ([["a", 1], [], [], []], "mixed"),
        ([[1, None], [], [], []], "missing"),
        ([[1.5, float("nan")], [], [], []], "missing"),
        ([[[1], [2]], [], [], []], "mixed"),
    ],
)
def test_bad_lists(lists, received):
    with pytest.raises(InputError, match=f"Column 'h' must .*{received}") as e:
        load_examples(frame(h=lists), keep=["h"])
    assert "\n" not in str(e.value)


def test_lists_are_no_text_and_no_group():
    with pytest.raises(InputError, match="'h' must hold one text"):
        load_examples(frame(h=HISTORY), text="h")
    table = frame(h=[[1], [2], [1], [2]])
    with pytest.raises(InputError, match="'h' must hold one text"):
        load_examples(table, keep=["click"], group="h")


def test_something_must_be_named():
    with pytest.raises(InputError, match="`text` must name one or more"):
        load_examples(frame(), label="click")
    with pytest.raises(InputError, match="`text` must hold at least one"):
        Examples(text={})
    with pytest.raises(InputError, match="`texts` must hold at least one"):
        encode(lambda text: text, load_examples(frame(), keep=["click"]))
