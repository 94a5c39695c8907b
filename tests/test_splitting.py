from itertools import chain

import numpy as np
import pytest

from tfimportance import Examples, InputError, split_examples


def examples(number, **single):
    text = np.array([f"row {i}" for i in range(number)], object)
    place = np.arange(number)
    return Examples(text={"q": text}, columns={"place": place}, **single)


def test_take_by_numbers_and_by_mask():
    label = np.array([0, 1, 1, 0, 1], np.float32)
    rows = examples(5, label=label, id=np.arange(5) * 10)
    some = rows.take([4, 1, 1])
    assert some.text["q"].tolist() == ["row 4", "row 1", "row 1"]
    assert some.label.tolist() == [1, 1, 1]
    assert some.id.tolist() == [40, 10, 10]
    assert some.columns["place"].tolist() == [4, 1, 1]
    assert some.group is None
    assert rows.take(label == 0).id.tolist() == [0, 30]
    assert len(rows.take([])) == 0


def test_examples_of_unequal_lengths_are_refused():
    with pytest.raises(InputError, match="`label` must have shape"):
        examples(3, label=np.zeros(2, np.float32))
    with pytest.raises(InputError, match="`rows` must have shape"):
        examples(3).take([True, False])
    with pytest.raises(InputError, match="`text` must hold"):
        Examples(text={})


def places(parts):
    return [part.columns["place"].tolist() for part in parts]


@pytest.mark.parametrize("number", [10, 101, 1735])
@pytest.mark.parametrize(
    "fractions", [[0.8, 0.2], [0.1] * 10, [0.55, 0.15, 0.3], [0.2, 0.3]]
)
def test_every_row_is_in_one_part_of_the_right_size(number, fractions):
    parts = split_examples(examples(number), fractions, seed=3)
    found = [*chain(*places(parts))]
    assert len(found) == len(set(found))
    assert abs(len(found) - sum(fractions) * number) <= 0.5
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - fraction * number) <= 1
        assert part.columns["place"].tolist() == sorted(part.columns["place"])


def test_sizes_are_exact_and_classes_keep_their_mix():
    rng = np.random.default_rng(5)
    label = (rng.random(1735) < 0.183).astype(np.float32)
    sizes = [300, 201, 1234]
    parts = split_examples(
        examples(1735, label=label), [size / 1735 for size in sizes], seed=1
    )
    assert [len(part) for part in parts] == sizes
    for part, size in zip(parts, sizes, strict=True):
        assert abs(part.label.sum() - label.mean() * size) <= 1.5


def test_rounding_in_each_class_does_not_add_up():
    label = np.repeat(np.float32([0, 1]), 101)
    parts = split_examples(examples(202, label=label), [0.5, 0.5])
    assert [len(part) for part in parts] == [101, 101]


def test_a_rare_class_reaches_every_part():
    label = np.zeros(1000, np.float32)
    label[[3, 500, 998, 999]] = 1
    for seed in range(20):
        parts = split_examples(
            examples(1000, label=label), [0.5, 0.5], seed=seed
        )
        assert [part.label.sum() for part in parts] == [2, 2]


def test_the_seed_decides():
    rows = examples(200, group=np.arange(200) // 3)
    one = places(split_examples(rows, [0.5, 0.5], seed=4))
    assert one == places(split_examples(rows, [0.5, 0.5], seed=4))
    assert one != places(split_examples(rows, [0.5, 0.5], seed=5))
    flat = examples(200)
    one = places(split_examples(flat, [0.5, 0.5], seed=4))
    assert one == places(split_examples(flat, [0.5, 0.5], seed=4))
    assert one != places(split_examples(flat, [0.5, 0.5], seed=5))


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_fractions_hold(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.05, 150)
    group = rng.permutation(np.repeat([f"q{i}" for i in range(150)], sizes))
    rows = examples(len(group), group=group.astype(object))
    parts = split_examples(rows, [0.7, 0.2, 0.1], seed=seed)
    assert sorted(chain(*places(parts))) == list(range(len(rows)))
    found = [set(part.group) for part in parts]
    assert sum(map(len, found)) == len(set().union(*found)) == 150
    share = np.array([len(part) for part in parts]) / len(rows)
    assert share == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_few_unequal_groups_fit_as_well_as_they_can():
    # 6 departments: the best cut of 100 rows at 60 / 40 is exact
    group = np.repeat(["a", "b", "c", "d", "e", "f"], [45, 27, 13, 7, 5, 3])
    parts = split_examples(examples(100, group=group), [0.6, 0.4])
    assert abs(len(parts[0]) - 60) <= 5


def test_large_groups_are_not_always_in_the_large_part():
    group = np.repeat(np.arange(40), [30] + [1] * 39)
    with_large = [
        0
        in split_examples(examples(69, group=group), [0.5, 0.5], seed=seed)[
            0
        ].group
        for seed in range(30)
    ]
    assert 5 < sum(with_large) < 25


@pytest.mark.parametrize("seed", range(20))
def test_groups_bring_each_class_to_every_part(seed):
    # 3 of 80 queries have a positive: a blind split often misses a part
    group = np.repeat(np.arange(80), 5)
    label = np.isin(group, [3, 41, 79]).astype(np.float32)
    rows = examples(400, group=group, label=label)
    parts = split_examples(rows, [0.55, 0.05, 0.4], seed=seed)
    assert all(len(np.unique(part.label)) == 2 for part in parts)
    again = split_examples(rows, [0.55, 0.05, 0.4], seed=seed)
    assert places(parts) == places(again)
    found = [set(part.group) for part in parts]
    assert sum(map(len, found)) == len(set().union(*found)) == 80
    sizes = [len(part) for part in parts]
    assert sizes == pytest.approx([220, 20, 160], abs=5)


@pytest.mark.parametrize("seed", range(12))
def test_groups_bring_half_of_each_class_s_share_at_least(seed):
    # 12 of 60 queries are all positive, 48 all negative
    group = np.repeat(np.arange(60), 10)
    label = (group % 5 == 0).astype(np.float32)
    rows = examples(600, group=group, label=label)
    fractions = [0.3, 0.3, 0.4]
    for part, share in zip(
        split_examples(rows, fractions, seed=seed), fractions, strict=True
    ):
        assert part.label.sum() >= share * 120 / 2
        assert (1 - part.label).sum() >= share * 480 / 2


def test_a_class_of_one_group_is_in_one_part():
    group = np.repeat(np.arange(10), 4)
    label = (group == 7).astype(np.float32)
    parts = split_examples(
        examples(40, group=group, label=label), [0.5, 0.5], seed=2
    )
    assert sorted(part.label.sum() for part in parts) == [0, 4]
    assert [len(part) for part in parts] == [20, 20]


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ([0.8, 0.3], "add up to at most 1.*1.1"),
        ([], "add up"),
        ([0.5, 0.0], "must be a number above 0"),
        ([0.5, -0.1], "must be a number above 0"),
        ([0.99, 0.01], "part 1 empty"),
    ],
)
def test_bad_fractions(fractions, message):
    with pytest.raises(InputError, match=message):
        split_examples(examples(7), fractions)


def test_fewer_groups_than_parts():
    rows = examples(9, group=np.zeros(9))
    with pytest.raises(InputError, match="no part empty"):
        split_examples(rows, [0.5, 0.5])
