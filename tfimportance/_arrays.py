"""A float32 array that remembers how much clipping is behind it."""

from typing import Any

import numpy as np

from tfimportance._checks import Array


class ClippedArray(np.ndarray[Any, np.dtype[np.float32]]):
    """An ordinary `(num_samples,)` array for Keras, NumPy and plots.

    Slices and views carry the attribute; arithmetic gives plain arrays.

    Attributes:
        clipped_fraction: Share in [0, 1] of the similarities whose sinh
            argument was clipped: clipped ones are ties.
    """

    clipped_fraction: float

    def __array_finalize__(self, source: Any) -> None:
        self.clipped_fraction = getattr(source, "clipped_fraction", 0.0)

    def __array_wrap__(
        self, array: Array, context: Any = None, return_scalar: bool = False
    ) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain
