import copy
import html
import re
import shutil
import subprocess

import numpy as np
import pytest
from report_page import (
    ARRAYS,
    METRICS,
    ROWS,
    Tree,
    changed,
    number,
    shown_differences,
    text,
    write,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Tree(source).root


def test_nothing_is_loaded_from_outside(source, page):
    for element in page.iter():
        for name in ("src", "srcset", "data", "action", "poster", "style"):
            assert name not in element.attrib
        assert element.get("href", "data:,") == "data:,"
        assert element.tag not in ("script", "iframe", "object", "embed")
    style = text(page.find(".//style"))
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in source
    policy = page.find(".//meta[@http-equiv='Content-Security-Policy']")
    assert policy.get("content").startswith("default-src 'none'")


def test_it_can_be_read_without_seeing_it(page):
    assert page.get("lang") == "en"
    levels = [e.tag for e in page.iter() if re.fullmatch("h[1-6]", e.tag)]
    assert levels == ["h1"] + ["h2"] * 7
    for table in page.iter("table"):
        assert text(table.find("caption"))
        assert {th.get("scope") for th in table.iter("th")} <= {
            "col",
            "row",
            "rowgroup",
        }
    charts = [*page.iter("svg")]
    assert len(charts) == 5
    for chart in charts:
        assert chart.get("role") == "img"
        assert len(chart.get("aria-label")) > 40


def luminance(color):
    full = color * 2 if len(color) == 3 else color
    parts = [int(full[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_the_paper_in_light_and_dark(page):
    style = text(page.find(".//style"))
    schemes = re.findall(r"--paper:[^}]*", style)
    assert len(schemes) == 2
    for scheme in schemes:
        colors = dict(re.findall(r"--(\w+): #(\w+);", scheme))
        names = ["ink", "soft", "s1", "s2", "s3", "s4"]
        for paper in ("paper", "shade"):
            light = [luminance(colors[name]) for name in (paper, *names)]
            for other in light[1:]:
                low, high = sorted((light[0], other))
                assert (high + 0.05) / (low + 0.05) >= 4.5


def positions(chart, tag, kind, axis):
    return [
        float(shape.get(axis))
        for shape in chart.iter(tag)
        if set(kind.split()) <= set(shape.get("class").split())
    ]


def horizontal_scale(chart):
    """What a chart's own numbers say: value at x, from its outer ticks."""
    ticks = [
        (float(label.get("x")), number(text(label).replace("+", "")))
        for label in chart.iter("text")
        if label.get("class") == "middle"
    ]
    (x0, v0), (x1, v1) = ticks[0], ticks[-1]
    return lambda x: v0 + (v1 - v0) * (x - x0) / (x1 - x0)


def test_dots_and_intervals_lie_where_the_axis_says(page):
    difference, auc = [*page.iter("svg")][:2]
    value = horizontal_scale(difference)
    mean, *seeds = map(value, positions(difference, "circle", "s1", "cx"))
    assert mean == pytest.approx(-0.000481, abs=5e-5)
    assert seeds == pytest.approx([*shown_differences().values()], abs=5e-5)
    assert value(positions(difference, "line", "zero", "x1")[0]) == (
        pytest.approx(0, abs=5e-5)
    )
    reach = [
        value(positions(difference, "line", "reach", end)[0])
        for end in ("x1", "x2")
    ]
    assert reach == pytest.approx([-0.005266, 0.004304], abs=5e-5)
    value = horizontal_scale(auc)
    for kind, name in (("s0", "uniform"), ("s1", "importance")):
        strategy = METRICS["strategies"][name]
        parts = [strategy[k] for k in ("train", "validation", "test")]
        dots = map(value, positions(auc, "circle", kind, "cx"))
        assert [*dots] == pytest.approx(
            [part["roc_auc"] for part in parts], abs=3e-4
        )
        ends = map(value, positions(auc, "line", f"reach {kind}", "x2"))
        assert [*ends] == pytest.approx(
            [part["roc_auc_interval"][1] for part in parts], abs=3e-4
        )


def test_curves_are_means_while_all_seeds_train(page):
    chart = [*page.iter("svg")][2]
    levels = sorted(
        (float(label.get("y")) - 4, number(text(label)))
        for label in chart.iter("text")
        if label.get("class") == "end"
    )
    (y0, v0), (y1, v1) = levels[0], levels[-1]
    lines = {
        line.get("class"): [
            v0 + (v1 - v0) * (float(point.split(",")[1]) - y0) / (y1 - y0)
            for point in line.get("points").split()
        ]
        for line in chart.iter("polyline")
        if "faint" not in line.get("class")
    }
    assert lines["s1"] == pytest.approx(
        [2.6504 / 3, 2.7214 / 3, 2.7384 / 3], abs=2e-4
    )
    assert lines["s0"] == pytest.approx(
        [2.618 / 3, 2.6964 / 3, 2.7201 / 3], abs=2e-4
    )


def test_names_of_many_strategies_do_not_overlap(tmp_path):
    metrics = copy.deepcopy(METRICS)
    one = METRICS["strategies"]["importance"]
    metrics["strategies"] |= {f"strategy_number_{k}": one for k in range(15)}
    page = Tree(write(tmp_path, metrics).read_text(encoding="utf-8")).root
    _, auc, curve = [*page.iter("svg")][:3]
    labels = [t for t in auc.iter("text") if text(t) in metrics["strategies"]]
    assert len(labels) == 3 * 17
    named = [t for t in curve.iter("text") if "name" in t.get("class")]
    assert {text(t) for t in named} == set(metrics["strategies"])
    for shown, least in ((labels, 18), (named, 13.9)):
        heights = sorted(float(t.get("y")) for t in shown)
        assert min(np.diff(heights)) >= least
    _, _, width, height = map(float, curve.get("viewbox").split())
    assert all(0 < float(t.get("y")) < height - 18 for t in named)
    assert all(float(t.get("x")) + 7 * len(text(t)) <= width for t in named)
    rings = positions(auc, "circle", "s0", "cx")
    assert len(rings) == 3  # uniform alone, once in each part


def test_bars_are_shares_of_the_rows_of_a_label(page):
    chart = [*page.iter("svg")][3]
    low, high = np.quantile(ARRAYS["importance"], [0.005, 0.995])
    shares = []
    for label in (1, 0):
        values = ARRAYS["importance"][ARRAYS["labels"] == label]
        edges = np.linspace(low, high, 46)[1:-1]
        counts = np.bincount(np.digitize(values, edges), minlength=45)
        shares.append(counts[counts > 0] / len(values))
    heights = []
    for bars in chart.iter("path"):
        drawn = re.findall(r"M\S+ ([\d.]+)V([\d.]+)", bars.get("d"))
        heights.append([float(base) - float(top) for base, top in drawn])
    scale = 64 / max(map(max, shares))
    for drawn, share in zip(heights, shares, strict=True):
        assert drawn == pytest.approx(share * scale, abs=0.06)


def in_chromium(tmp_path, page):
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        pytest.skip(f"needs one of {', '.join(names)} on PATH")
    command = [
        binary,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=90)
    return Tree(done.stdout.decode("utf-8")).root


def test_chromium_shows_the_verdict_and_the_figures(tmp_path):
    page = in_chromium(tmp_path, write(tmp_path))
    shown = text(page.find("body"))
    assert METRICS["comparison"]["verdict"] in shown
    for figure in ("\N{MINUS SIGN}0.0005", "0.9113", "0.9108", "17,770"):
        assert figure in shown
    assert len([*page.iter("svg")]) == 5


@pytest.mark.parametrize("width", [400, 1200])
def test_chromium_never_scrolls_sideways(tmp_path, width):
    metrics = changed(("comparison", "verdict"), "v" * 200)
    metrics |= {"name": "n" * 200, "model": f"saved/{'m' * 200}/1"}
    metrics["config"] = {"k" * 90: "c" * 200}
    report = write(tmp_path, metrics, texts=["t" * 500] * ROWS)
    inner = html.escape(report.read_text(encoding="utf-8"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body><iframe width={width} height=900 srcdoc="{inner}"></iframe>'
        "<pre></pre><script>onload = () => {"
        "  const page = document.querySelector('iframe').contentDocument"
        "    .documentElement;"
        "  document.querySelector('pre').textContent ="
        "    `${page.clientWidth} ${page.scrollWidth}`;"
        "}</script></body>",
        encoding="utf-8",
    )
    measured = text(in_chromium(tmp_path, frame).find(".//pre"))
    visible, needed = map(int, measured.split())
    assert width - 20 <= visible <= width
    assert needed <= visible
