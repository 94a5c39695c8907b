"""Small charts for the report: numbers in, one inline SVG element out.

Every chart is drawn at the width of half a page, so that its text keeps its
size beside a table, on a phone and in print. Colours come from the style
sheet of the page: the k-th strategy has the class of `color(k)`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from tfimportance._checks import Array

Scale = Callable[[float], float]

_WIDTH = 360.0
_ROW = 22.0  # from one line of a chart to the next
_NAME = 14.0  # from one name to the next
_PANEL = 96.0  # height of one histogram
_BINS = 45
_TICKS = 6  # at most, or one more
_CHARACTER = 7.0  # width of an average character
_COLORS = 5  # in the style sheet; further strategies repeat all but the first


def difference_chart(
    value: float, interval: Sequence[float], seeds: Sequence[float]
) -> Markup:
    """Returns the mean difference with its interval, and each seed, by zero.

    Example:
        >>> chart = difference_chart(0.01, (-0.01, 0.03), [0.0, 0.02])
        >>> chart.startswith("<svg") and chart.count("<circle")
        3

    Args:
        value: The difference.
        interval: Its lower and upper bound.
        seeds: The differences of single seeds.
    """
    left, bottom = _label_width(["seeds"]), 3 * _ROW
    x, grid = _horizontal([0, value, *interval, *seeds], left, bottom, "+")
    shapes = [
        *grid,
        _line(x(0), 0, x(0), bottom, "zero"),
        _text(0, _ROW + 4, "mean"),
        _line(x(interval[0]), _ROW, x(interval[1]), _ROW, "reach s1"),
        _dot(x(value), _ROW, 5, "s1"),
        _text(0, 2 * _ROW + 4, "seeds"),
        *(_dot(x(seed), 2 * _ROW, 3, "faint s1") for seed in seeds),
    ]
    return _svg(
        bottom + _ROW,
        f"The difference, {value:+.4f}, and its interval from "
        f"{interval[0]:+.4f} to {interval[1]:+.4f}, beside zero.",
        shapes,
    )


def interval_chart(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]],
) -> Markup:
    """Returns a dot with its interval for each series of each group.

    Args:
        groups: Group name -> series name -> (value, lower, upper).
    """
    rows = [
        (name, row) for group in groups.values() for name, row in group.items()
    ]
    left = _label_width(name for name, _ in rows)
    bottom = _ROW * (len(rows) + 1.5 * len(groups))
    x, shapes = _horizontal(sum((row for _, row in rows), ()), left, bottom)
    y = 0.0
    for group, series in groups.items():
        y += 1.5 * _ROW
        shapes.append(_text(0, y - 13, group, "strong"))
        for k, (name, (value, lower, upper)) in enumerate(series.items()):
            shapes += [
                _text(0, y + 8, name),
                _line(x(lower), y + 4, x(upper), y + 4, f"reach {color(k)}"),
                _dot(x(value), y + 4, 4.5, color(k)),
            ]
            y += _ROW
    described = "ROC AUC with intervals; the table holds the same numbers."
    return _svg(bottom + _ROW, described, shapes)


def curve_chart(curves: Mapping[str, Sequence[Sequence[float]]]) -> Markup:
    """Returns a mean line for each series over its faint single runs.

    Args:
        curves: Series name -> runs -> one value for each epoch. Runs may
            differ in length; a mean reaches as far as all of its runs do.
    """
    runs = [run for series in curves.values() for run in series]
    means = [_mean(series) for series in curves.values()]
    epochs = max(map(len, runs))
    bottom = max(9 * _ROW, _NAME * len(curves))
    right = _WIDTH - _label_width(curves)
    low, high = _padded([value for run in runs for value in run])
    x, y = _scale(1, max(epochs, 2), 44, right), _scale(low, high, bottom, 8)
    shapes = _levels(low, high, y, right)
    shown = range(1, epochs + 1, math.ceil(epochs / 6))
    shapes += _numbers_below({k: str(k) for k in shown}, x, bottom)
    for k, series in enumerate(curves.values()):
        shapes += [_path(run, x, y, f"faint {color(k)}") for run in series]
    for k, mean in enumerate(means):
        shapes.append(_path(mean, x, y, color(k)))
        shapes.append(_dot(x(len(mean)), y(mean[-1]), 3.5, color(k)))
    ends_at = [y(mean[-1]) for mean in means]
    shapes += _names([*curves], ends_at, right + 10, bottom)
    ends = (
        f"{name} ends at {m[-1]:.4f}."
        for name, m in zip(curves, means, strict=True)
    )
    described = f"Validation ROC AUC over {epochs} epochs, mean over seeds."
    return _svg(bottom + _ROW, " ".join([described, *ends]), shapes)


def histogram(name: str, values: Array, labels: Array) -> Markup:
    """Returns one histogram for each label, on the same axes.

    A bar is a share of the rows of its label. The axis spans the middle 99%
    of all values; the outermost bars hold what lies beyond.

    Args:
        name: What the values are.
        values: `(num_samples,)`, finite.
        labels: `(num_samples,)` of 0 and 1.
    """
    groups = {k: values[labels == k] for k in (1, 0) if (labels == k).any()}
    low, high = np.quantile(values, [0.005, 0.995]).tolist()
    low, high = (low, high) if low < high else _padded([low])
    shares = {k: _shares(group, low, high) for k, group in groups.items()}
    peak = max(share.max() for share in shares.values())
    x, ticks = _scale(low, high, 0, _WIDTH), _ticks(low, high)
    shapes = _numbers_below(ticks, x, _PANEL * len(groups))
    described = [f"Histogram of {name}."]
    for row, (k, group) in enumerate(groups.items(), start=1):
        title = f"label {k}: {len(group):,} rows"
        median = minus(f"median {np.median(group):.3g}")
        middle = x(np.clip(np.median(group), low, high))
        base, top = _PANEL * row, _PANEL * row - 64
        shapes += [
            _text(0, top - 10, title, "strong"),
            _text(_WIDTH, top - 10, median, "end"),
            _bars(shares[k], _scale(0, peak, base, top), base),
            *(_line(x(at), base, x(at), base + 4, "axis") for at in ticks),
            _line(0, base, _WIDTH, base, "axis"),
            _line(middle, top - 3, middle, base, "median"),
        ]
        described.append(f"{title}, {median}.")
    return _svg(_PANEL * len(groups) + _ROW, " ".join(described), shapes)


def minus(number: str) -> str:
    """Returns a formatted number with a true minus sign."""
    return number.replace("-", "\N{MINUS SIGN}")


# Shapes. Markup.format escapes what it is given.


def _svg(height: float, described: str, shapes: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" '
        'aria-label="{}">{}</svg>'
    ).format(_WIDTH, height + 2, minus(described), Markup("").join(shapes))


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup(
        '<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
    ).format(kind, x1, y1, x2, y2)


def _dot(x: float, y: float, radius: float, kind: str) -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(
        kind, x, y, radius
    )


def _text(x: float, y: float, text: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
        kind, x, y, text
    )


def _path(values: Sequence[float], x: Scale, y: Scale, kind: str) -> Markup:
    points = (f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(values, start=1))
    return Markup('<polyline class="{}" points="{}"/>').format(
        kind, " ".join(points)
    )


def _bars(shares: Array, y: Scale, base: float) -> Markup:
    width = _WIDTH / len(shares)
    return Markup('<path class="bars" d="{}"/>').format(
        "".join(
            f"M{k * width:.1f} {base}V{y(share):.1f}h{width - 1:.1f}V{base}"
            for k, share in enumerate(shares.tolist())
            if share
        )
    )


def color(series: int) -> str:
    """Returns the class of the k-th strategy; only the first is `s0`."""
    return f"s{1 + (series - 1) % (_COLORS - 1) if series else 0}"


# Axes.


def _scale(low: float, high: float, start: float, stop: float) -> Scale:
    return lambda value: start + (stop - start) * (value - low) / (high - low)


def _padded(values: Iterable[float]) -> tuple[float, float]:
    """The range of the values with some air; never empty."""
    known = list(values)
    low, high = min(known), max(known)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air


def _ticks(low: float, high: float) -> dict[float, str]:
    """Round numbers between two values, each with its text."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(k for k in (1, 2, 5, 10) if k * power > 0.999 * rough)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    return {
        k * step: minus(f"{k * step:.{decimals}f}")
        for k in range(first, last + 1)
    }


def _numbers_below(
    ticks: dict[float, str], x: Scale, bottom: float
) -> list[Markup]:
    inside = {at: min(max(x(at), 8), _WIDTH - 10) for at in ticks}
    return [
        _text(inside[at], bottom + 15, text, "middle")
        for at, text in ticks.items()
    ]


def _horizontal(
    values: Iterable[float], left: float, bottom: float, sign: str = ""
) -> tuple[Scale, list[Markup]]:
    """A scale from left to right, and its grid with numbers below."""
    low, high = _padded(values)
    x = _scale(low, high, left, _WIDTH - 4)
    ticks = _ticks(low, high)
    if sign:
        ticks = {
            k: text if k <= 0 else sign + text for k, text in ticks.items()
        }
    grid = [_line(x(at), 0, x(at), bottom, "grid") for at in ticks]
    return x, grid + _numbers_below(ticks, x, bottom)


def _levels(low: float, high: float, y: Scale, right: float) -> list[Markup]:
    ticks = _ticks(low, high)
    return [
        *(_line(44, y(at), right, y(at), "grid") for at in ticks),
        *(_text(36, y(at) + 4, text, "end") for at, text in ticks.items()),
    ]


def _label_width(names: Iterable[str]) -> float:
    return min(16 + _CHARACTER * max(map(len, names)), _WIDTH / 2)


def _names(
    names: Sequence[str], heights: Sequence[float], x: float, bottom: float
) -> list[Markup]:
    """Names at the ends of lines, moved apart where they would overlap."""
    order = np.argsort(heights, kind="stable").tolist()
    places, free = dict(enumerate(heights)), -math.inf
    for k in order:
        places[k] = max(places[k], free)
        free = places[k] + _NAME
    free = bottom  # what was moved out below goes up again
    for k in reversed(order):
        places[k] = min(places[k], free)
        free = places[k] - _NAME
    return [
        _text(x, places[k] + 4, names[k], f"name {color(k)}") for k in order
    ]


# Statistics.


def _mean(runs: Sequence[Sequence[float]]) -> list[float]:
    shortest = min(map(len, runs))
    return [float(np.mean([run[k] for run in runs])) for k in range(shortest)]


def _shares(values: Array, low: float, high: float) -> Array:
    counts, _ = np.histogram(np.clip(values, low, high), _BINS, (low, high))
    return counts / len(values)
