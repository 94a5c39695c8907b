"""Which voters make a sample important or unimportant."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tfimportance._checks import Array, check_count, check_length, fail
from tfimportance.diagnosis.common import (
    complete_settings,
    described,
    described_voters,
    id_or_position,
    poll_of,
    shorten,
)
from tfimportance.diagnosis.contributions import contributions
from tfimportance.importance import importance_scores
from tfimportance.importance.polls import Poll

# Other settings give scores that differ by more of their spread than this.
_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why samples are important or not; `print` it to read it.

    Attributes:
        samples: A row for each sample asked for: `row`, `id`, `text`,
            `label`, its `importance`, `supporting` and `opposing` (the sums
            of all positive and of all negative contributions), with two
            references `from_target` and `from_pool` (the sum over each), and
            `lower_share` (the share of the pool in [0, 1] that is less
            important), as far as they are known.
        voters: A row for each voter shown: the sample's `row`, `reference`
            (`"target"` or `"pool"`), `position` (row number there), `label`,
            `similarity`, `contribution` to the importance, and `id` and
            `text` as far as they are known; an `id` is printed in the place of
            the position. The supporting ones come first, then the opposing:
            the targets, the rows of the pool, each time the strongest first.
    """

    samples: pd.DataFrame
    voters: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Returns the table of voters."""
        return self.voters

    def __str__(self) -> str:
        blocks = []  # a sample that was asked for twice is printed once
        each_once = self.voters.drop_duplicates(
            ["row", "reference", "position"]
        )
        for sample in self.samples.drop_duplicates("row").to_dict("records"):
            voters = each_once[each_once["row"] == sample["row"]]
            blocks.append("\n".join(_lines(sample, voters)))
        return "\n\n".join(blocks)

    __repr__ = __str__


def explain(
    rows: int | ArrayLike,
    embeddings: Any,
    target_embeddings: Any,
    *,
    top: int | None = 5,
    texts: Any = None,
    target_texts: Any = None,
    importance: ArrayLike | None = None,
    **settings: Any,
) -> Explanation:
    """Returns the voters that speak most for and against some samples.

    The importance is a sum over all voters, the targets and, with the
    reference `"pool"` or `"both"`, the same rows of the pool that vote in
    `importance_scores`. What a voter adds is its contribution:

        similarity:    share_it * s_it
        label_signed:  y_i * y_t / 2 * share_it * s_it

    with the share that the reduction gives to each voter, `1 / num_targets`
    (of a class) for the mean; with `"both"` each reference is divided by its
    standard deviation over the pool. The pool is read for its mean, then only
    the rows asked for are looked at.

    Args:
        rows: The number of one sample, or `(num_rows,)` of several.
        embeddings: As in `importance_scores`; so is the next.
        target_embeddings: `(num_targets, embedding_dim)`.
        top: Targets to show on either side, and as many rows of the pool;
            `None` for all that contribute.
        texts: `(num_samples,)` strings or the pool's `Examples`.
        target_texts: `(num_targets,)` strings or the target's `Examples`.
        importance: What `importance_scores` returned with these settings. It
            shows where a sample stands in the pool; without it, the reference
            `"both"` scores the whole pool again for the standard deviations.
        **settings: Further arguments of `importance_scores`, as given there.

    Returns:
        The explanation, in the order of `rows`.

    Raises:
        InputError: Where rows, shapes or settings do not fit, where the
            importance comes from other settings, or where it is no sum
            (`"density_ratio"`, `"round_robin"`).

    Example:
        >>> import tfimportance as tfi
        >>> samples, targets = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [0, 1]]
        >>> tfi.explain(0, samples, targets, center=False,
        ...     target_texts=["soft", "itchy"])
        row 0, importance 13.38
          for      +13.3766  similarity   26.753  target 0        "soft"
    """
    settings = complete_settings(settings)
    poll = poll_of(embeddings, target_embeddings, settings)
    numbers = _row_numbers(rows, poll)
    if top is not None:
        check_count("top", top)
    scores, spread = _scores(
        importance, embeddings, target_embeddings, settings, poll
    )
    samples, voters = [], []
    for sample, table in contributions(numbers, embeddings, poll, spread, top):
        samples.append(sample)
        voters.append(table)
    return Explanation(
        _sample_table(pd.DataFrame(samples), poll, texts, scores),
        _voter_table(pd.concat(voters), poll, texts, target_texts),
    )


def _scores(
    importance: Any,
    embeddings: Any,
    target_embeddings: Any,
    settings: dict[str, Any],
    poll: Poll,
) -> tuple[Array | None, Array]:
    """Returns the scores, if known, and the spread of each reference."""
    scores: Any = None if importance is None else np.asanyarray(importance)
    if scores is not None:
        check_length("importance", scores, poll.num_samples, "embeddings")
    spread = getattr(scores, "spread", None)
    if poll.ballot.reference == "both" and spread is None:
        scores = importance_scores(embeddings, target_embeddings, **settings)
        spread = scores.spread
    if spread is None:
        # Nothing is divided by it; only the number of references counts.
        spread = np.ones(1 if poll.ballot.reference == "target" else 2)
    return scores, spread


def _row_numbers(rows: Any, poll: Poll) -> Array:
    """Returns the rows; raises where they or the scores have no reasons."""
    ballot = poll.ballot
    if ballot.combine is not None:
        raise fail(
            "`mode` and `reduction` must make the importance a sum over "
            "voters.",
            "mode='density_ratio'"
            if ballot.kernel == "exp"
            else "reduction='round_robin'",
            "Explain with mode='similarity' or 'label_signed' and 'mean'.",
        )
    numbers = np.atleast_1d(np.asarray(rows))
    whole = np.issubdtype(numbers.dtype, np.integer) and numbers.ndim == 1
    if not whole or not numbers.size:
        raise fail("`rows` must be whole numbers of samples.", f"rows={rows!r}")
    if numbers.min() < 0 or numbers.max() >= poll.num_samples:
        raise fail(
            f"`rows` must lie in 0 to {poll.num_samples - 1}.", f"rows={rows!r}"
        )
    return numbers.astype(np.int64)


def _sample_table(
    samples: pd.DataFrame, poll: Poll, texts: Any, scores: Array | None
) -> pd.DataFrame:
    rows = samples["row"].to_numpy()
    columns: dict[str, Any] = {"row": rows}
    columns |= described("texts", texts, poll.num_samples, rows)
    if poll.ballot.label is not None:
        columns["label"] = poll.ballot.label[rows]
    columns |= {str(name): samples[name] for name in samples}
    if scores is not None:
        own = np.asarray(scores)[rows]
        _check_same(columns["importance"].to_numpy(), own, scores)
        lower = np.searchsorted(np.sort(scores), own)
        columns["lower_share"] = lower / len(scores)
    return pd.DataFrame(columns)


def _check_same(explained: Array, given: Array, scores: Array) -> None:
    """Raises where the explained importance is not the one given."""
    apart = float(np.max(np.abs(explained - given)))
    if apart > _TOLERANCE * np.std(np.asarray(scores, np.float64)) + 1e-6:
        raise fail(
            "`importance` must come from importance_scores with the same "
            "embeddings and settings.",
            f"importance that differs from the explained one by {apart:.3g}",
            "Give all its settings here too, or leave `importance` out.",
        )


def _voter_table(
    voters: pd.DataFrame, poll: Poll, texts: Any, target_texts: Any
) -> pd.DataFrame:
    """Returns the voters with what is known about each."""
    ballot = poll.ballot
    voter = voters["voter"].to_numpy(np.int64)
    num_targets = len(poll.target)
    is_target = voter < num_targets
    position = np.concatenate([np.arange(num_targets), ballot.pool_rows])[voter]
    columns: dict[str, Any] = {
        "row": voters["row"].to_numpy(),
        "reference": np.where(is_target, "target", "pool"),
        "position": position,
    }
    if ballot.label is not None:
        columns["label"] = ballot.group[voter] % 2
    columns["similarity"] = voters["similarity"].to_numpy()
    columns["contribution"] = voters["contribution"].to_numpy()
    known = described_voters(is_target, position, poll, texts, target_texts)
    return pd.DataFrame(columns | known)


def _lines(sample: dict[Any, Any], voters: pd.DataFrame) -> Iterator[str]:
    """Yields the lines of one sample."""
    name = f"row {sample['row']}"
    if "id" in sample:
        name = f"id {sample['id']} ({name})"
    title = [name, f"importance {sample['importance']:.4g}"]
    if "label" in sample:
        title.insert(1, f"label {sample['label']}")
    if "from_pool" in sample:
        title[-1] += (
            " (target {from_target:+.4g}, pool {from_pool:+.4g})".format(
                **sample
            )
        )
    if "lower_share" in sample:
        title.append(f"above {sample['lower_share']:.1%} of the pool")
    yield ", ".join(title)
    if "text" in sample:
        yield f"  {shorten(sample['text'])}"
    for voter in voters.to_dict("records"):
        side = "for" if voter["contribution"] > 0 else "against"
        parts = [
            f"  {side:7} {voter['contribution']:+9.4f}",
            f"similarity {voter['similarity']:8.3f}",
            f"{voter['reference']:6} {id_or_position(voter)!s:<7}",
        ]
        if "label" in voter:
            parts.append(f"label {voter['label']}")
        if "text" in voter:
            parts.append(shorten(voter["text"]))
        yield "  ".join(parts).rstrip()
