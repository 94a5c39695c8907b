"""The words of `fit(..., allocation=...)`."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np

from tfimportance._checks import check_choice, fail
from tfimportance.allocation.epochs import Allocation, Combination
from tfimportance.allocation.selection import Curriculum, TopK
from tfimportance.allocation.spending import LearningRate, Repeat, Weight

_WORDS: dict[str, Callable[[], Allocation]] = {
    "weight": Weight,
    "top_k": partial(TopK, 0.5),
    "repeat": Repeat,
    "learning_rate": LearningRate,
    "curriculum": Curriculum,
}


def allocation_of(choice: Any) -> Allocation:
    """Returns the allocation that a word, an object or several of them name.

    Example:
        >>> allocation_of("repeat")
        Repeat(per_label=True, floor=0.1)
        >>> [type(part).__name__
        ...     for part in allocation_of(["top_k", "weight"]).parts]
        ['TopK', 'Weight']

    Raises:
        InputError: It is none, or would spend the weights twice.
    """
    if isinstance(choice, str):
        check_choice("allocation", choice, _WORDS)
        return _WORDS[choice]()
    if isinstance(choice, Combination):
        choice = choice.parts
    if isinstance(choice, Sequence):
        return _combined(tuple(allocation_of(each) for each in choice))
    if callable(getattr(choice, "plan", None)) and not isinstance(choice, type):
        return choice
    raise fail(
        "`allocation` must be one of its words, an object with a method "
        "`plan`, or several of them.",
        f"allocation={choice!r}",
    )


def sets_step_size(allocation: Allocation) -> bool:
    """Whether the weights are step sizes, which the optimizer must know."""
    if isinstance(allocation, Combination):
        return any(map(sets_step_size, allocation.parts))
    return isinstance(allocation, LearningRate)


def describe(allocation: Allocation) -> Any:
    """Returns what must be the same for two runs to be the same."""
    name = type(allocation).__name__
    if not is_dataclass(allocation):
        return name
    return [
        name,
        *(_value(allocation, each.name) for each in fields(allocation)),
    ]


def _combined(parts: tuple[Allocation, ...]) -> Allocation:
    spending = [each for each in parts if isinstance(each, (Weight, Repeat))]
    if not parts or len(spending) > 1:
        raise fail(
            "`allocation` must have one part or more, and at most one that "
            "spends the weights: 'weight', 'repeat' or 'learning_rate'.",
            f"allocation={list(parts)!r}",
            "A weight that acts twice counts twice.",
        )
    return parts[0] if len(parts) == 1 else Combination(parts)


def _value(allocation: Any, name: str) -> Any:
    value = getattr(allocation, name)
    if isinstance(allocation, Combination):
        return [describe(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    array = np.asarray(value)
    if array.dtype == object:  # strings; their bytes are addresses
        array = array.astype(str)
    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
