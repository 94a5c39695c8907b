"""A run as the report sees it, made by hand, and a reader of its page."""

import copy
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np

from tfimportance.report import write_report

HOSTILE = "<script>alert('x')</script> & \"<img src=http://a.b/c.png>\""
VOID = {"meta", "link", "line", "circle", "polyline", "path", "br"}


def evaluation(roc_auc, reach, *further):
    names = ("pr_auc", "f1", "log_loss", "calibration_error")
    return {
        "roc_auc": roc_auc,
        "roc_auc_interval": [roc_auc - reach, roc_auc + 0.9 * reach],
        **dict(zip(names, further, strict=True)),
    }


def seed(number, best_epoch, test_roc_auc, curve):
    return {
        "seed": number,
        "best_epoch": best_epoch,
        "validation_roc_auc": max(curve),
        "test_roc_auc": test_roc_auc,
        "curve": curve,
    }


METRICS = {
    "name": "reviews",
    "versions": {
        "tfimportance": "0.1.0",
        "tensorflow": "2.21.3",
        "keras": "3.15.1",
        "python": "3.11.7",
    },
    "config": {
        "name": "reviews",
        "pool": "dataset:womens_clothing_reviews",
        "text": ["title", "review"],
        "target": {"department": "Intimate"},
        "group": None,
        "within_label": True,
        "learning_rate": 1e-05,
        "seeds": 3,
    },
    "data": {
        "pool": {"rows": 20906, "positive_share": 0.82134},
        "target": {"rows": 300, "positive_share": 0.85333},
        "validation": {"rows": 301, "positive_share": 0.84718},
        "test": {"rows": 1135, "positive_share": 0.00427},
    },
    "weights": {
        "effective_sample_size": 17770.123,
        "effective_fraction": 0.85004,
        "perplexity": 19312.77,
        "largest_share": 0.0002134,
        "clipped_fraction": 0.0,
    },
    "strategies": {
        "importance": {
            "train": evaluation(
                0.951234, 0.0031, 0.98123, 0.9312, 0.2212, 0.0112
            ),
            "validation": evaluation(
                0.914831, 0.031, 0.9812, 0.9201, 0.2698, 0.03217
            ),
            "test": evaluation(
                0.910823, 0.0182, 0.97652, 0.9189, 0.2734, 0.02764
            ),
            "seeds": [
                seed(0, 4, 0.91004, [0.8811, 0.9023, 0.9101, 0.9143, 0.9122]),
                seed(1, 3, 0.91251, [0.8862, 0.9051, 0.9161, 0.9147]),
                seed(7, 2, 0.90992, [0.8831, 0.9140, 0.9122]),
            ],
        },
        "uniform": {
            "train": evaluation(
                0.949911, 0.0032, 0.98011, 0.9301, 0.2223, 0.0108
            ),
            "validation": evaluation(
                0.907142, 0.032, 0.9797, 0.9188, 0.2741, 0.02991
            ),
            "test": evaluation(
                0.911304, 0.0185, 0.97688, 0.9192, 0.2729, 0.02611
            ),
            "seeds": [
                seed(0, 3, 0.90871, [0.8722, 0.8971, 0.9059, 0.9042]),
                seed(1, 4, 0.91411, [0.8747, 0.8990, 0.9068, 0.9080, 0.9066]),
                seed(7, 3, 0.91109, [0.8711, 0.9003, 0.9074]),
            ],
        },
    },
    "comparison": {
        "test_roc_auc_difference": -0.000481,
        "interval": [-0.005266, 0.004304],
        "verdict": "Weighting made no difference that these rows can show.",
        "chosen": "importance",
    },
    "model": "saved_models/reviews/1",
}

rng = np.random.default_rng(11)
ROWS = 407
ARRAYS = {
    "importance": rng.normal(0.2, 1.3, ROWS),
    "labels": (rng.random(ROWS) < 0.7).astype(np.float32),
    "texts": [f"Text number {row} of the pool." for row in range(ROWS)],
}
ARRAYS["sample_weight"] = np.exp(0.4 * ARRAYS["importance"])
ARRAYS["sample_weight"] /= ARRAYS["sample_weight"].mean()


class Tree(HTMLParser):
    """The page as an ElementTree; fails where tags do not match."""

    def __init__(self, source):
        super().__init__()
        self.builder, self.open = ElementTree.TreeBuilder(), []
        self.feed(source)
        self.close()
        self.root = self.builder.close()

    def handle_starttag(self, tag, attributes):
        self.builder.start(tag, dict(attributes))
        if tag in VOID:
            self.builder.end(tag)
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.builder.start(tag, dict(attributes))
        self.builder.end(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
            self.builder.end(tag)

    def handle_data(self, data):
        if self.open:
            self.builder.data(data)


def write(folder, metrics=METRICS, **changes):
    return write_report(
        folder / "report.html", metrics, **{**ARRAYS, **changes}
    )


def read(path):
    return Tree(path.read_text(encoding="utf-8")).root


def text(element):
    return " ".join("".join(element.itertext()).split())


def rows(table):
    """The cells of a table's body, without the headings of its groups."""
    lines = [[text(cell) for cell in row] for row in table.findall("tbody/tr")]
    return [line for line in lines if len(line) > 1]


def number(shown):
    return float(shown.replace("\N{MINUS SIGN}", "-").replace(",", ""))


def agrees(shown, value):
    """Whether a text is the value, rounded to the digits that it shows."""
    share = 100 if shown.endswith("%") else 1
    shown = shown.removesuffix("%")
    digits = len(shown.partition(".")[2])
    return abs(number(shown) - share * value) <= 0.5000001 * 10**-digits


def changed(path, value):
    """METRICS with another value at a path of keys; a KeyError deletes."""
    metrics = copy.deepcopy(METRICS)
    *parents, last = path
    place = metrics
    for key in parents:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return metrics


def paths(value, before=()):
    if isinstance(value, dict) and before != ("config",):
        for key, part in value.items():
            yield (*before, key)
            yield from paths(part, (*before, key))
    elif isinstance(value, list) and isinstance(value[0], dict):
        yield from paths(value[-1], (*before, len(value) - 1))


def shown_differences():
    ours, theirs = (
        {seed["seed"]: seed["test_roc_auc"] for seed in strategy["seeds"]}
        for strategy in (
            METRICS["strategies"]["importance"],
            METRICS["strategies"]["uniform"],
        )
    )
    return {number: ours[number] - theirs[number] for number in ours}
