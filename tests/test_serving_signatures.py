"""What each signature answers, against float64 NumPy and the Python chain."""

import keras
import numpy as np
import pandas as pd
import pytest
import reference
import tensorflow as tf
from served import (
    DIM,
    TEXTS,
    HashEncoder,
    dense,
    embedded,
    question,
    saved_model,
    sequential,
)

from tfimportance import (
    InputError,
    TargetSet,
    encode,
    export,
    importance_scores,
    load_examples,
    model_embeddings,
    sequence_model,
)
from tfimportance.encoding import WhitenedEncoder
from tfimportance.importance import TopM

TARGETS = ["red bed", "wood bed", "soft robe", "a desk", "bed bed red"]
LABELS = [1, 0, 1, 1, 0]
POOL = [f"{a} {b}" for a in ("red", "soft", "old") for b in ("bed", "robe")]
ROWS = [*TEXTS, *POOL]


@pytest.fixture(scope="module")
def encoder():
    return HashEncoder()


@pytest.fixture(scope="module")
def model():
    return dense()


def as_float32(encoder, texts):
    return embedded(encoder, texts).astype(np.float32)


def test_the_signatures_and_their_types(encoder, model, tmp_path):
    targets = TargetSet(as_float32(encoder, TARGETS), LABELS)
    version = export(model, encoder, tmp_path, targets=targets)
    signatures = dict(saved_model(version).signature_def)
    signatures.pop("__saved_model_init_op")
    kinds = {tf.string: "text", tf.float32: "float", tf.int64: "int"}

    def facts(tensors):
        return {
            name: (
                kinds[tf.as_dtype(each.dtype)],
                *(d.size for d in each.tensor_shape.dim),
            )
            for name, each in tensors.items()
        }

    text, number = ("text", -1), ("float", -1)
    assert {
        name: (facts(each.inputs), facts(each.outputs))
        for name, each in signatures.items()
    } == {
        "serving_default": ({"text": text}, {"probability": number}),
        "embed": ({"text": text}, {"embedding": ("float", -1, DIM)}),
        "embed_text": ({"text": text}, {"embedding": ("float", -1, DIM)}),
        "importance": ({"text": text}, {"importance": number}),
        "importance_signed": (
            {"text": text, "label": ("int", -1)},
            {"importance": number},
        ),
        "similarity": ({"text": text, "other": text}, {"similarity": number}),
    }
    assert not any(
        "weight" in tensor
        for each in signatures.values()
        for tensor in [*each.inputs, *each.outputs]
    )


def test_without_labels_or_targets_nothing_else_is_promised(
    encoder, model, tmp_path
):
    unlabelled = TargetSet(as_float32(encoder, TARGETS))
    for targets, absent in (
        (None, {"importance", "importance_signed"}),
        (unlabelled, {"importance_signed"}),
    ):
        version = export(model, encoder, tmp_path, targets=targets)
        found = set(saved_model(version).signature_def)
        assert not absent & found
        assert {"serving_default", "embed", "similarity"} <= found


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 7.5, "clip": 3.0},
        {"scale": 0.01, "clip": 20.0, "normalize": False},
        {"reduction": TopM(2)},
        {"reduction": "attention", "scale": 6.0},
    ],
    ids=str,
)
def test_importance_as_the_formula_says(encoder, model, tmp_path, options):
    x, t = embedded(encoder, ROWS), embedded(encoder, TARGETS)
    offset = embedded(encoder, POOL).mean(axis=0)
    targets = TargetSet(t, LABELS, offset=offset, **options)
    version = export(model, encoder, tmp_path, targets=targets)
    label = np.arange(len(ROWS)) % 2
    options = dict(options)
    reduction = options.pop("reduction", "mean")
    extra = {"m": 2} if isinstance(reduction, TopM) else {}
    how = {"reduction": "top_m" if extra else reduction, **extra}
    z = reference.argument(x - offset, t - offset, **options)
    expected = np.array([reference.reduce(each, **how) for each in z])
    answer = question(version, "importance")(text=ROWS)["importance"]
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=1e-5)
    expected = reference.signed(z, label, LABELS, **how)
    ask = question(version, "importance_signed")
    answer = ask(text=ROWS, label=label)["importance"]
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=1e-5)
    assert np.ptp(expected) > 1e-2


@pytest.mark.parametrize("center", [True, False])
def test_importance_as_the_python_function_says(
    encoder, model, tmp_path, center
):
    x, t = as_float32(encoder, POOL), as_float32(encoder, TARGETS)
    offset = x.mean(axis=0) if center else None
    targets = TargetSet(t, LABELS, offset=offset, scale=5.0)
    version = export(model, encoder, tmp_path, targets=targets)
    label = [1, 0, 0, 1, 1, 0]
    settings = {"scale": 5.0, "center": center, "reference": "target"}
    tolerance = {"rtol": 0, "atol": 1e-6 * np.sinh(5)}  # the largest s is 74
    expected = importance_scores(x, t, mode="similarity", **settings)
    answer = question(version, "importance")(text=POOL)["importance"]
    np.testing.assert_allclose(answer, expected, **tolerance)
    expected = importance_scores(
        x, t, labels=label, target_labels=LABELS, **settings
    )
    ask = question(version, "importance_signed")
    answer = ask(text=POOL, label=label)["importance"]
    np.testing.assert_allclose(answer, expected, **tolerance)


def test_a_score_does_not_depend_on_the_other_rows(encoder, model, tmp_path):
    targets = TargetSet(as_float32(encoder, TARGETS), LABELS)
    version = export(model, encoder, tmp_path, targets=targets)
    ask = question(version, "importance")
    together = ask(text=ROWS)["importance"]
    alone = [ask(text=[text])["importance"][0] for text in ROWS]
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)
    assert ask(text=np.array([], object))["importance"].shape == (0,)


def test_embeddings_and_similarity(encoder, tmp_path):
    """`embed` is of the row with its columns, the others of one text."""
    model = dense(2 * DIM)
    left, right = ["red bed", "", "desk"], ["red bed", "wood", "old robe"]
    q, p = embedded(encoder, left), embedded(encoder, right)
    version = export(
        model, encoder, tmp_path, text=["query", "product"], fields="concat"
    )
    found = question(version, "embed")(query=left, product=right)["embedding"]
    np.testing.assert_allclose(found, np.concatenate([q, p], 1), atol=1e-5)
    found = question(version, "embed_text")(text=left)["embedding"]
    np.testing.assert_allclose(found, q, atol=1e-5)
    ask = question(version, "similarity")
    pairs = reference.similarity(q, p)
    found = ask(text=left, other=right)["similarity"]
    np.testing.assert_allclose(found, np.diag(pairs), rtol=1e-5, atol=1e-5)
    assert found[0] == pytest.approx(np.sinh(4), rel=1e-5)
    assert found[1] == 0
    one_to_all = ask(text=left[2:], other=right)["similarity"]
    np.testing.assert_allclose(one_to_all, pairs[2], rtol=1e-5, atol=1e-5)


def test_similarity_has_the_scale_of_the_target_set(encoder, model, tmp_path):
    t = embedded(encoder, TARGETS)
    targets = TargetSet(t, scale=9.0, clip=2.5)
    version = export(model, encoder, tmp_path, targets=targets)
    found = question(version, "similarity")(text=TARGETS, other=TARGETS[::-1])
    expected = np.diag(reference.similarity(t, t[::-1], scale=9, clip=2.5))
    np.testing.assert_allclose(found["similarity"], expected, rtol=1e-5)
    assert np.isclose(expected, np.sinh(2.5)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1, 0]}, r"`labels`.*\(5,\)"),
        ({"labels": [1] * 5}, "`labels` must hold both"),
        ({"offset": np.zeros(3)}, "`offset`"),
        ({"scale": 0}, "`scale`"),
        ({"clip": 87.0}, "`clip`.*at most 86"),
        ({"reduction": "round_robin"}, "reduction"),
    ],
)
def test_targets_that_do_not_fit(encoder, options, message):
    with pytest.raises(InputError, match=message):
        TargetSet(as_float32(encoder, TARGETS), **options)


def test_targets_of_another_encoder(encoder, model, tmp_path):
    with pytest.raises(InputError, match="`targets` must be embeddings of"):
        export(
            model, encoder, tmp_path / "m", targets=TargetSet(np.eye(DIM + 1))
        )
    assert not (tmp_path / "m").exists()


HISTORY = np.array([[0, 0, 3], [4, 4, 1], [0, 0, 0], [2, 5, 1]], np.int32)
ITEM = np.array([[1], [5], [2], [3]], np.int32)


@pytest.mark.parametrize("candidate", [False, True])
def test_behaviour_models(tmp_path, candidate):
    keras.utils.set_random_seed(3)
    model = sequence_model(6, dim=4, candidate=candidate)
    features = {"history": HISTORY, "item": ITEM} if candidate else HISTORY
    inputs = features if candidate else {"history": HISTORY}
    x = model_embeddings(model, features)
    targets = TargetSet(x[:2], [1, 0], offset=x.mean(axis=0))
    version = export(model, None, tmp_path, targets=targets)
    specs = saved_model(version).signature_def["serving_default"].inputs
    assert {tf.as_dtype(each.dtype) for each in specs.values()} == {tf.int32}
    assert set(specs) == set(inputs)
    found = question(version, "serving_default")(**inputs)["probability"]
    expected = model.predict(features, verbose=0)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = question(version, "embed")(**inputs)["embedding"]
    np.testing.assert_allclose(found, x, atol=1e-5)
    label = [0, 1, 1, 0]
    z = reference.argument(x - x.mean(axis=0), x[:2] - x.mean(axis=0))
    ask = question(version, "importance_signed")
    np.testing.assert_allclose(
        ask(**inputs, label=label)["importance"],
        reference.signed(z, label, [1, 0], reduction="mean"),
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_behaviour_model_takes_any_length(tmp_path):
    keras.utils.set_random_seed(4)
    model = sequence_model(9, dim=4)
    version = export(model, None, tmp_path)
    ask = question(version, "serving_default")
    for rows, length in ((1, 1), (3, 70), (200, 7)):
        ids = np.random.default_rng(length).integers(0, 9, (rows, length))
        np.testing.assert_allclose(
            ask(history=ids)["probability"],
            model.predict(ids, verbose=0)[:, 0],
            atol=1e-5,
        )


def test_a_model_without_an_embedding_is_served_all_the_same(tmp_path):
    model = sequential(keras.layers.Dense(1, activation="sigmoid"))
    version = export(model, None, tmp_path)
    assert "embed" not in saved_model(version).signature_def
    (name,) = saved_model(version).signature_def["serving_default"].inputs
    x = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(
        question(version, "serving_default")(**{name: x})["probability"],
        1 / (1 + np.exp(-(x @ kernel + bias)[:, 0])),
        atol=1e-6,
    )


def test_prefixes_and_whitening_are_part_of_the_graph(tmp_path):
    """What `encode` puts in front of texts, and does with embeddings."""
    encoder = HashEncoder()
    encoder.prefixes = ("query: ", "passage: ")
    encoder = WhitenedEncoder(
        encoder,
        np.linspace(-1, 1, DIM, dtype=np.float32),
        np.random.default_rng(1).normal(size=(DIM, 5)).astype(np.float32),
    )
    rows = {"query": ["red bed", "", "desk"], "item": ["bed", "wood", "robe"]}
    examples = load_examples(pd.DataFrame(rows), text=["query", "item"])
    version = export(dense(10), encoder, tmp_path, text=["query", "item"])
    found = question(version, "embed")(**rows)["embedding"]
    expected = encode(encoder, examples, progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    bare = WhitenedEncoder(HashEncoder(), encoder._mean, encoder._matrix)
    assert np.abs(encode(bare, examples, progress=False) - found).max() > 0.01
    found = question(version, "embed_text")(text=rows["query"])["embedding"]
    expected = encode(encoder, rows["query"], progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
