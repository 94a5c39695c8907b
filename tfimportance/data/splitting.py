"""Random parts of a data set that keep groups together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tfimportance._checks import Array, check_number, fail
from tfimportance.data.examples import Examples

# Where groups are few and unequal, one shuffle may fit the fractions badly.
_SHUFFLES = 32
_MOST_SHUFFLES = 256  # while a part is empty or lacks a class


def split_examples(
    examples: Examples, fractions: Sequence[float], *, seed: int = 0
) -> list[Examples]:
    """Returns random parts of the examples, one for each fraction.

    No row is in two parts, and with fractions that add up to 1 each row is in
    exactly one; otherwise the rest is left out. Rows keep their order.

    With a `group`, rows of one group stay in one part, and the parts follow
    the fractions as nearly as the groups allow; with a label, too, each part
    has rows of each class, and at least half of its share of them, as far as
    whole groups allow. Without a group but with a label, each part has the
    class mix of the whole.

    Example:
        >>> examples = Examples(
        ...     text={"q": np.array(["a", "a", "b", "c"], object)},
        ...     group=np.array(["a", "a", "b", "c"], object),
        ... )
        >>> train, test = split_examples(examples, [0.5, 0.5])
        >>> len(train), set(train.group) & set(test.group)
        (2, set())

    Args:
        examples: What to split.
        fractions: Share of the rows for each part, each in (0, 1], in total
            at most 1.
        seed: The same seed gives the same parts.

    Raises:
        InputError: The fractions do not fit, or a part would be empty.
    """
    _check_fractions(fractions)
    rng = np.random.default_rng(seed)
    if examples.group is not None:
        part = _split_groups(examples.group, examples.label, fractions, rng)
    else:
        part = _cut(_positions(examples, rng), fractions)
    rows = [np.flatnonzero(part == number) for number in range(len(fractions))]
    _check_parts(rows, fractions, len(examples))
    return [examples.take(chosen) for chosen in rows]


def _cut(position: Array, fractions: Sequence[float]) -> Array:
    """The part in which each position in (0, 1) lies."""
    return np.searchsorted(np.cumsum(fractions), position)


def _positions(examples: Examples, rng: np.random.Generator) -> Array:
    """Evenly spaced random places in (0, 1), those of each class as well."""
    number = len(examples)
    classes = np.zeros(number) if examples.label is None else examples.label
    position = np.empty(number)
    for value in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == value))
        position[rows] = _spaced(len(rows))
    position[np.argsort(position, kind="stable")] = _spaced(number)
    return position


def _spaced(number: int) -> Array:
    return (np.arange(number) + 0.5) / number


def _split_groups(
    group: Array,
    label: Array | None,
    fractions: Sequence[float],
    rng: np.random.Generator,
) -> Array:
    """Lays the groups in a row and cuts it where the fractions fall.

    A group belongs to the part in which its middle lies. Of several shuffles
    the best is kept; see `_misfit`.
    """
    member, _ = pd.factorize(group)
    size = np.bincount(member)
    of_class = _class_sizes(member, label)
    best, best_misfit = np.empty(0, np.intp), (np.inf, np.inf, np.inf, np.inf)
    for shuffle in range(_MOST_SHUFFLES):
        if shuffle >= _SHUFFLES and not any(best_misfit[:3]):
            break
        order = rng.permutation(len(size))
        middle = np.cumsum(size[order]) - size[order] / 2
        part = np.empty(len(size), np.intp)
        part[order] = _cut(middle / len(member), fractions)
        misfit = _misfit(part, size, of_class, fractions)
        if misfit < best_misfit:
            best, best_misfit = part, misfit
    return best[member]


def _class_sizes(member: Array, label: Array | None) -> list[Array]:
    """For each class, `(num_groups,)` its rows in each group."""
    if label is None:
        return []
    groups = int(member.max()) + 1
    return [
        np.bincount(member[label == value], minlength=groups)
        for value in np.unique(label)
    ]


def _misfit(
    part: Array,
    size: Array,
    of_class: list[Array],
    fractions: Sequence[float],
) -> tuple[float, float, float, float]:
    """What is wrong with parts of groups, the worst first.

    Args:
        part: `(num_groups,)` the part of each group.
        size: `(num_groups,)` rows of each group.
        of_class: The same for the rows of each class.
        fractions: Share of the rows for each part.

    Returns:
        How many parts are empty; how many classes the parts lack; how many
        rows of a class are missing to half of a part's share; and how far off
        the size of a part is, as a share of all rows.
    """
    share = np.asarray(fractions)

    def held(sizes: Array) -> Array:
        return np.bincount(part, sizes, len(share))[: len(share)]

    rows, classes = held(size), [held(sizes) for sizes in of_class]
    short = [
        np.maximum(share * sizes.sum() / 2 - found, 0).sum()
        for sizes, found in zip(of_class, classes, strict=True)
    ]
    return (
        float(np.count_nonzero(rows == 0)),
        float(sum(np.count_nonzero(found == 0) for found in classes)),
        float(sum(short)),
        float(np.abs(rows / size.sum() - share).max()),
    )


def _check_fractions(fractions: Sequence[float]) -> None:
    for fraction in fractions:
        check_number("fractions", fraction, above=0, at_most=1)
    total = sum(fractions)
    if not 0 < total <= 1 + 1e-9:
        raise fail(
            "`fractions` must add up to at most 1.",
            f"fractions={list(fractions)!r}, which add up to {total:g}",
        )


def _check_parts(
    rows: list[Array], fractions: Sequence[float], number: int
) -> None:
    empty = [part for part, chosen in enumerate(rows) if not len(chosen)]
    if empty:
        raise fail(
            "`fractions` must leave no part empty.",
            f"fractions={list(fractions)!r} of {number} rows, part {empty[0]} "
            "empty",
            "Raise that fraction, or give more rows or smaller groups.",
        )
