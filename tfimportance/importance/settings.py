"""What the similarity of two vectors is."""

import functools
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfimportance.importance.reductions import Kernel
from tfimportance.similarity import sinh, unit


@dataclass(frozen=True)
class Settings:
    """What the similarity is; hashable, one compiled program for each.

    Attributes:
        scale: Factor on the dot product.
        clip: Largest size of the argument of the kernel.
        normalize: Whether vectors are brought to length 1.
        kernel: `"sinh"`, or `"exp"` for density ratios.
        product: Type in which dot products are multiplied; `"bfloat16"`
            rounds both vectors and their product to 8 bits, which moves a
            cosine by up to 2^-7.
    """

    scale: float
    clip: float
    normalize: bool
    kernel: str = "sinh"
    product: str = "float32"

    @property
    def can_clip(self) -> bool:
        """Whether an argument can lie beyond the clip at all."""
        return not self.normalize or self.scale > self.clip

    def kernel_function(self) -> Kernel:
        """Returns the kernel, made for the arguments that can occur."""
        if self.kernel == "exp":
            return tf.exp
        bound = self.clip if self.can_clip else self.scale
        return functools.partial(sinh, bound=bound)

    def direction(self, vectors: Any) -> Any:
        """Returns the vectors, at length 1 if that is wanted."""
        return unit(vectors) if self.normalize else vectors

    def factor(self, directions: Any) -> Any:
        """Returns the directions in the type in which they are multiplied."""
        if self.product == "float32":
            return directions
        return tf.cast(directions, self.product)

    def dot(self, left: Any, right: Any) -> Any:
        """Returns all dot products of two sets of rows."""
        left, right = self.factor(left), self.factor(right)
        return tf.matmul(left, right, transpose_b=True)
