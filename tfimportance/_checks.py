"""Input checks shared by the rooms: each raises, none returns a bool."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class InputError(ValueError):
    """Something that the caller gave is wrong; the message says the mend."""


def fail(expectation: str, received: str, mend: str = "") -> InputError:
    """Returns the one-line error `expectation Received: received. mend`."""
    return InputError(f"{expectation} Received: {received}. {mend}".rstrip())


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises unless `value` is one of `choices`; names the nearest one."""
    known = list(choices)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    raise fail(
        f"`{name}` must be one of {', '.join(map(repr, known))}.",
        f"{name}={value!r}",
        f"Did you mean {near[0]!r}?" if near else "",
    )


def check_number(
    name: str,
    value: object,
    *,
    above: float = -np.inf,
    at_least: float = -np.inf,
    at_most: float = np.inf,
) -> None:
    """Raises unless it is a finite number above, at least and at most these."""
    is_number = isinstance(value, (int, float, np.number))
    is_number = is_number and not isinstance(value, bool) and value != np.inf
    if is_number and above < value <= at_most and value >= at_least:  # type: ignore[operator]
        return
    lower = "" if above == -np.inf else f" above {above:g}"
    lower += "" if at_least == -np.inf else f" of at least {at_least:g}"
    upper = "finite" if at_most == np.inf else f"at most {at_most:g}"
    raise fail(
        f"`{name}` must be a number{lower} and {upper}.", f"{name}={value!r}"
    )


def check_count(name: str, value: object, *, at_least: int = 1) -> None:
    """Raises unless `value` is an integer of at least `at_least`."""
    is_integer = isinstance(value, (int, np.integer))
    if is_integer and not isinstance(value, bool) and value >= at_least:  # type: ignore[operator]
        return
    raise fail(
        f"`{name}` must be an integer of at least {at_least}.",
        f"{name}={value!r}",
    )


def check_length(name: str, value: Array, expected: int, other: str) -> None:
    """Raises unless `value` is one-dimensional with `expected` entries."""
    if value.ndim == 1 and len(value) == expected:
        return
    raise fail(
        f"`{name}` must have shape ({expected},), one entry for each row of "
        f"`{other}`.",
        f"{name}.shape={value.shape}",
        "Take its only column, [:, 0]." if value.shape == (expected, 1) else "",
    )


def check_finite(name: str, value: Array) -> None:
    """Raises where `value` has a NaN or an infinity; says how many."""
    bad = int(np.size(value) - np.count_nonzero(np.isfinite(value)))
    if bad:
        raise fail(
            f"`{name}` must be finite.",
            f"{name} with {bad} NaN or infinite of {np.size(value)} values",
            "Remove or repair these rows.",
        )


def check_binary(name: str, value: Array, *, both: bool = False) -> None:
    """Raises unless all values are 0 or 1 (and, with `both`, both occur)."""
    try:
        found = np.unique(value)
    except TypeError:  # None among numbers has no order
        found = np.array(sorted({*value.tolist()}, key=str), object)
    if not np.isin(found, (0, 1)).all():
        shown = ", ".join(map(str, found[:5].tolist()))
        raise fail(
            f"`{name}` must hold 0 and 1 only.",
            f"{name} with values {shown}{', ...' if len(found) > 5 else ''}",
            "Repair the labels, or say with `positive=` which values count "
            "as 1.",
        )
    if both and len(found) < 2:
        raise fail(
            f"`{name}` must hold both classes.",
            f"{name} with {len(value)} rows, all "
            f"{found[0] if len(found) else 'missing'}",
            "Add rows of the other class.",
        )


def check_file(name: str, path: Path) -> None:
    """Raises FileNotFoundError unless `path` exists."""
    if not path.exists():
        raise FileNotFoundError(
            f"`{name}` must be an existing file or folder. "
            f"Received: {name}={str(path)!r}, which does not exist."
        )
