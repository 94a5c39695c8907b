"""What each allocation plans for an epoch, against plain loops."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from tfimportance import (
    Combination,
    Curriculum,
    InputError,
    LearningRate,
    Repeat,
    TopK,
    Weight,
)
from tfimportance.allocation import (
    Epoch,
    allocation_of,
    describe,
    sets_step_size,
)
from tfimportance.allocation.spending import systematic_counts

rng = np.random.default_rng(23)
N = 211
WEIGHT = rng.gamma(1.0, 1.0, N)
LABEL = (rng.random(N) < 0.2).astype(np.int64)  # imbalanced
GROUP = rng.integers(0, 17, N)


def epoch_of(number=0, weight=WEIGHT, label=LABEL, seed=3):
    return Epoch(
        number,
        np.random.default_rng([seed, number]),
        label,
        weight,
        rows=np.arange(len(label)),
    )


def kish(weight):
    return np.sum(weight) ** 2 / np.sum(np.square(weight))


def tempered(weight, size):
    """w ** gamma of the same mean with that effective size."""
    gamma = brentq(lambda g: kish(weight**g) - size, 0, 1, xtol=1e-14)
    return weight**gamma * weight.mean() / np.mean(weight**gamma)


# --- TopK -------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "number"), [(0.4, 84), (50, 50), (1.0, N)])
def test_top_k_keeps_the_heaviest_rows(keep, number):
    epoch = TopK(keep, per_label=False).plan(epoch_of())
    assert epoch.row_weight is None
    heaviest = sorted(range(N), key=lambda i: -WEIGHT[i])[:number]
    assert sorted(epoch.rows) == sorted(heaviest)


@pytest.mark.parametrize("groups", [None, GROUP])
@pytest.mark.parametrize("per_label", [True, False])
def test_every_stratum_keeps_its_share_and_its_heaviest(per_label, groups):
    rows = set(TopK(0.37, per_label, groups).plan(epoch_of()).rows.tolist())
    assert len(rows) == round(0.37 * N)
    zeros = np.zeros(N, np.int64)
    strata = list(
        zip(
            LABEL if per_label else zeros,
            zeros if groups is None else groups,
            strict=True,
        )
    )
    for stratum in set(strata):
        members = [i for i in range(N) if strata[i] == stratum]
        kept = [i for i in members if i in rows]
        assert abs(len(kept) - round(0.37 * N) * len(members) / N) < 1
        left = [WEIGHT[i] for i in members if i not in rows]
        assert not left or not kept or max(left) < min(WEIGHT[kept])


def test_a_share_of_the_floor_itself_is_none_too_few():
    for number in range(20, 60):  # the tenth part is rounded down or up
        weight, label = np.arange(number) + 1.0, np.arange(number) % 2
        rows = TopK(0.1).plan(epoch_of(weight=weight, label=label)).rows
        assert abs(len(rows) - number / 10) <= 0.5


def test_of_equal_remainders_the_heavier_next_row_comes():
    weight = np.array([1.0, 1.0, 3.0, 3.0, 2.0, 2.0])
    groups = ["a", "a", "b", "b", "c", "c"]  # half a row of three each
    epoch = epoch_of(weight=weight, label=np.zeros(6, int))
    rows = TopK(2, groups=groups).plan(epoch).rows
    assert Counter(groups[i] for i in rows) == {"b": 1, "c": 1}


def test_chance_decides_where_weights_tie():
    weight = np.array([1.0] * 40 + [2.0] * 10)
    plan = TopK(30, per_label=False).plan
    label = np.zeros(50, int)
    first, again, other = (
        set(plan(epoch_of(weight=weight, label=label, seed=seed)).rows)
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert set(range(40, 50)) <= first & other


def test_a_class_may_go_where_the_mix_need_not_stay():
    weight = WEIGHT * LABEL
    for each in (TopK(0.5, per_label=False), Curriculum(per_label=False)):
        rows = each.plan(epoch_of(weight=weight)).rows
        assert set(LABEL[rows]) == {1}


def test_rows_of_weight_zero_never_come():
    weight = np.where(np.arange(N) % 3 == 0, 0, WEIGHT)
    some = set(np.flatnonzero(weight))
    assert set(TopK(1.0).plan(epoch_of(weight=weight)).rows) == some
    assert set(Repeat().plan(epoch_of(weight=weight)).rows) <= some
    opened = Curriculum().plan(epoch_of(9, weight=weight)).rows
    assert set(opened) == some
    assert len(opened) == len(some)
    weighed = Weight().plan(epoch_of(weight=weight))
    assert np.array_equal(weighed.row_weight, weight)


# --- Repeat -----------------------------------------------------------------


@pytest.mark.parametrize("per_label", [True, False])
def test_repetitions_are_due_rounded_and_the_class_mix_stays(per_label):
    due = np.empty(N)
    for value in (0, 1):
        own = (value == LABEL) if per_label else np.ones(N, bool)
        due[own] = own.sum() * WEIGHT[own] / WEIGHT[own].sum()
    times = np.zeros(N)
    plan = Repeat(per_label).plan
    for number in range(400):
        rows = plan(epoch_of(number)).rows
        count = np.bincount(rows, minlength=N)
        assert len(rows) == N
        assert (np.floor(due - 1e-9) <= count).all()
        assert (count <= np.ceil(due + 1e-9)).all()
        if per_label:
            assert LABEL[rows].sum() == LABEL.sum()
        times += count / 400
    error = np.sqrt(np.maximum((due % 1) * (1 - due % 1), 1e-4) / 400)
    assert np.max(np.abs(times - due) / error) < 5


def test_rounding_is_fair_over_all_offsets():
    due = np.array([0.3, 1.2, 0.05, 2.0, 0.45])
    counts = [systematic_counts(due, (i + 0.5) / 1000) for i in range(1000)]
    assert np.mean(counts, axis=0) == pytest.approx(due, abs=1e-3)
    assert np.unique(np.sum(counts, axis=1)).tolist() == [4]


def test_rounding_of_the_sum_loses_no_place():
    due = np.full(10, 0.1)
    assert np.cumsum(due)[-1] < 1  # not quite the one place that is due
    assert systematic_counts(due, 0.0).sum() == 1


def test_a_draw_uses_all_offsets():
    """Two rows of half a place each come in either order of chance."""
    weight, label = np.array([0.7, 1.3]), np.zeros(2, int)
    plan = Repeat(floor=0).plan
    second = [
        np.sum(plan(epoch_of(i, weight=weight, label=label)).rows)
        for i in range(500)
    ]
    # 0, 1 or 1, 1: the second comes twice in three draws of ten.
    assert np.mean(np.array(second) == 2) == pytest.approx(0.3, abs=0.07)


def test_the_same_seed_and_epoch_give_the_same_repetitions():
    rows = [
        Repeat().plan(epoch_of(number, seed=seed)).rows
        for number, seed in [(2, 1), (2, 1), (3, 1), (2, 4)]
    ]
    assert np.array_equal(rows[0], rows[1])
    for other in rows[2:]:
        assert not np.array_equal(np.sort(rows[0]), np.sort(other))


def test_neighbours_do_not_exclude_each_other():
    """Systematic resampling in the order of the data would tie them."""
    half = np.full(40, 0.5)
    epoch = epoch_of(weight=np.r_[half, np.full(40, 1.5)], label=np.zeros(80))
    both = 0
    for number in range(300):
        generator = np.random.default_rng([8, number])
        planned = Repeat().plan(replace(epoch, generator=generator))
        both += {0, 1} <= set(planned.rows.tolist())
    assert 40 < both < 120  # a quarter of 300; in order, never


# --- Curriculum -------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "shares"),
    [
        ("linear", [0.4, 0.55, 0.7, 0.85, 1, 1]),
        ("root", [0.4, np.sqrt(0.16 + 0.21), np.sqrt(0.58), np.sqrt(0.79), 1]),
        ("step", [0.4, 0.4, 0.4, 0.4, 1]),
    ],
)
def test_pace(pace, shares):
    curriculum = Curriculum(start=0.4, until=4, pace=pace)
    assert [*map(curriculum.share, range(len(shares)))] == pytest.approx(shares)


@pytest.mark.parametrize("order", ["important", "easy"])
def test_the_first_rows_of_each_class_open_and_come_equally_often(order):
    easiness = -rng.exponential(size=N)
    curriculum = Curriculum(
        order, easiness if order == "easy" else None, start=0.3, until=3
    )
    score = easiness if order == "easy" else WEIGHT
    for number, share in enumerate([0.3, 0.3 + 0.7 / 3, 0.3 + 1.4 / 3, 1.0]):
        rows = curriculum.plan(epoch_of(number)).rows
        count = np.bincount(rows, minlength=N)
        for value in (0, 1):
            own = np.flatnonzero(value == LABEL)
            size = int(np.ceil(share * len(own)))
            opened = own[np.argsort(-score[own])[:size]]
            assert set(opened) == set(own[count[own] > 0])
            assert count[own].sum() == len(own)
            assert np.ptp(count[opened]) <= 1
    assert (count == 1).all()  # in the end, uniform


def test_a_curriculum_over_classes_opens_by_weight_alone():
    weight = np.where(LABEL == 1, WEIGHT + 50, WEIGHT)
    epoch = epoch_of(weight=weight)
    rows = Curriculum(start=0.12, per_label=False).plan(epoch).rows
    assert set(LABEL[rows]) == {1}
    assert set(LABEL[Curriculum(start=0.12).plan(epoch).rows]) == {0, 1}


# --- Weight, LearningRate, combinations ------------------------------------


@pytest.mark.parametrize("kind", [Weight, LearningRate])
def test_weights_are_as_given_unless_asked(kind):
    assert np.array_equal(kind().plan(epoch_of()).row_weight, WEIGHT)
    planned = kind(per_label=True).plan(epoch_of()).row_weight
    for value in (0, 1):
        own = value == LABEL
        expected = WEIGHT[own] * WEIGHT.mean() / WEIGHT[own].mean()
        assert planned[own] == pytest.approx(expected)
    assert kind().plan(epoch_of(weight=None)).row_weight is None


def test_selected_rows_keep_the_mean_of_all_weights():
    both = allocation_of(["top_k", "weight"])
    planned = both.plan(epoch_of())
    chosen = planned.rows
    assert set(chosen) == set(TopK(0.5).plan(epoch_of()).rows)
    expected = WEIGHT[chosen] * WEIGHT.mean() / WEIGHT[chosen].mean()
    assert planned.row_weight == pytest.approx(expected)


def test_rows_that_a_curriculum_repeats_keep_the_mean_of_all_weights():
    plan = allocation_of(["curriculum", "weight"]).plan
    for number in range(7):  # from epoch 5 on all rows come, once
        planned = plan(epoch_of(number))
        assert planned.row_weight.mean() == pytest.approx(WEIGHT.mean())
        assert len(planned.rows) == N
        ratio = planned.row_weight / WEIGHT[planned.rows]
        assert ratio == pytest.approx(ratio[0])


def test_repetitions_of_a_selection():
    planned = allocation_of((TopK(0.5), "repeat")).plan(epoch_of())
    chosen = TopK(0.5).plan(epoch_of()).rows
    assert len(planned.rows) == len(chosen)
    count = np.bincount(planned.rows, minlength=N)
    for value in (0, 1):
        own = chosen[LABEL[chosen] == value]
        due = len(own) * WEIGHT[own] / WEIGHT[own].sum()
        assert (np.abs(count[own] - due) < 1).all()
    assert count.sum() == len(chosen)


class Alternate:
    """Even rows in even epochs, odd rows in odd ones."""

    def plan(self, epoch):
        return replace(epoch, rows=np.arange(epoch.number % 2, N - 1, 2))


def test_an_allocation_of_ones_own():
    alternate = allocation_of(Alternate())
    assert alternate.plan(epoch_of(1)).rows[:2].tolist() == [1, 3]
    planned = allocation_of([Alternate(), "weight"]).plan(epoch_of(1))
    expected = WEIGHT[1:-1:2] * WEIGHT.mean() / WEIGHT[1:-1:2].mean()
    assert planned.row_weight == pytest.approx(expected)


# --- The floor --------------------------------------------------------------

PEAKED = WEIGHT**6
PEAKED /= PEAKED.mean()


@pytest.mark.parametrize("kind", [Weight, LearningRate, Repeat])
def test_weights_below_the_floor_are_tempered_to_it(kind):
    assert kish(PEAKED) < 0.1 * N
    label = np.zeros(N, int)
    with pytest.warns(UserWarning, match=r"below the floor of 30%"):
        planned = kind(floor=0.3).plan(epoch_of(weight=PEAKED, label=label))
    expected = tempered(PEAKED, 0.3 * N)
    assert kish(expected) == pytest.approx(0.3 * N)
    if kind is Repeat:
        count = np.bincount(planned.rows, minlength=N)
        assert (np.abs(count - expected) < 1).all()
    else:
        assert planned.row_weight == pytest.approx(expected, rel=1e-6)


def test_the_floor_counts_all_samples_of_positive_weight():
    weight = np.where(np.arange(N) < 11, 0, PEAKED)
    both = Combination((TopK(0.5, per_label=False), Weight(floor=0.4)))
    with pytest.warns(UserWarning, match="floor"):
        planned = both.plan(epoch_of(weight=weight))
    assert len(planned.rows) == 100
    assert kish(planned.row_weight) == pytest.approx(0.4 * 200)
    assert planned.row_weight.mean() == pytest.approx(weight.mean())


def test_target_rows_alone_are_no_breach_of_the_floor():
    weight = (np.arange(N) < 4) * N / 4
    planned = Weight().plan(epoch_of(weight=weight))
    assert np.array_equal(planned.row_weight, weight)


# --- Refusals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopK(0.0), "keep=0.0"),
        (lambda: TopK(0), "keep=0"),
        (lambda: TopK(True), "keep=True"),
        (lambda: Weight(floor=-0.1), "floor=-0.1"),
        (lambda: Repeat(floor=1.5), "floor=1.5"),
        (lambda: Curriculum("hard"), "order='hard'"),
        (lambda: Curriculum(pace="linea"), "'linear'"),
        (lambda: Curriculum(start=0.05), "start=0.05, floor=0.1"),
        (lambda: Curriculum("easy"), "easiness"),
        (lambda: Curriculum(easiness=WEIGHT), "easiness"),
        (lambda: allocation_of("topk"), "Did you mean 'top_k'"),
        (lambda: allocation_of(3), "allocation=3"),
        (lambda: allocation_of(TopK), "an object with a method"),
        (lambda: allocation_of(()), "one part or more"),
        (lambda: allocation_of(["weight", "repeat"]), "counts twice"),
        (
            lambda: allocation_of(Combination((Weight(), LearningRate()))),
            "counts twice",
        ),
        (lambda: TopK(20).plan(epoch_of()), "at least 21 rows"),
        (lambda: TopK(500).plan(epoch_of()), "500 rows"),
        (lambda: TopK(0.5).plan(epoch_of(weight=None)), "sample_weight=None"),
        (lambda: Repeat().plan(epoch_of(weight=None)), "sample_weight=None"),
        (lambda: Curriculum().plan(epoch_of(weight=None)), "sample_weight"),
        *(
            (
                lambda each=each: each.plan(epoch_of(weight=WEIGHT * LABEL)),
                "label 0.*per_label=False",
            )
            for each in (TopK(0.5), Curriculum())
        ),
        (
            lambda: Curriculum().plan(epoch_of(weight=0 * WEIGHT)),
            "label 0.*zeros",
        ),
        (
            lambda: Curriculum(per_label=False).plan(
                epoch_of(weight=0 * WEIGHT)
            ),
            "somewhere among the rows",
        ),
        (
            lambda: Repeat().plan(epoch_of(weight=WEIGHT * LABEL)),
            "label 0.*per_label=False",
        ),
        (
            lambda: TopK(0.5, groups=GROUP[1:]).plan(epoch_of()),
            r"`groups`.*\(211,\)",
        ),
        (
            lambda: Curriculum("easy", WEIGHT[1:]).plan(epoch_of()),
            r"`easiness`.*\(211,\)",
        ),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_words_and_descriptions():
    words = ("weight", "top_k", "repeat", "learning_rate", "curriculum")
    kinds = [type(allocation_of(word)) for word in words]
    assert kinds == [Weight, TopK, Repeat, LearningRate, Curriculum]
    assert sets_step_size(allocation_of(["top_k", "learning_rate"]))
    assert not sets_step_size(allocation_of(["top_k", "weight"]))
    other = [TopK(0.5), TopK(0.4), TopK(0.5, groups=GROUP), Repeat()]
    told = [repr(describe(each)) for each in other]
    assert len(set(told)) == len(other)
    assert describe(TopK(0.5, groups=GROUP)) == describe(
        TopK(0.5, groups=GROUP.copy())
    )
