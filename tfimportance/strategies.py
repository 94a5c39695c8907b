"""Ways to use a target set in training, each by one word.

A strategy looks at the labelled pool and the labelled target, and says which
rows are trained on and with which weights. `"auto:repeat"` is the strategy
`auto` with the allocation `repeat` (see `fit`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfimportance._checks import Array, check_choice
from tfimportance.allocation import allocation_of
from tfimportance.importance import importance_scores
from tfimportance.reliability import Choice, choose_weights
from tfimportance.reliability.learners import out_of_fold
from tfimportance.weighting import SampleWeight, to_sample_weight

_EFFECTIVE = 0.6  # of the fixed strategies: what gains most on wrong labels


@dataclass(frozen=True)
class Material:
    """What a strategy may look at; validation and test rows are not in it.

    Attributes:
        pool: `(num_samples, embedding_dim)` float32 of the training rows.
        label: `(num_samples,)` of 0 and 1.
        target: `(num_targets, embedding_dim)`.
        target_label: `(num_targets,)` of 0 and 1, trusted.
        group: `(num_samples,)`, such as the query of each row, or None.
        target_group: `(num_targets,)`, or None.
        seed: Whatever a strategy draws, it draws from this.
    """

    pool: Array
    label: Array
    target: Array
    target_label: Array
    group: Array | None = None
    target_group: Array | None = None
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """What is trained.

    Attributes:
        sample_weight: `(num_samples,)`, or None for uniform weights.
        allocation: How the weights become training; see `fit`.
        rows: `"pool"`, or `"target"` to train on the target rows alone.
        score: `(num_samples,)` from which the weights were made, or None.
        choice: What `choose_weights` found, where it was asked.
    """

    sample_weight: Array | None = None
    allocation: Any = "weight"
    rows: str = "pool"
    score: Array | None = None
    choice: Choice | None = None

    def shown(self, num_samples: int) -> tuple[Array, SampleWeight]:
        """Returns scores and weights of mean 1; without any, all are equal."""
        weight = np.ones(num_samples, np.float32)
        if self.sample_weight is not None:
            weight = np.asarray(self.sample_weight, np.float32)
            weight = weight / weight.mean()
        score = np.zeros(num_samples) if self.score is None else self.score
        result = weight.view(SampleWeight)
        result.clipped_fraction = getattr(self.score, "clipped_fraction", 0.0)
        return np.asarray(score), result


Strategy = Callable[[Material], Recipe]


def uniform(material: Material) -> Recipe:
    """Every row of the pool counts the same."""
    return Recipe()


def target_only(material: Material) -> Recipe:
    """Only the target rows are trained on."""
    return Recipe(rows="target")


def random_half(material: Material) -> Recipe:
    """A random half of each class: what choosing fewer rows costs."""
    draw = np.random.default_rng(material.seed).random(len(material.label))
    return Recipe(draw.astype(np.float32), "top_k")


def similarity(material: Material) -> Recipe:
    """Label-blind sinh similarity to the target."""
    return _tempered(
        np.asarray(importance_scores(material.pool, material.target))
    )


def label_signed_target(material: Material) -> Recipe:
    """Label-signed sinh agreement with the target."""
    return _tempered(_signed(material, "target"))


def label_signed_pool(material: Material) -> Recipe:
    """Label-signed sinh agreement with the pool itself."""
    return _tempered(_signed(material, "pool"))


def label_signed(material: Material) -> Recipe:
    """Label-signed sinh agreement with both."""
    return _tempered(_signed(material, "both"))


def small_loss(material: Material) -> Recipe:
    """The out-of-fold log-probability of a row's own label."""
    return _tempered(_log_probability(material))


def combined(material: Material) -> Recipe:
    """Label-signed agreement with both, plus small loss, standardised."""
    signed, likely = _signed(material, "both"), _log_probability(material)
    return _tempered(_standardised(signed) + _standardised(likely))


def auto(material: Material) -> Recipe:
    """What the target speaks for; see `choose_weights`."""
    choice = choose_weights(
        material.pool,
        material.target,
        labels=material.label,
        target_labels=material.target_label,
        group=material.group,
        target_group=material.target_group,
        seed=material.seed,
    )
    return Recipe(choice.sample_weight, score=choice.score, choice=choice)


STRATEGIES: Mapping[str, Strategy] = {
    each.__name__: each
    for each in (
        uniform,
        auto,
        target_only,
        random_half,
        similarity,
        label_signed_target,
        label_signed_pool,
        label_signed,
        small_loss,
        combined,
    )
}
# What `tfimportance compare` trains where nothing is named.
COMPARED = (
    *(name for name in STRATEGIES if name not in ("uniform", "auto")),
    *("auto:top_k", "auto:repeat", "auto:curriculum", "auto:learning_rate"),
)


def recipe(
    name: str,
    material: Material,
    known: Mapping[str, Recipe] | None = None,
) -> Recipe:
    """Returns what the strategy of this name trains.

    Args:
        name: One of `STRATEGIES` or of `known`, with `:` and an allocation or
            without.
        material: What the strategy looks at.
        known: Recipes by name that need not be made again.

    Raises:
        InputError: There is no such strategy or allocation.
    """
    known = known or {}
    check_strategy(name, known)
    base, _, allocation = name.partition(":")
    made = known[base] if base in known else STRATEGIES[base](material)
    return replace(made, allocation=allocation) if allocation else made


def check_strategy(name: str, known: Iterable[str] = ()) -> None:
    """Raises unless `recipe` knows this name, or `known` holds it."""
    base, colon, allocation = str(name).partition(":")
    check_choice("strategy", base, [*STRATEGIES, *known])
    if colon:
        allocation_of(allocation)


def _signed(material: Material, reference: str) -> Array:
    return np.asarray(
        importance_scores(
            material.pool,
            material.target,
            labels=material.label,
            target_labels=material.target_label,
            reference=reference,
            seed=material.seed,
        ),
        np.float64,
    )


def _log_probability(material: Material) -> Array:
    log_odds = out_of_fold(
        material.pool, material.label, material.group, material.seed
    ).log_odds
    return -np.logaddexp(0, np.where(material.label == 1, -log_odds, log_odds))


def _standardised(score: Array) -> Array:
    """The score over its spread; as it is, where that is rounding alone."""
    spread = score.std()
    is_flat = spread <= 1e-12 * np.abs(score).max()
    return score if is_flat else score / spread


def _tempered(score: Array) -> Recipe:
    weight = to_sample_weight(score, effective_fraction=_EFFECTIVE)
    return Recipe(weight, score=score)
