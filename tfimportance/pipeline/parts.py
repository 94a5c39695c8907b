"""The rows of a run: the pool, and the target's rows in three parts."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, InputError, check_binary, fail
from tfimportance.config import RunConfig
from tfimportance.data import Examples, load_examples, split_examples
from tfimportance.data.columns import is_among, to_label
from tfimportance.data.reading import UnknownColumnError
from tfimportance.stages import has_own_group

_log = logging.getLogger(__name__)

_USUAL_ROWS = 300


def load_parts(config: RunConfig) -> dict[str, Examples]:
    """Returns the rows of `pool`, `target`, `validation` and `test`."""
    pool, traffic = _pool_and_traffic(config)
    test = None
    if config.test is not None:
        test = _load(config, config.test, config.target_label)
        traffic = _unlike(traffic, [test])
    sizes = _sizes(config, len(traffic))
    needed = sum(sizes) + (2 if config.test is None else 0)
    if len(traffic) < needed:
        raise fail(
            f"`target` must have at least {needed} rows: {sizes[0]} "
            f"to compare with, {sizes[1]} to validate with"
            + (
                " and the rest to test on."
                if config.test is None
                else ", none of them (or of their group) in `test`."
            ),
            f"target={config.target!r} with {len(traffic)} rows",
            "Lower `target_rows` or `validation_rows`.",
        )
    target, validation, remaining = _split(
        config, traffic, [*sizes, len(traffic) - sum(sizes)]
    )
    test = remaining if test is None else test
    parts = {"target": target, "validation": validation, "test": test}
    for name, part in parts.items():
        check_binary(f"{name} label", part.labels, both=True)
    pool = _unlike(pool, [validation, test], [target])
    check_binary("pool label", pool.labels, both=True)
    return {"pool": pool, **parts}


def _sizes(config: RunConfig, rows: int) -> tuple[int, int]:
    """How many target rows are compared with, and how many validate."""
    equal = rows // (3 if config.test is None else 2)
    usual = max(min(equal, _USUAL_ROWS), 2)
    return config.target_rows or usual, config.validation_rows or usual


def _load(
    config: RunConfig,
    source: str,
    label: str | None = None,
    keep: Sequence[str] = (),
) -> Examples:
    try:
        return load_examples(
            source,
            text=list(config.text),
            label=label or config.label,
            positive=config.positive,
            group=config.group,
            id=config.id,
            keep=list(keep),
        )
    except UnknownColumnError as error:
        raise error.asked_by(_setting(config, error)) from error


def _setting(config: RunConfig, error: UnknownColumnError) -> str:
    """Returns the name of the setting that asks for a column."""
    argument, column = error.argument, error.column
    if argument == "keep":
        named = isinstance(config.target, Mapping) and column in config.target
        return "target" if named else "target_label"
    is_trusted = argument == "label" and column == config.target_label
    return "target_label" if is_trusted else argument


def _pool_and_traffic(config: RunConfig) -> tuple[Examples, Examples]:
    target, trusted = config.target, config.target_label
    if isinstance(target, str):
        pool = _load(config, config.pool)
        return pool, _load(config, target, trusted)
    named = target if isinstance(target, Mapping) else {}
    kept = dict.fromkeys([*named, *([trusted] if trusted else [])])
    rows = _load(config, config.pool, keep=[*kept])
    is_target = (
        _drawn(rows, target, config.seed)
        if isinstance(target, int | float)
        else _having(rows, named)
    )
    if not is_target.any() or is_target.all():
        raise fail(
            "`target` must name some but not all rows of the pool.",
            f"target={target!r}, which "
            + ("every row has" if is_target.all() else "no row has"),
        )
    pool, traffic = rows.take(~is_target), rows.take(is_target)
    if trusted is not None:
        column = pd.Series(traffic.columns[trusted], name=trusted)
        label = to_label(column, config.positive, "target_label")
        traffic = replace(traffic, label=label)
    return pool, traffic


def _having(rows: Examples, wanted: Mapping[str, Any]) -> Array:
    """Returns which rows have the values that the target names."""
    matches = np.ones(len(rows), bool)
    for column, value in wanted.items():
        matches &= is_among("target", column, rows.columns[column], value)
    return matches


def _drawn(rows: Examples, share: float, seed: int) -> Array:
    """Returns which rows a random share of them (of their groups) is."""
    numbered = replace(rows, columns={"row": np.arange(len(rows))})
    is_drawn = np.zeros(len(rows), bool)
    with contextlib.suppress(InputError):  # the share may be less than a row
        (drawn,) = split_examples(numbered, [share], seed=seed)
        is_drawn[drawn.columns["row"]] = True
    return is_drawn


def _unlike(
    rows: Examples, unseen: Sequence[Examples], other: Sequence[Examples] = ()
) -> Examples:
    """The rows in no group of unseen parts and in no part by themselves."""
    if rows.group is not None:
        rows = rows.take(has_own_group(rows, unseen))
    if rows.id is not None:
        rows = _without_rows(rows, [*unseen, *other])
    return rows


def _without_rows(pool: Examples, unseen: Sequence[Examples]) -> Examples:
    """The rows of a part that unseen parts do not hold, too.

    They have the same id and the same texts: two files may number their rows
    each from 0.
    """
    own, *others = (
        pd.util.hash_pandas_object(
            pd.DataFrame({"": np.asarray(part.id).astype(str), **part.text}),
            index=False,
        )
        for part in (pool, *unseen)
    )
    is_known = np.isin(own, np.concatenate(others))
    if is_known.any():
        _log.info("%d rows are those of another part", is_known.sum())
    return pool.take(~is_known)


def _split(
    config: RunConfig, traffic: Examples, sizes: Sequence[int]
) -> tuple[Examples, Examples, Examples]:
    fractions = [size / len(traffic) for size in sizes if size]
    try:
        parts = split_examples(traffic, fractions, seed=config.seed)
    except InputError as error:
        raise fail(
            "`group` must divide the target's rows into groups small enough "
            f"for parts of {', '.join(map(str, sizes))} rows.",
            f"group={config.group!r} with {len(np.unique(traffic.group))} "  # type: ignore[arg-type]
            f"groups in {len(traffic)} rows",
            "Choose other `target_rows` or `validation_rows`, or another "
            "`target`.",
        ) from error
    nothing = traffic.take(np.arange(0))
    target, validation, test = [*parts, nothing][:3]
    for name, part in zip(
        ("target", "validation", "test"), parts, strict=False
    ):
        _check_classes(config, traffic, name, part)
    return target, validation, test


def _check_classes(
    config: RunConfig, traffic: Examples, name: str, part: Examples
) -> None:
    """Raises where the target has both classes, but this part of it one."""
    positives = int(traffic.labels.sum())
    if positives in (0, len(traffic)) or len(np.unique(part.labels)) == 2:
        return
    grows = "Lower `target_rows`" if name == "test" else f"Raise `{name}_rows`"
    raise fail(
        f"The {name} rows must hold both classes.",
        f"target={config.target!r} with {positives} positives in "
        f"{len(traffic)} rows, of which {int(part.labels.sum())} in the "
        f"{len(part)} {name} rows",
        f"{grows} or change `seed`.",
    )
