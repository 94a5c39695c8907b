"""Arrays that say more, or are taken by more, than NumPy's own."""

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


def with_text_tensors(features: Any) -> Any:
    """Returns a structure of arrays whose texts are tensors, for Keras.

    `Model.predict` takes texts as tensors only, not as arrays.
    """
    # Who has a model has imported both; arrays alone need not wait for them.
    import keras
    import tensorflow as tf

    def convert(leaf: Any) -> Any:
        is_text = isinstance(leaf, np.ndarray) and holds_text(leaf)
        return tf.convert_to_tensor(leaf) if is_text else leaf

    return keras.tree.map_structure(convert, features)


def holds_text(array: np.ndarray[Any, Any]) -> bool:
    """Whether the values are texts: the first one tells."""
    return any(isinstance(each, str | bytes) for each in array.flat[:1])
