import copy
import math
import re

import numpy as np
import pytest
import yaml
from report_page import (
    ARRAYS,
    HOSTILE,
    METRICS,
    ROWS,
    Tree,
    agrees,
    changed,
    evaluation,
    paths,
    read,
    rows,
    seed,
    shown_differences,
    text,
    write,
)

from tfimportance import InputError
from tfimportance.report import write_report


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Tree(source).root


def test_the_verdict_and_its_figure_come_first(page):
    comparison = METRICS["comparison"]
    verdict = page.find(".//p[@class='verdict']")
    assert text(verdict) == comparison["verdict"]
    headline = text(page.find(".//p[@class='headline']"))
    assert headline == "\N{MINUS SIGN}0.0005"
    assert agrees(headline, comparison["test_roc_auc_difference"])
    bounds = text(page.find(".//span[@id='interval']")).split(" to ")
    assert all(map(agrees, bounds, comparison["interval"]))
    uniform, importance, chosen = (text(dd) for dd in page.iter("dd"))
    assert agrees(uniform, 0.911304)
    assert agrees(importance, 0.910823)
    assert chosen == "importance"


def test_the_auc_table_holds_the_figures(page):
    lines = iter(rows(page.find(".//table[@id='auc-table']")))
    for split in ("train", "validation", "test"):
        for name in ("uniform", "importance"):
            figures = METRICS["strategies"][name][split]
            strategy, auc, interval = next(lines)
            assert strategy == name
            assert agrees(auc, figures["roc_auc"])
            bounds = interval.split(" \N{EN DASH} ")
            assert all(map(agrees, bounds, figures["roc_auc_interval"]))
    assert next(lines, None) is None


def test_the_other_metrics_are_there(page):
    lines = iter(rows(page.find(".//table[@id='metrics-table']")))
    for split in ("train", "validation", "test"):
        for name in ("uniform", "importance"):
            figures = METRICS["strategies"][name][split]
            strategy, *shown = next(lines)
            names = ("pr_auc", "f1", "log_loss", "calibration_error")
            assert strategy == name
            assert all(map(agrees, shown, [figures[key] for key in names]))


def test_seeds_are_paired(page):
    lines = rows(page.find(".//table[@id='seeds-table']"))
    assert [line[0] for line in lines] == ["0", "1", "7"]
    for line, difference in zip(
        lines, shown_differences().values(), strict=True
    ):
        assert agrees(line[3], difference)
        assert line[3][0] == ("+" if difference > 0 else "\N{MINUS SIGN}")
    assert all(map(agrees, lines[1][1:3], [0.91411, 0.91251]))


def test_the_data_and_the_weights_are_described(page):
    lines = rows(page.find(".//table[@id='data-table']"))
    assert [line[:3] for line in lines] == [
        ["pool", "20,906", "82.1%"],
        ["target", "300", "85.3%"],
        ["validation", "301", "84.7%"],
        ["test", "1,135", "0.43%"],
    ]
    lines = rows(page.find(".//table[@id='weights-table']"))
    assert [line[1] for line in lines] == [
        "17,770",
        "85.0%",
        "19,313",
        "0.021%",
        "0.0%",
    ]


def test_the_configuration_can_be_read_and_used_again(page):
    lines = dict(rows(page.find(".//table[@id='config-table']")))
    assert lines["text"] == "title, review"
    assert lines["target"] == "department: Intimate"
    assert lines["group"] == "none"
    assert lines["within_label"] == "true"
    assert list(lines) == list(METRICS["config"])
    blocks = ["".join(code.itertext()) for code in page.iter("code")]
    assert yaml.safe_load(blocks[-1]) == METRICS["config"]
    assert "tfimportance run reviews.yaml" in blocks


def test_it_says_where_the_model_is_and_what_made_it(page):
    model = text(page.find(".//section[@aria-labelledby='model']"))
    assert "saved_models/reviews/1" in model
    assert "$(realpath saved_models/reviews)" in model
    for version in METRICS["versions"].values():
        assert version in model


def test_samples_are_the_ends_of_the_weights(page):
    most, least = page.findall(".//table[@class='samples ruled']")
    order = np.argsort(ARRAYS["sample_weight"])
    for table, expected in ((most, order[:-11:-1]), (least, order[:10])):
        lines = rows(table)
        assert [line[3] for line in lines] == [
            f"Text number {row} of the pool." for row in expected
        ]
        for (weight, importance, label, _), row in zip(
            lines, expected, strict=True
        ):
            assert agrees(weight, ARRAYS["sample_weight"][row])
            assert agrees(importance, ARRAYS["importance"][row])
            assert int(label) == ARRAYS["labels"][row]


def test_long_texts_fold_at_a_word_and_end(tmp_path):
    words = [f"word{k}" for k in range(3000)]
    page = read(write(tmp_path, texts=[" \n\t ".join(words)] * ROWS))
    for cell in page.findall(".//td[@dir='auto']"):
        start = text(cell.find("details/summary")).split()
        assert start == [*words[: len(start) - 1], "…"]
        assert 20 < len(start) < 40
        whole = text(cell).replace(" … ", " ")
        assert whole.startswith(" ".join(words[:250]))
        assert whole.endswith("…")
        assert len(whole) < 2010


def test_one_endless_word_and_an_empty_text_are_shown(tmp_path):
    page = read(write(tmp_path, texts=["x" * 999] * 200 + [" "] * 207))
    shown = {text(cell) for cell in page.findall(".//td[@dir='auto']")}
    assert shown == {"(no text)", "x" * 200 + " …" + "x" * 799}


@pytest.mark.parametrize(
    "path",
    [
        ("name",),
        ("model",),
        ("config", "text"),
        ("config", HOSTILE),
        ("comparison", "verdict"),
        ("comparison", "chosen"),
        ("versions", "python"),
    ],
    ids=str,
)
def test_markup_in_metrics_is_text(tmp_path, path):
    page = read(write(tmp_path, changed(path, HOSTILE)))
    assert HOSTILE in "".join(page.itertext())
    assert not {"script", "img"} & {element.tag for element in page.iter()}


def test_markup_in_samples_and_strategies_is_text(tmp_path):
    metrics = copy.deepcopy(METRICS)
    metrics["strategies"][HOSTILE] = METRICS["strategies"]["uniform"]
    page = read(write(tmp_path, metrics, texts=[HOSTILE] * ROWS))
    assert "".join(page.itertext()).count(HOSTILE) > 20
    assert not {"script", "img"} & {element.tag for element in page.iter()}


def test_further_strategies_follow_and_further_keys_are_ignored(tmp_path):
    metrics = copy.deepcopy(METRICS)
    metrics["strategies"] = {
        "top_k": METRICS["strategies"]["importance"],
        **METRICS["strategies"],
    }
    metrics["note"] = metrics["comparison"]["note"] = "unknown"
    page = read(write(tmp_path, metrics))
    lines = rows(page.find(".//table[@id='auc-table']"))
    assert [line[0] for line in lines[:3]] == [
        "uniform",
        "importance",
        "top_k",
    ]
    lines = rows(page.find(".//table[@id='seeds-table']"))
    assert [line[0] for line in lines] == ["uniform", "importance", "top_k"]
    assert lines[0] == ["uniform", "0.9087", "0.9141", "0.9111", ""]
    assert all(map(agrees, lines[2][1:4], [0.91004, 0.91251, 0.90992]))
    assert agrees(lines[2][4], 0.910823 - 0.911304)
    assert "unknown" not in "".join(page.itertext())


CHOICE = {
    "candidates": [
        {"name": "uniform", "gain": 0.0, "error": 0.0, "share": 0.0061},
        {"name": "plausible", "gain": 0.00905, "error": 0.0028, "share": 0.75},
        {"name": HOSTILE, "gain": -0.0031, "error": 0.00131, "share": 0.2439},
    ],
    "flip_rate": [1e-18, 0.17218],
    "scale": 8.0,
    "class_shift": 0.0,
    "opinion_weight": {"target": 0.7, "pool": 0.0, "model": 0.6},
}


def test_how_the_weights_were_chosen_is_there_when_they_were(tmp_path, page):
    assert page.find(".//*[@id='choice']") is None
    page = read(write(tmp_path, {**METRICS, "choice": CHOICE}))
    section = page.find(".//section[@aria-labelledby='choice']")
    assert text(section.find("h2")) == "How the weights were chosen"
    said = text(section.find("p"))
    assert "0.0% of the pool rows whose true label is 0" in said
    assert "17.2% of those whose true label is 1" in said
    assert said.endswith("chose the similarity's scale, 8.0.")
    assert "odds" not in said
    lines = rows(section.find(".//table[@id='choice-table']"))
    for (name, gain, share), candidate in zip(
        lines, CHOICE["candidates"], strict=True
    ):
        assert name == candidate["name"]
        mean, error = gain.split(" \N{PLUS-MINUS SIGN} ")
        assert agrees(mean, candidate["gain"])
        assert agrees(error, candidate["error"])
        assert agrees(share, candidate["share"])


def test_another_class_mix_of_the_pool_is_said(tmp_path):
    twice = {**CHOICE, "class_shift": math.log(2.5)}
    page = read(write(tmp_path, {**METRICS, "choice": twice}))
    said = text(page.find(".//section[@aria-labelledby='choice']/p"))
    assert "odds of class 1 in the pool are 2.5 times those in the targ" in said


def test_the_statement_on_all_strategies_is_there_when_known(tmp_path, page):
    assert page.find(".//p[@class='statement']") is None
    path = ("comparison", "statement")
    page = read(write(tmp_path, changed(path, f"Of 3 & more. {HOSTILE}")))
    said = text(page.find(".//p[@class='statement']"))
    assert said == f"Of 3 & more. {HOSTILE}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, r"metrics\.choice\.candidates"),
        ({"candidates": [{"name": "uniform"}]}, r"candidates\[0\].*'gain'"),
        ({"flip_rate": [0.1]}, r"metrics\.choice\.flip_rate"),
        ({"scale": "8"}, r"metrics\.choice\.scale"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(tmp_path, change, message):
    metrics = {**METRICS, "choice": {**CHOICE, **change}}
    with pytest.raises(InputError, match=message):
        write(tmp_path, metrics)
    with pytest.raises(InputError, match=r"comparison\.statement"):
        write(tmp_path, changed(("comparison", "statement"), None))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("path", [*paths(METRICS)], ids=str)
def test_a_missing_key_is_named_and_leaves_no_file(tmp_path, path):
    with pytest.raises(InputError) as raised:
        write(tmp_path, changed(path, KeyError))
    message = str(raised.value)
    where = re.escape(".".join(["metrics", *map(str, path[:-1])]))
    where = re.sub(r"\\\.(\d+)", r"\\[\1\\]", where)
    assert re.search(f"`{where}` must hold '{path[-1]}'", message)
    assert "\n" not in message
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), None),
        (("data",), [1]),
        (("data", "pool", "rows"), 1.5),
        (("data", "pool", "rows"), True),
        (("weights", "perplexity"), float("nan")),
        (("weights", "perplexity"), "12"),
        (("comparison", "interval"), [0.1]),
        (("comparison", "interval"), [0.1, 0.2, 0.3]),
        (("strategies", "uniform", "seeds"), []),
        (("strategies", "uniform", "seeds", 0, "curve"), []),
        (("strategies", "uniform", "seeds", 0, "curve"), [float("inf")]),
        (("strategies", "uniform", "seeds", 0, "seed"), 5),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_an_older_file_stays(
    tmp_path, path, value
):
    (tmp_path / "report.html").write_text("older")
    where = "uniform" if path[-1] == "seed" else str(path[-1])
    with pytest.raises(InputError, match=where):
        write(tmp_path, changed(path, value))
    assert [*tmp_path.iterdir()] == [tmp_path / "report.html"]
    assert (tmp_path / "report.html").read_text() == "older"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("texts", ["too", "few"]),
        ("texts", []),
        ("labels", np.full(ROWS, 2)),
        ("labels", np.ones(ROWS - 1)),
        ("importance", np.full(ROWS, np.nan)),
        ("sample_weight", np.ones((ROWS, 1))),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, name, value):
    with pytest.raises(InputError, match=name):
        write(tmp_path, **{name: value})
    assert not [*tmp_path.iterdir()]


def test_the_smallest_run_has_a_report(tmp_path):
    metrics = copy.deepcopy(METRICS)
    for strategy in metrics["strategies"].values():
        strategy["seeds"] = [seed(3, 1, 0.5, [0.5])]
        for part in ("train", "validation", "test"):
            strategy[part] = evaluation(0.5, 0.0, 0.5, 0.5, 0.5, 0.0)
    metrics["comparison"] |= {"test_roc_auc_difference": 0, "interval": [0, 0]}
    path = write_report(
        tmp_path / "new" / "report.html",
        metrics,
        importance=[0.0],
        sample_weight=[1.0],
        labels=[1],
        texts=["\ud800 broken"],
    )
    page = read(path)
    assert "nan" not in text(page)
    assert len([*page.iter("svg")]) == 5


def test_the_same_input_gives_the_same_bytes(tmp_path, source):
    assert write(tmp_path).read_text(encoding="utf-8") == source
