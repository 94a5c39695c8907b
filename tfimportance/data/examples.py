"""Labelled samples as plain arrays, one entry a row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfimportance._checks import Array, check_length, fail


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts with what is known about each: n rows of plain arrays.

    Example:
        >>> examples = Examples(
        ...     text={"review": np.array(["soft", "itchy"], object)},
        ...     label=np.array([1, 0], np.float32),
        ... )
        >>> len(examples)
        2
        >>> examples.take([1]).text["review"].item()
        'itchy'

    Attributes:
        text: Field name to `(n,)` object array of str, "" where missing; may
            be empty where there are columns.
        label: `(n,)` float32 of 0 and 1, or None.
        group: `(n,)` of str or numbers, or None; rows of one group are never
            split apart.
        weight: `(n,)` float32, finite and not negative, or None.
        time: `(n,)` numbers or datetime64[us] in UTC, or None.
        id: `(n,)` of str or numbers, or None.
        columns: Further columns by name, each `(n,)`; one of lists holds an
            array in each row.
    """

    text: dict[str, Array]
    label: Array | None = None
    group: Array | None = None
    weight: Array | None = None
    time: Array | None = None
    id: Array | None = None
    columns: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.text and not self.columns:
            raise fail(
                "`text` must hold at least one field, or `columns` one column.",
                "text={}, columns={}",
            )
        first = next(iter(self.text or self.columns))
        for name, array in self._arrays():
            check_length(name, array, len(self), first)

    def __len__(self) -> int:
        return len(next(iter((self.text or self.columns).values())))

    @property
    def labels(self) -> Array:
        """The label of every row; an error where none was loaded."""
        if self.label is None:
            raise fail(
                "`label` must name the label column.",
                "label=None",
                "Load the examples with it.",
            )
        return self.label

    def take(self, rows: ArrayLike) -> "Examples":
        """Returns the chosen rows, in the order in which they are named.

        Args:
            rows: Integer row numbers, repeats allowed, or a boolean mask
                `(n,)`.

        Raises:
            InputError: A mask has another length than the examples.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == bool:
            check_length("rows", chosen, len(self), "text")
        elif not chosen.size:
            chosen = chosen.astype(np.intp)  # an empty list is float to NumPy
        return Examples(
            text=_take(self.text, chosen),
            columns=_take(self.columns, chosen),
            **{
                name: None if array is None else array[chosen]
                for name, array in self._single().items()
            },
        )

    def _single(self) -> dict[str, Any]:
        names = ("label", "group", "weight", "time", "id")
        return {name: getattr(self, name) for name in names}

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        yield from self.text.items()
        yield from self.columns.items()
        for name, array in self._single().items():
            if array is not None:
                yield name, array


def _take(columns: dict[str, Array], rows: Array) -> dict[str, Array]:
    return {name: array[rows] for name, array in columns.items()}
