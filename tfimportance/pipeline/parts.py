"""The rows of a run: the pool, and the target's rows in three parts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfimportance._checks import Array, check_binary, fail
from tfimportance.config import RunConfig
from tfimportance.data import Examples, load_examples, split_examples

_log = logging.getLogger(__name__)


def load_parts(config: RunConfig) -> dict[str, Examples]:
    """Returns the rows of `pool`, `target`, `validation` and `test`."""
    pool, traffic = _pool_and_traffic(config)
    wanted = config.target_rows + config.validation_rows
    needed = wanted + (2 if config.test is None else 0)
    if len(traffic) < needed:
        raise fail(
            f"`target` must have at least {needed} rows: {config.target_rows} "
            f"to compare with, {config.validation_rows} to validate with"
            + (" and the rest to test on." if config.test is None else "."),
            f"target={config.target!r} with {len(traffic)} rows",
            "Lower `target_rows` or `validation_rows`.",
        )
    shares = [config.target_rows, config.validation_rows]
    shares.append(len(traffic) - wanted)
    target, validation, test = _split(traffic, shares, config.seed)
    if config.test is not None:
        test = _load(config, config.test, config.target_label)
    parts = {"target": target, "validation": validation, "test": test}
    for name, part in parts.items():
        check_binary(f"{name} label", part.labels, both=True)
    pool = _without_groups(pool, [validation, test])
    check_binary("pool label", pool.labels, both=True)
    return {"pool": pool, **parts}


def _load(
    config: RunConfig,
    source: str,
    label: str | None = None,
    keep: Sequence[str] = (),
) -> Examples:
    return load_examples(
        source,
        text=list(config.text),
        label=label or config.label,
        positive=config.positive,
        group=config.group,
        id=config.id,
        keep=list(keep),
    )


def _pool_and_traffic(config: RunConfig) -> tuple[Examples, Examples]:
    target, trusted = config.target, config.target_label
    if isinstance(target, str):
        pool = _load(config, config.pool)
        return pool, _load(config, target, trusted)
    if isinstance(target, Mapping):
        rows = _load(config, config.pool, keep=list(target))
        is_target = _having(rows, target)
    else:
        rows = _load(config, config.pool)
        is_target = _drawn(rows, target, config.seed)
    if not is_target.any() or is_target.all():
        raise fail(
            "`target` must name some but not all rows of the pool.",
            f"target={target!r}, which "
            + ("every row has" if is_target.all() else "no row has"),
        )
    traffic = rows if trusted is None else _load(config, config.pool, trusted)
    return rows.take(~is_target), traffic.take(is_target)


def _having(rows: Examples, wanted: Mapping[str, Any]) -> Array:
    """Returns which rows have the values that the target names."""
    matches = np.ones(len(rows), bool)
    for column, value in wanted.items():
        matches &= rows.columns[column] == value
    return matches


def _drawn(rows: Examples, share: float, seed: int) -> Array:
    """Returns which rows a random share of them (of their groups) is."""
    numbered = replace(rows, columns={"row": np.arange(len(rows))})
    (drawn,) = split_examples(numbered, [share], seed=seed)
    return np.isin(numbered.columns["row"], drawn.columns["row"])


def _split(
    traffic: Examples, sizes: Sequence[int], seed: int
) -> tuple[Examples, Examples, Examples]:
    fractions = [size / len(traffic) for size in sizes if size]
    parts = split_examples(traffic, fractions, seed=seed)
    nothing = traffic.take(np.arange(0))
    target, validation, test = [*parts, nothing][:3]
    return target, validation, test


def _without_groups(pool: Examples, unseen: Sequence[Examples]) -> Examples:
    """The pool without the groups (queries) that the model must not know."""
    if pool.group is None:
        return pool
    known = np.concatenate([part.group for part in unseen])
    leaks = np.isin(pool.group, known)
    if leaks.any():
        _log.info("%d pool rows share a group with unseen rows", leaks.sum())
    return pool.take(~leaks)
