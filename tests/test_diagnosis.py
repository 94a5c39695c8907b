import numpy as np
import pandas as pd
import pytest
import reference
import tensorflow as tf

import tfimportance as tfi
from tfimportance import InputError
from tfimportance.diagnosis.discovery import two_means_threshold
from tfimportance.importance import Attention, TopM, compress_targets
from tfimportance.importance.nearest import nearest_rows
from tfimportance.importance.tiles import BLOCK, TARGET_TILE

rng = np.random.default_rng(11)
X = (rng.standard_normal((400, 9)) + 0.3).astype(np.float32)
T = (rng.standard_normal((70, 9)) + 0.6).astype(np.float32)
LABEL = rng.integers(0, 2, len(X))
TARGET_LABEL = (rng.random(len(T)) < 0.3).astype(int)
LABELS = {"labels": LABEL, "target_labels": TARGET_LABEL}
TEXTS = np.array([f"sample {i}" for i in range(len(X))], object)
TARGET_TEXTS = [f"target {t}" for t in range(len(T))]
REDUCTIONS = ["mean", "max", TopM(4), Attention(0.4)]


def sums(explanation):
    return explanation.to_frame().groupby("row")["contribution"].sum()


def close(values, expected):
    expected = np.asarray(expected, np.float64)
    bound = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(values, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "similarity"},
        {**LABELS, "reference": "target"},
        {**LABELS, "reference": "pool", "pool_size": 60},
        {**LABELS, "pool_size": 60},
        {"scale": 1.0, "normalize": False, "center": False, "clip": 2.0},
    ],
    ids=["similarity", "target", "pool", "both", "textbook"],
)
def test_all_contributions_sum_to_the_score(settings, reduction):
    settings = {**settings, "reduction": reduction}
    scores = tfi.importance_scores(X, T, **settings)
    # The first rows of the pool that vote have no vote on themselves.
    rows = np.arange(0, 400, 3)
    explanation = tfi.explain(rows, X, T, top=None, **settings)
    close(sums(explanation), scores[rows])
    close(explanation.samples["importance"], scores[rows])


def test_contributions_are_those_of_the_formula():
    explanation = tfi.explain(
        17, X, T, top=None, **LABELS, reference="target", scale=6.0
    )
    similarity = reference.similarity(*reference.centered(X, T), scale=6.0)[17]
    number = np.bincount(TARGET_LABEL)[TARGET_LABEL]
    agreement = np.where(LABEL[17] == TARGET_LABEL, 0.5, -0.5)
    expected = agreement * similarity / number
    voters = explanation.to_frame().set_index("position")
    close(voters.loc[np.arange(70), "contribution"], expected)
    close(voters.loc[np.arange(70), "similarity"], similarity)
    assert (voters.loc[np.arange(70), "label"] == TARGET_LABEL).all()
    sample = explanation.samples.iloc[0]
    assert sample["supporting"] == pytest.approx(expected[expected > 0].sum())
    assert sample["opposing"] == pytest.approx(expected[expected < 0].sum())


def test_the_pool_votes_without_the_own_row():
    settings = {**LABELS, "pool_size": 10_000}
    explanation = tfi.explain(
        [5, 9], X, T, top=None, reference="pool", **settings
    )
    voters = explanation.to_frame()
    assert set(voters["reference"]) == {"pool"}
    for row in (5, 9):
        positions = voters.loc[voters["row"] == row, "position"]
        assert sorted(positions) == [i for i in range(400) if i != row]
    few = tfi.explain(
        [5, 9], X, T, top=None, reference="pool", **LABELS, pool_size=21
    )
    voters = few.to_frame().drop_duplicates("position")
    assert np.bincount(LABEL[voters["position"]]).tolist() == [10, 10]


def test_parts_of_both_references_are_shown_apart():
    scores = tfi.importance_scores(X, T, **LABELS)
    parts = [
        np.asarray(tfi.importance_scores(X, T, **LABELS, reference=r))
        for r in ("target", "pool")
    ]
    explanation = tfi.explain([3, 8], X, T, **LABELS, importance=scores, top=2)
    for name, part in zip(("from_target", "from_pool"), parts, strict=True):
        close(explanation.samples[name], part[[3, 8]] / part.std())
    counts = explanation.to_frame().groupby(["row", "reference"]).size()
    assert counts.tolist() == [4, 4, 4, 4]  # two for and two against
    expected = [np.mean(scores < scores[i]) for i in (3, 8)]
    assert explanation.samples["lower_share"].tolist() == expected


def test_strongest_voters_in_order():
    settings = {**LABELS, "reference": "target"}
    every = tfi.explain(2, X, T, top=None, **settings).to_frame()
    strongest = tfi.explain(2, X, T, top=3, **settings).to_frame()
    order = every.sort_values("contribution")["position"].tolist()
    assert strongest["position"].tolist() == order[:-4:-1] + order[:3]


def test_rows_keep_their_order_and_may_repeat():
    explanation = tfi.explain([9, 2, 9], X, T, top=1)
    assert explanation.samples["row"].tolist() == [9, 2, 9]
    alone = tfi.explain(2, X, T, top=1)
    assert (
        explanation.samples["importance"][1] == (alone.samples["importance"][0])
    )


def test_explanation_reads_well():
    # Cosines 1 and -0.6; sinh(4) = 27.290, sinh(-2.4) = -5.466.
    explanation = tfi.explain(
        0,
        [[2.0, 0.0], [0.0, 1.0]],
        [[3.0, 0.0], [-3.0, 4.0]],
        labels=[1, 0],
        target_labels=[0, 1],
        reference="target",
        center=False,
        texts=["soft and warm", "x"],
        target_texts=["a " * 50, None],
    )
    text = " ".join(["a"] * 28)
    assert str(explanation) == repr(explanation)
    assert str(explanation).splitlines() == [
        "row 0, label 1, importance -16.38",
        '  "soft and warm"',
        "  against  -13.6450  similarity   27.290  target 0        label 0  "
        f'"{text} ..."',
        "  against   -2.7331  similarity   -5.466  target 1        label 1",
    ]


def test_every_kind_of_text_and_source(tmp_path):
    np.save(tmp_path / "x.npy", X)
    sources = [
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        tf.data.Dataset.from_tensor_slices(X),
        pd.DataFrame(X),
    ]
    target = tfi.Examples(
        {
            "query": np.array([f"q{t}" for t in range(70)], object),
            "title": np.array(["", "b"] * 35, object),
        },
        id=np.arange(70) + 500,
    )
    settings = {**LABELS, "target_texts": target, "top": 40}
    expected = tfi.explain(4, X, T, texts=TEXTS, **settings)
    voters = expected.to_frame()
    for voter in voters.to_dict("records"):
        i = voter["position"]
        titled = f"q{i} | b" if i % 2 else f"q{i}"
        is_target = voter["reference"] == "target"
        assert voter["text"] == (titled if is_target else f"sample {i}")
    assert {"target", "pool"} == set(voters["reference"])
    pool = tfi.Examples({"text": TEXTS}, id=np.arange(400) * 2)
    for source in sources:
        found = tfi.explain(4, source, T, texts=pd.Series(TEXTS), **settings)
        pd.testing.assert_frame_equal(found.to_frame(), voters, rtol=1e-4)
    named = tfi.explain(4, X, T, texts=pool, **settings)
    assert named.samples["id"].tolist() == [8]
    assert named.samples["text"].tolist() == ["sample 4"]


def test_wrong_importance_is_noticed():
    scores = tfi.importance_scores(X, T, scale=8.0)
    with pytest.raises(InputError, match=r"`importance` must come from .* sam"):
        tfi.explain(0, X, T, importance=scores)
    tfi.explain(0, X, T, importance=scores, scale=8.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 400}, r"`rows` must lie in 0 to 399. Received: rows=400"),
        ({"rows": [-1, 3]}, "`rows` must lie in"),
        ({"rows": [0.5]}, "`rows` must be whole numbers"),
        ({"rows": []}, "`rows` must be whole numbers"),
        ({"top": 0}, "`top` must be"),
        ({"skale": 3}, "`settings` must be one of.*Did you mean 'scale'"),
        ({"texts": TEXTS[:5]}, r"`texts` must have shape \(400,\).*`embeddin"),
        (
            {"target_texts": TEXTS},
            r"`target_texts` must have shape \(70,\).*`target_embeddings`",
        ),
        (
            {"target_texts": tfi.Examples({"text": TEXTS})},
            r"`target_texts` must have shape \(70,\)",
        ),
        ({"importance": LABEL[:7]}, r"`importance` must have shape \(400,\)"),
        ({"mode": "density_ratio"}, "sum over voters.*mode='density_ratio'"),
        (
            {"reduction": "round_robin", "target_groups": TARGET_TEXTS},
            "sum over voters.*reduction='round_robin'",
        ),
        (
            {"target_embeddings": compress_targets(X, T, num_centroids=3)},
            "`target_embeddings` must be the targets themselves.*compressed",
        ),
    ],
)
def test_explain_refuses(change, message):
    given = {"rows": 1, "embeddings": X, "target_embeddings": T} | change
    with pytest.raises(InputError, match=message):
        tfi.explain(**given)


def planted():
    """Two clear classes, 300 rows of which 30 have the wrong label."""
    side = rng.integers(0, 2, 360)
    vectors = rng.standard_normal((360, 6)) + 2 * side[:, None]
    label = side[:300].copy()
    label[::10] = 1 - label[::10]
    is_wrong = np.arange(300) % 10 == 0
    return vectors[:300], vectors[300:], label, side[300:], is_wrong


def test_label_errors_finds_planted_ones_with_evidence():
    x, t, label, target_label, is_wrong = planted()
    texts = [f"sample {i}" for i in range(300)]
    given = {"labels": label, "target_labels": target_label}
    found = tfi.label_errors(
        x, t, **given, top=30, texts=texts, by="importance"
    )
    scores = tfi.importance_scores(
        x, t, labels=label, target_labels=target_label
    )
    assert (
        found["row"].tolist() == np.argsort(scores, kind="stable")[:30].tolist()
    )
    assert is_wrong[found["row"]].mean() > 0.9
    assert (found["label"] == label[found["row"]]).all()
    assert (found["text"] == [texts[i] for i in found["row"]]).all()
    both = np.concatenate([t, x])
    similarity = reference.similarity(*reference.centered(x, both))
    both_label = np.concatenate([target_label, label])
    for suspect in found.to_dict("records"):
        value = similarity[suspect["row"]].copy()
        value[both_label == suspect["label"]] = -np.inf
        nearest = int(np.argmax(value))
        is_target = suspect["evidence_reference"] == "target"
        assert is_target == (nearest < 60)
        position = nearest if is_target else nearest - 60
        assert suspect["evidence_position"] == position
        assert suspect["evidence_similarity"] == pytest.approx(
            value[nearest], rel=1e-4
        )
        text = "" if is_target else f"sample {position}"
        assert suspect["evidence_text"] == text
    assert set(found["evidence_reference"]) == {"target", "pool"}


def test_evidence_from_the_target_comes_before_the_same_from_the_pool():
    samples = np.array([[3.0, 0], [0, 1], [-1, 0], [0, -1], [2, 0]])
    table = tfi.label_errors(
        samples,
        [[0.0, 1], [1.0, 0]],
        labels=[1, 1, 1, 0, 0],
        target_labels=[1, 0],
        center=False,
        importance=np.arange(5),
        by="importance",
        top=1,
    )
    found = table.iloc[0]
    assert (found["evidence_reference"], found["evidence_position"]) == (
        "target",
        1,
    )
    assert found["evidence_similarity"] == pytest.approx(np.sinh(4))


def test_evidence_on_many_rows_that_repeat_each_other():
    """More rows than one block or tile, of 40 vectors, few of them positive."""
    draws = np.random.default_rng(5)
    vectors = draws.standard_normal((40, 6)).astype(np.float32)
    kind = draws.integers(0, 40, 5000)
    label = (draws.random(5000) < 0.02).astype(int)
    label[kind == 7] = 0  # its likes have one label: its evidence is another
    target, target_label = draws.standard_normal((8, 6)), np.arange(8) % 2
    table = tfi.label_errors(
        vectors[kind],
        target,
        labels=label,
        target_labels=target_label,
        center=False,
        importance=draws.random(5000),
        by="importance",
        top=3000,
    )
    assert table["row"].nunique() == 3000
    both = np.concatenate([target, vectors])
    similarity = reference.similarity(vectors, both)
    for own in (0, 1):
        asked = table[table["label"] == own]
        # Of each vector, whether a row of the other label has it.
        is_there = np.bincount(kind[label != own], minlength=40) > 0
        seen = np.concatenate([target_label != own, is_there])
        value = np.where(seen, similarity, -np.inf)[kind[asked["row"]]]
        close(asked["evidence_similarity"], value.max(axis=1))
        position = asked["evidence_position"].to_numpy()
        in_pool = (asked["evidence_reference"] == "pool").to_numpy()
        assert (label[position[in_pool]] != own).all()
        found = np.where(in_pool, 8 + kind[position], position)
        assert (found == value.argmax(axis=1)).all()


def test_suspicion_is_the_chance_that_the_label_is_wrong():
    x, t, label, target_label, is_wrong = planted()
    given = {"labels": label, "target_labels": target_label}
    table = tfi.label_errors(x, t, **given, top=300)
    known = tfi.label_reliability(x, t, **given)
    suspicion = table["suspicion"].to_numpy()
    close(suspicion, 1 - known.probability[table["row"]])
    assert (np.diff(suspicion) <= 0).all()
    assert is_wrong[table["row"][:30]].mean() > 0.9
    assert suspicion.mean() == pytest.approx(is_wrong.mean(), abs=0.05)
    again = tfi.label_errors(x, t, **given, top=9, reliability=known)
    pd.testing.assert_frame_equal(again, table[:9])
    lowest = tfi.label_errors(x, t, **given, by="importance")
    assert "suspicion" not in lowest


def test_the_most_suspected_come_first_whatever_their_class():
    """Where one class is rare, the lowest importance is that of its rows."""
    draws = np.random.default_rng(1)
    side = (draws.random(460) < 0.9).astype(int)
    vectors = draws.standard_normal((460, 6)) + 1.5 * side[:, None]
    is_wrong = np.arange(400) % 10 == 0
    label = np.where(is_wrong, 1 - side[:400], side[:400])
    given = {"labels": label, "target_labels": side[400:], "top": 40}
    found = {
        by: tfi.label_errors(vectors[:400], vectors[400:], **given, by=by)
        for by in ("suspicion", "importance")
    }
    hits = {by: is_wrong[table["row"]].sum() for by, table in found.items()}
    assert hits["suspicion"] > hits["importance"]
    suspected = found["suspicion"]
    assert not (np.diff(suspected["importance"]) >= 0).all()


def test_the_suspicion_of_a_row_is_none_of_its_own_groups():
    x, t, label, target_label, _ = planted()
    given = {"labels": label, "target_labels": target_label}
    groups = {"group": np.arange(300) // 6, "target_group": np.arange(60) // 6}
    table = tfi.label_errors(x, t, **given, **groups, top=300)
    known = tfi.label_reliability(x, t, **given, **groups)
    close(table["suspicion"], 1 - known.probability[table["row"]])


def test_ties_of_suspects_go_to_the_earlier_row():
    x, t, label, target_label, _ = planted()
    scores = np.tile([3.0, 1.0, 1.0], 100)
    given = {"labels": label, "target_labels": target_label}
    given["by"] = "importance"
    table = tfi.label_errors(x, t, **given, top=4, importance=scores)
    assert table["row"].tolist() == [1, 2, 4, 5]
    pool = tfi.Examples(
        {"text": np.array(["t"] * 300, object)}, id=np.arange(300) + 7
    )
    named = tfi.label_errors(
        x, t, **given, top=4, importance=scores, texts=pool
    )
    assert named["id"].tolist() == [8, 9, 11, 12]
    assert list(named.columns[:4]) == ["row", "id", "label", "text"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "similarity"}, "`settings` must be one of"),
        ({"labels": np.ones(400)}, "`labels` must hold both classes"),
        ({"importance": LABEL * np.nan}, "`importance` must be finite"),
        ({"importance": LABEL[:4]}, "`importance` must have shape"),
        ({"top": 0}, "`top` must be"),
        ({"by": "suspision"}, "Did you mean 'suspicion'"),
    ],
)
def test_label_errors_refuses(change, message):
    with pytest.raises(InputError, match=message):
        tfi.label_errors(X, T, **{**LABELS, **change})


def test_discovery_by_hand():
    #                 -3  -1 -1  0  2  5 : wrong are one of the tied and -3
    importance = [2.0, -1.0, 5.0, -3.0, 0.0, -1.0]
    is_wrong = [False, True, False, True, False, False]
    found = tfi.discovery_curve(importance, is_wrong)
    curve = found.to_frame()
    close(curve["inspected_share"], np.array([0, 1, 3, 4, 5, 6]) / 6)
    close(curve["found_share"], [0, 0.5, 1, 1, 1, 1])
    assert found.recall_at_tenth == pytest.approx(0.3)  # 0.6 rows of 2
    # 8 pairs; the tied pair counts half.
    assert found.roc_auc == pytest.approx(7.5 / 8)
    # {-3, -1, -1, 0} and {2, 5}: 4.75 + 4.5, less than every other split.
    assert found.threshold == 2
    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 2))
    assert (found.num_rows, found.num_wrong) == (6, 2)
    assert "lowest  50% holds 100% of them" in str(found)


def test_discovery_of_equal_scores_is_chance():
    found = tfi.discovery_curve(np.zeros(10), np.arange(10) < 3)
    assert found.roc_auc == 0.5
    assert found.recall_at_tenth == pytest.approx(0.1)
    assert found.f1 == 0


@pytest.mark.parametrize("seed", range(20))
def test_two_means_is_the_best_of_all_splits(seed):
    local = np.random.default_rng(seed)
    values = local.normal(1e3, 1, local.integers(2, 30)) ** 3
    if seed % 2:
        values = np.append(np.round(values, -6), [0, 1e9])  # many ties
    ordered = np.sort(values)
    within = [
        sum(((part - part.mean()) ** 2).sum() for part in (low, high))
        for low, high in (np.split(ordered, [k]) for k in range(1, len(values)))
    ]
    assert two_means_threshold(values) == ordered[np.argmin(within) + 1]


@pytest.mark.parametrize(
    ("importance", "is_wrong", "message"),
    [
        ([1.0, np.nan], [0, 1], "`importance` must be finite"),
        ([1.0, 2.0], [0, 0], "`is_wrong` must hold both"),
        ([1.0, 2.0], [0, 1, 1], r"`is_wrong` must have shape \(2,\)"),
        ([[1.0, 2.0]], [0, 1], "`importance` must have shape"),
    ],
)
def test_discovery_refuses(importance, is_wrong, message):
    with pytest.raises(InputError, match=message):
        tfi.discovery_curve(importance, is_wrong)


def test_coverage_against_all_pairs():
    found = tfi.coverage(X, T, m=4, rare=0.2, target_texts=TARGET_TEXTS)
    similarity = reference.similarity(*reference.centered(X, T)).T
    ordered = np.sort(similarity, axis=1)[:, ::-1]
    close(found.targets["nearest_similarity"], ordered[:, 0])
    close(found.targets["mean_similarity"], ordered[:, :4].mean(axis=1))
    nearest = np.argmax(similarity, axis=1)
    assert (found.targets["nearest_row"] == nearest).all()
    own = reference.similarity(*reference.centered(X, X))
    np.fill_diagonal(own, -np.inf)
    threshold = np.quantile(own.max(axis=1), 0.2)
    assert found.threshold == pytest.approx(threshold, rel=1e-5)
    is_covered = ordered[:, 0] >= threshold
    assert (found.targets["is_covered"] == is_covered).all()
    assert found.uncovered_share == pytest.approx(1 - is_covered.mean())
    frame = found.to_frame()
    order = np.argsort(ordered[:, 0])
    assert frame["target"].tolist() == order.tolist()
    assert frame["text"][0] == f"target {order[0]}"
    shown = str(found).splitlines()
    assert f"({found.uncovered_share:.1%}) have no similar" in shown[0]
    assert shown[2].endswith(f'target {order[0]}  "target {order[0]}"')
    assert len(shown) == 12


def test_coverage_is_the_scores_with_the_roles_exchanged():
    pool = rng.standard_normal((BLOCK + 500, 5)).astype(np.float32) + 1
    targets = rng.standard_normal((TARGET_TILE + 30, 5)).astype(np.float32)
    found = tfi.coverage(pool, targets, m=7).targets
    middle = pool.mean(axis=0, dtype=np.float64)
    for name, reduction in (
        ("nearest_similarity", "max"),
        ("mean_similarity", TopM(7)),
    ):
        exchanged = tfi.importance_scores(
            targets - middle, pool - middle, reduction=reduction, center=False
        )
        close(found[name], exchanged)


def test_coverage_names_the_gap():
    samples = rng.normal((5, 0, 0, 0), 1, (300, 4))
    like = rng.normal((5, 0, 0, 0), 1, (200, 4))
    unlike = rng.normal((0, 0, 0, 9), 0.1, (9, 4))
    targets = np.concatenate([like, unlike])
    found = tfi.coverage(samples, targets, center=False)
    assert set(found.to_frame()["target"][:9]) == set(range(200, 209))
    assert not found.targets["is_covered"][200:].any()
    assert np.mean(~found.targets["is_covered"][:200]) < 0.15


def test_coverage_of_every_source(tmp_path):
    np.save(tmp_path / "x.npy", X)
    expected = tfi.coverage(X, T).targets
    for source in (
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        tf.data.Dataset.from_tensor_slices(X).batch(64),
    ):
        pd.testing.assert_frame_equal(tfi.coverage(source, T).targets, expected)
    few = tfi.coverage(X[:3], T, m=10).targets
    similarity = reference.similarity(*reference.centered(X[:3], T))
    close(few["mean_similarity"], similarity.mean(axis=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": X[:1]}, "`embeddings` must have two rows"),
        ({"m": 0}, "`m` must be"),
        ({"rare": 0.0}, "`rare` must be"),
        ({"rare": 1.0}, "`rare` must be"),
        ({"target_embeddings": T[:, :3]}, "same number of columns"),
        ({"target_texts": TEXTS}, r"`target_texts` must have shape \(70,\)"),
    ],
)
def test_coverage_refuses(change, message):
    given = {"embeddings": X, "target_embeddings": T} | change
    with pytest.raises(InputError, match=message):
        tfi.coverage(**given)


def test_nearest_rows_ties_and_hidden_rows():
    blocks = [np.float32([[1, 0], [0, 1]]), np.float32([[1, 0], [0, 2]])]
    queries = np.float32([[1, 0], [0, 1], [1, 1]])
    keys = np.array([0, 3, -1]), np.array([0, 3, 3, 3])
    number, dot = nearest_rows(queries, blocks, np.asarray, m=2)
    assert number.tolist() == [[0, 2], [3, 1], [3, 0]]
    assert dot.tolist() == [[1, 1], [2, 1], [2, 1]]
    number, dot = nearest_rows(queries, blocks, np.asarray, m=2, keys=keys)
    assert number.tolist() == [[2, 1], [0, -1], [3, 0]]
    assert dot.tolist() == [[1, 0], [0, -np.inf], [2, 1]]


def test_a_sample_named_twice_is_printed_once():
    twice, once = (
        tfi.explain(rows, X, T, mode="similarity") for rows in ([3, 3], [3])
    )
    assert str(twice) == str(once)
