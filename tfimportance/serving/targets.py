"""The target set that a served model scores against."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfimportance._checks import (
    Array,
    check_choice,
    check_finite,
    check_length,
    check_number,
    fail,
)
from tfimportance.importance.modes import as_labels
from tfimportance.importance.reductions import (
    REDUCTIONS,
    Reduction,
    as_reduction,
)
from tfimportance.importance.settings import Settings
from tfimportance.similarity import (
    LARGEST_CLIP,
    check_matrix,
    check_settings,
)

# Of a similarity where nothing else is said.
SETTINGS = Settings(scale=4.0, clip=20.0, normalize=True)


@dataclass(frozen=True, eq=False)
class TargetSet:
    """The target rows that an exported model holds, and how it compares.

    A served score must not depend on the other rows of a request, so it is
    that of `importance_scores` with `reference="target"`, which compares each
    row with the target set alone. (The reference `"pool"` needs the row's own
    place in the training pool, `"both"` divides by the spread over it, and
    `"round_robin"` and `"density_ratio"` rank and sample the pool.)

    Example:
        >>> targets = TargetSet(np.eye(3), labels=[1, 0, 1], scale=5.0)
        >>> targets.embeddings.shape, targets.labels.tolist()
        ((3, 3), [1, 0, 1])

    Attributes:
        embeddings: `(num_targets, embedding_dim)`, made as the model's own
            embeddings are: same encoder, same fields.
        labels: `(num_targets,)` of 0 and 1, both present; None serves no
            label-signed score.
        offset: `(embedding_dim,)`, subtracted from both sides: the mean
            embedding of the training pool, which is what `center=True` takes.
            None subtracts nothing, as `center=False`.
        scale: As in `importance_scores`; so are the rest.
        clip: Largest size of the argument of sinh.
        normalize: Whether vectors are brought to length 1.
        reduction: `"mean"`, `"max"`, `"top_m"`, `"attention"` or an instance.

    Raises:
        InputError: Where shapes, labels or settings do not fit.
    """

    embeddings: Array
    labels: ArrayLike | None = None
    offset: ArrayLike | None = None
    scale: float = 4.0
    clip: float = 20.0
    normalize: bool = True
    reduction: str | Reduction = "mean"

    def __post_init__(self) -> None:
        embeddings = np.asarray(self.embeddings, np.float32)
        check_matrix("embeddings", embeddings.shape)
        check_finite("embeddings", embeddings)
        check_settings(self.scale, self.clip)
        # A sum over all targets has to fit into float32.
        most = float(LARGEST_CLIP - np.log(len(embeddings)))
        check_number("clip", self.clip, above=0, at_most=most)
        if isinstance(self.reduction, str):
            check_choice("reduction", self.reduction, REDUCTIONS)
        object.__setattr__(self, "embeddings", embeddings)
        if self.labels is not None:
            labels = as_labels(
                "labels", self.labels, len(embeddings), both=True
            )
            object.__setattr__(self, "labels", labels)
        if self.offset is not None:
            offset = np.asarray(self.offset, np.float64)
            check_length("offset", offset, embeddings.shape[1], "embeddings.T")
            check_finite("offset", offset)
            object.__setattr__(self, "offset", offset)

    @property
    def settings(self) -> Settings:
        """What the similarity is."""
        return Settings(self.scale, self.clip, self.normalize)

    def facts(self) -> dict[str, Any]:
        """Returns what a reader of the model card wants to know."""
        labels = self.labels
        return {
            "rows": len(self.embeddings),
            "positive": None if labels is None else int(np.sum(labels)),
            "scale": self.scale,
            "clip": self.clip,
            "normalize": bool(self.normalize),
            "centred": self.offset is not None,
            "reduction": str(self.reduction),
        }


class Scorer(tf.Module):
    """The scores of a `TargetSet` as TensorFlow operations without XLA.

    XLA is left out because a server need not be built with it. The targets
    are variables, so that all signatures share one copy.
    """

    def __init__(self, targets: TargetSet) -> None:
        super().__init__(name="targets")
        self._settings = targets.settings
        self._fold = as_reduction(targets.reduction)
        rows, self._negative = _by_class(targets.labels, targets.embeddings)
        dim = rows.shape[1]
        offset = np.zeros(dim) if targets.offset is None else targets.offset
        vectors = targets.settings.direction(
            tf.constant(rows - offset, tf.float32)
        )
        self._offset = tf.Variable(
            tf.constant(offset, tf.float32), trainable=False, name="offset"
        )
        self._vectors = tf.Variable(
            targets.scale * vectors, trainable=False, name="vectors"
        )

    @property
    def is_labelled(self) -> bool:
        """Whether the targets have labels."""
        return self._negative > 0

    def importance(self, embedding: tf.Tensor) -> tf.Tensor:
        """Returns float32 `(batch,)`: similar to the target traffic or not."""
        return tf.cast(self._reduce(self._arguments(embedding)), tf.float32)

    def signed_importance(
        self, embedding: tf.Tensor, label: tf.Tensor
    ) -> tf.Tensor:
        """Returns float32 `(batch,)`: agreement with like-labelled targets.

        Args:
            embedding: `(batch, embedding_dim)`.
            label: `(batch,)` of 0 and 1, as the served model makes sure.
        """
        z = self._arguments(embedding)
        negative = self._reduce(z[: self._negative])
        positive = self._reduce(z[self._negative :])
        side = tf.cast(label, tf.float64) - 0.5
        return tf.cast(side * (positive - negative), tf.float32)

    def _arguments(self, embedding: tf.Tensor) -> tf.Tensor:
        """Returns the clipped arguments of sinh, `(num_targets, batch)`."""
        if embedding.shape[1] not in (None, self._vectors.shape[1]):
            raise fail(
                "`targets` must be embeddings of the same dimension as the "
                f"model's, {embedding.shape[1]}.",
                f"targets.embeddings of dimension {self._vectors.shape[1]}",
                "Make them with the same encoder and the same fields.",
            )
        samples = self._settings.direction(embedding - self._offset)
        z = self._settings.dot(self._vectors, samples)
        return tf.clip_by_value(z, -self._settings.clip, self._settings.clip)

    def _reduce(self, z: tf.Tensor) -> tf.Tensor:
        fold, kernel = self._fold, self._settings.kernel_function()
        state = fold.start(tf.shape(z)[1])
        everyone = tf.ones_like(z[:, :1])
        return fold.finish(fold.update(state, z, everyone, kernel), kernel)


def _by_class(labels: Any, rows: Array) -> tuple[Array, int]:
    """Returns the rows, the negative ones first, and how many these are."""
    if labels is None:
        return rows, 0
    order = np.argsort(labels, kind="stable")
    return rows[order], int(len(labels) - np.sum(labels))
