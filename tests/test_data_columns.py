import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tfimportance import InputError, load_examples


def frame(**columns):
    rows = range(len(next(iter(columns.values()))))
    return pd.DataFrame({"text": [f"x{row}" for row in rows]} | columns)


def test_whole_numbers_with_gaps_stay_whole(tmp_path):
    path = tmp_path / "gaps.parquet"
    big = 2**53 + 1
    pa.parquet.write_table(pa.table({"sku": [big, None, 7]}), path)
    rows = load_examples(path, text="sku")
    assert rows.text["sku"].tolist() == [str(big), "", "7"]
    floats = load_examples(frame(sku=[12.0, np.nan, 7.0]), text="sku")
    assert floats.text["sku"].tolist() == ["12", "", "7"]


def test_bytes_categories_and_mixed_objects_are_text(tmp_path):
    path = tmp_path / "packed.parquet"
    table = {
        "raw": pa.array(["é".encode(), None, b"b"]),
        "kind": pa.array(["x", None, "x"]).dictionary_encode(),
    }
    pa.parquet.write_table(pa.table(table), path)
    rows = load_examples(path, text=["raw", "kind"])
    assert rows.text["raw"].tolist() == ["é", "", "b"]
    assert rows.text["kind"].tolist() == ["x", "", "x"]
    mixed = frame(a=["1", 2, None], b=pd.Categorical([3, 3, 4]))
    rows = load_examples(mixed, text="a", group="b")
    assert rows.text["a"].tolist() == ["1", "2", ""]
    assert rows.group.tolist() == [3, 3, 4]


def test_equal_texts_share_one_object():
    rows = load_examples(
        frame(q=["ab c", "d", "".join(["ab", " c"])]), text="q"
    )
    assert rows.text["q"][0] is rows.text["q"][2]


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        [True, False, True],
        ["1", "0", "1"],
        ["1.0", "0", "1"],
        ["True", "False", "true"],
        pd.array([1, 0, 1], "Int8"),
        pd.Categorical([1, 0, 1]),
    ],
    ids=str,
)
def test_binary_labels_need_no_positive(values):
    rows = load_examples(frame(y=values), text="text", label="y")
    assert rows.label.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["exact", "other", "partial"], ["exact", "partial"]),
        (["exact", "other", "exact"], "exact"),
        ([3, 0, 2], [2, 3]),
        ([3, 0, 2], ["2", "3"]),
        (["3", "0", "2.0"], (2, 3)),
        ([-1, 1, -1], -1),
        ([True, False, True], True),
        (["None", "no", "None"], "None"),
        (["NA", "EU", "NA"], "NA"),
    ],
)
def test_positive_says_what_counts_as_one(values, positive):
    rows = load_examples(
        frame(y=values), text="text", label="y", positive=positive
    )
    assert rows.label.tolist() == [1, 0, 1]


def test_one_class_is_allowed_while_loading():
    rows = load_examples(frame(y=[0, 0]), text="text", label="y")
    assert rows.label.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 2, 1], "must hold 0 and 1 only.*'0', '2', '1'.*positive="),
        ([0.5, 1.0], "must hold 0 and 1 only"),
        (["yes", "no"], "must hold 0 and 1 only"),
        ([1, np.nan, 0, np.nan], r"missing in 2 of 4 rows .*: 1, 3\)"),
        ([None, "1", "nan", "", "NA"], r"missing in 4 of 5.*: 0, 2, 3, \.\.\."),
    ],
)
def test_bad_labels(values, message):
    with pytest.raises(InputError, match=message) as error:
        load_examples(frame(y=values), text="text", label="y")
    assert "\n" not in str(error.value)
    assert "`label`" in str(error.value)


def test_missing_label_is_no_negative():
    with pytest.raises(InputError, match="missing in 1 of 2 rows"):
        load_examples(
            frame(y=["a", None]), text="text", label="y", positive="a"
        )


def test_positive_that_no_label_has():
    with pytest.raises(InputError, match=r"positive=\['exakt'\].*'exact'"):
        load_examples(
            frame(y=["exact", "no"]), text="text", label="y", positive="exakt"
        )
    with pytest.raises(InputError, match="`positive` needs a `label`"):
        load_examples(frame(y=[1]), text="text", positive=1)


def test_one_of_several_positive_values_that_no_label_has():
    rows = frame(y=["exact", "substitute", "other"])
    with pytest.warns(UserWarning, match="`positive` names") as warned:
        loaded = load_examples(
            rows, text="text", label="y", positive=["exact", "subsitute", 7]
        )
    assert loaded.label.tolist() == [1, 0, 0]
    held = "label='y' with values 'exact', 'substitute', 'other'."
    assert [str(each.message).partition(": ") for each in warned] == [
        (
            "`positive` names 'subsitute', which no row has",
            ": ",
            f"{held} Did you mean 'substitute'?",
        ),
        ("`positive` names 7, which no row has", ": ", held),
    ]
    with pytest.raises(InputError, match="Did you mean 'exact'"):
        load_examples(rows, text="text", label="y", positive=["exakt", 7])


def test_found_positive_values_are_not_warned_of(recwarn):
    rows = frame(y=["3", "0", "2.0", "yes"])
    positive = [2, 3, "YES"]
    load_examples(rows, text="text", label="y", positive=positive)
    assert not recwarn.list


def test_a_yes_that_yaml_reads_as_true():
    rows = frame(y=["yes", "no", "maybe"])
    with pytest.raises(InputError, match=r"True.*in quotation marks: YAML"):
        load_examples(rows, text="text", label="y", positive=True)
    with pytest.warns(UserWarning, match="True.*in quotation marks: YAML"):
        load_examples(rows, text="text", label="y", positive=[True, "maybe"])


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"w": [1, -0.5, 2]}, {"weight": "w"}, r"`weight`.*1 of 3.*: 1\)"),
        ({"w": [1, np.nan]}, {"weight": "w"}, "missing, negative"),
        ({"w": [np.inf, 1]}, {"weight": "w"}, "not finite"),
        ({"w": ["heavy", "1"]}, {"weight": "w"}, "weight='w'"),
        ({"i": ["a", "b", "a"]}, {"id": "i"}, r"`id`.*earlier row.*: 2\)"),
        ({"i": ["a", None]}, {"id": "i"}, "`id`.*missing in 1 of 2"),
        ({"g": ["a", None]}, {"group": "g"}, "`group`.*missing in 1 of 2"),
        ({"t": ["2020-01-01", "soon"]}, {"time": "t"}, r"`time`.*: 1\)"),
        ({"t": [1.0, np.nan]}, {"time": "t"}, "`time`"),
        ({"l": [["a", "b"], ["c"]]}, {"text": "l"}, "'l' must hold one"),
        ({"y": [1]}, {"text": []}, "`text` must name one or more"),
        ({"y": [1]}, {"text": ["y", "y"]}, "`text` must name different"),
        ({"y": [1]}, {"keep": ["z"]}, "`keep` must be one of"),
        ({"y": []}, {}, "at least one row.*0 rows"),
    ],
)
def test_bad_columns_are_one_line_errors(columns, wanted, message):
    with pytest.raises(InputError, match=message) as error:
        load_examples(frame(**columns), **{"text": "text"} | wanted)
    assert "\n" not in str(error.value)


def test_two_columns_of_one_name():
    twice = pd.DataFrame([["a", "b"]], columns=["q", "q"])
    with pytest.raises(InputError, match="the name of 2 columns"):
        load_examples(twice, text="q")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [None, None], "b": ["", ""]}, "'a', 'b', empty in every row"),
        ({"a": ["x", "y"], "b": ["", ""]}, "names 'b', empty in every row"),
        ({"a": ["x", "x"], "b": ["y", "y"]}, "'a', 'b', the same in every row"),
    ],
)
def test_texts_that_tell_no_row_from_another_are_warned_of(
    tmp_path, columns, message
):
    frame = pd.DataFrame(columns)
    with pytest.warns(UserWarning, match=f"{message}: that tells no row"):
        load_examples(frame, text=["a", "b"])
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    with pytest.warns(UserWarning, match=f"{message} of '.*rows.csv': that"):
        load_examples(path, text=["a", "b"])


@pytest.mark.parametrize(
    "columns", [{"a": ["x", "x"], "b": ["", "y"]}, {"a": ["x"], "b": [""]}]
)
def test_texts_that_differ_somewhere_are_not_warned_of(columns, recwarn):
    load_examples(pd.DataFrame(columns), text=["a", "b"])
    assert not recwarn.list


def test_text_that_is_no_utf8():
    with pytest.raises(InputError, match=r"Column 'q' .*store texts as UTF-8"):
        load_examples(frame(q=[b"caf\xe9"]), text="q")
