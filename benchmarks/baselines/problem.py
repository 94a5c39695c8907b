"""What every method is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """A training pool whose samples are to be valued for a trusted target.

    Attributes:
        features: Embeddings of the pool, (num_samples, dim) float32.
        label: Labels of the pool, (num_samples,) 0 or 1, possibly wrong.
        target_features: Embeddings of the target, (num_targets, dim).
        target_label: Labels of the target, (num_targets,) 0 or 1, trusted.
        target_group: Group of each target, such as its query, or None.
        group: Group of each sample, such as its query, or None.
        seed: Whatever a method draws, it draws from this.
    """

    features: Array
    label: Array
    target_features: Array
    target_label: Array
    target_group: Array | None = None
    group: Array | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.features)

    def rng(self) -> np.random.Generator:
        """Returns a new generator, the same at every call."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Method:
    """A way to value samples.

    Attributes:
        score: Problem to (num_samples,) float64; higher is more important.
        is_weight: Whether the scores are weights as they stand (non-negative,
            meant for the loss); else they are values, to be ranked or tempered.
        source: Who proposed it, and what this implementation follows.
    """

    score: Callable[[Problem], Array]
    is_weight: bool
    source: str

    def __call__(self, problem: Problem) -> Array:
        """Returns the scores as float64, one for each sample."""
        return np.asarray(self.score(problem), np.float64)
