import json
import shutil
import warnings

import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny_bert
from huggingface_hub.utils import filter_repo_objects
from letters import ITEM, QUERY, Letters, letters, pairs

from tfimportance import InputError, encode, load_encoder
from tfimportance.encoding import combine_fields, fit_whitening
from tfimportance.encoding.pooling import pool

MODULES = ["Transformer", "Pooling"]
CUT = ["blue chair sofa bed", "blue chair sofa"]
TEXTS = ["the red dress .", "", "wooden beds", "blue chair sofa bed"]


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("hf") / "tiny-bert")


def test_poolings_by_hand():
    states = np.arange(24.0).reshape(2, 4, 3)
    mask = tf.constant([[1, 1, 1, 1], [1, 1, 0, 0]])
    expected = {
        "cls": [[0, 1, 2], [12, 13, 14]],
        "last": [[9, 10, 11], [15, 16, 17]],
        "mean": [[4.5, 5.5, 6.5], [13.5, 14.5, 15.5]],
    }
    for pooling, rows in expected.items():
        pooled = pool(tf.constant(states), mask, pooling)
        np.testing.assert_allclose(pooled, rows, err_msg=pooling)


def test_options_of_a_backbone(hugging_face):
    mean = encode(load_encoder(hugging_face, normalize=False), TEXTS)
    np.testing.assert_allclose(
        encode(load_encoder(hugging_face), TEXTS),
        reference.unit(mean),
        atol=1e-6,
    )
    first = load_encoder(hugging_face, pooling="cls", normalize=False)
    last = load_encoder(hugging_face, pooling="last", normalize=False)
    assert not np.allclose(encode(first, TEXTS), encode(last, TEXTS))
    short = load_encoder(hugging_face, max_length=5)
    cut = encode(short, CUT)
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)
    assert not np.allclose(*encode(load_encoder(hugging_face), CUT))
    prints = {
        load_encoder(hugging_face, **options).fingerprint
        for options in (
            {},
            {"pooling": "cls"},
            {"max_length": 5},
            {"normalize": False},
            {"dtype": "bfloat16"},
        )
    }
    assert len(prints) == 5


def test_the_activation_is_part_of_the_fingerprint(hugging_face, tmp_path):
    folder = shutil.copytree(hugging_face, tmp_path / "tanh")
    config = json.loads((folder / "config.json").read_text())
    config["hidden_act"] = "gelu_new"
    (folder / "config.json").write_text(json.dumps(config))
    exact, tanh = load_encoder(hugging_face), load_encoder(folder)
    assert not np.array_equal(encode(exact, TEXTS), encode(tanh, TEXTS))
    assert exact.fingerprint != tanh.fingerprint


def test_bfloat16_on_a_processor_without_it(
    hugging_face, tmp_path, monkeypatch
):
    monkeypatch.setattr("tfimportance.encoding.backbone._CPU", tmp_path / "cpu")
    for flags in (None, "flags: avx2 amx_bf16"):
        if flags:
            (tmp_path / "cpu").write_text(flags)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            load_encoder(hugging_face, dtype="bfloat16")
    (tmp_path / "cpu").write_text("flags: avx2 avx512f")
    with pytest.warns(UserWarning, match="bfloat16 is slower"):
        load_encoder(hugging_face, dtype="bfloat16")


@pytest.mark.parametrize(("lowercase", "strip"), [(True, False), (False, True)])
def test_accents_without_case_are_refused(
    hugging_face, tmp_path, lowercase, strip
):
    folder = shutil.copytree(hugging_face, tmp_path / "accents")
    file = folder / "tokenizer_config.json"
    config = {"do_lower_case": lowercase, "strip_accents": strip}
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"strip_accents={strip}"):
        load_encoder(folder)
    config["strip_accents"] = lowercase
    file.write_text(json.dumps(config))
    assert load_encoder(folder).dim == tiny_bert.WIDTH


def test_a_mapping_holds_the_options(hugging_face):
    options = {"source": str(hugging_face), "pooling": "cls", "max_length": 6}
    encoder = load_encoder(options)
    assert (encoder.pooling, encoder.max_length) == ("cls", 6)
    assert encoder.settings == options


def test_the_files_of_sentence_transformers(hugging_face, tmp_path):
    folder = shutil.copytree(hugging_face, tmp_path / "sentence")
    modules = [{"type": f"sentence_transformers.models.{m}"} for m in MODULES]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    encoder = load_encoder(folder)
    assert (encoder.pooling, encoder.normalize) == ("cls", False)
    assert load_encoder(folder, pooling="mean").pooling == "mean"
    assert load_encoder(folder, normalize=True).normalize
    pooling["pooling_mode_max_tokens"] = True
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(InputError, match="pooled by mean, cls or last"):
        load_encoder(folder)
    modules.append({"type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="with Dense"):
        load_encoder(folder)


def prefixed(*prefixes):
    encoder = Letters()
    encoder.prefixes = prefixes
    return encoder


@pytest.mark.parametrize("fields", ["join", "concat"])
def test_prefixes_stand_before_each_column(fields):
    encoder = prefixed("ask: ", "shelf: ")
    if fields == "join":
        both = [f"ask: {q} {i}" for q, i in zip(QUERY, ITEM, strict=True)]
        expected = letters(both)
    else:
        expected = np.hstack(
            [
                letters([f"ask: {q}" for q in QUERY]),
                letters([f"shelf: {i}" for i in ITEM]),
            ]
        )
    x = encode(encoder, pairs(query=QUERY, item=ITEM), fields=fields)
    np.testing.assert_allclose(x, expected, atol=1e-6)
    graph = combine_fields(
        encoder, {"q": tf.constant(QUERY), "i": tf.constant(ITEM)}, fields
    )
    np.testing.assert_allclose(graph, expected, atol=1e-6)


def test_one_prefix_is_for_all_columns():
    x = encode(prefixed("a"), pairs(a=["x"], b=["y"]), fields="concat")
    np.testing.assert_allclose(x[0], letters(["ax", "ay"]).ravel(), atol=1e-6)
    encoder = load_encoder("static", prefixes=["red "])
    plain = load_encoder("static")
    np.testing.assert_array_equal(
        encode(encoder, ["shoe"]), encode(plain, ["red shoe"])
    )


def test_a_whitening_reloads_with_the_prefixes_of_its_fit(tmp_path):
    base = load_encoder("static", prefixes=["red ", "oak "])
    pool = pairs(query=QUERY, item=ITEM)
    white = fit_whitening(base, pool, dim=2)
    again = load_encoder(white.save(tmp_path / "white"))
    assert tuple(again.prefixes) == ("red ", "oak ")
    np.testing.assert_array_equal(encode(again, pool), encode(white, pool))


@pytest.mark.parametrize(
    ("options", "beside", "message"),
    [
        ({"source": "static", "poling": "cls"}, {}, "Did you mean 'pooling'"),
        ({"pooling": "cls"}, {}, "`source` must hold the key 'source'"),
        ({"source": "static"}, {"pooling": "cls"}, "`pooling` must stand ins"),
        ({"source": "static"}, {"prefixes": ["a"]}, "`prefixes` must stand"),
    ],
)
def test_a_mapping_stands_alone_and_has_known_keys(options, beside, message):
    with pytest.raises(InputError, match=message):
        load_encoder(options, **beside)


def test_a_folder_called_static_does_not_stand_for_the_shipped_table(
    tmp_path, monkeypatch
):
    (tmp_path / "static").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_encoder("static").settings == {"source": "static"}


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("static", {"pooling": "mean"}, "`pooling` must be left out"),
        (Letters(), {"dtype": "bfloat16"}, "`dtype` must be left out"),
        (Letters(), {"prefixes": ["a"]}, "`prefixes` must be left out"),
        ("static", {"prefixes": "query: "}, "`prefixes` must be a list"),
        (None, {"pooling": "max"}, "`pooling` must be one of 'mean', 'cls'"),
        (None, {"dtype": "float16"}, "`dtype` must be one of 'float32'"),
        (None, {"max_length": 17}, "`max_length` must be at most 16"),
        (None, {"max_length": 2}, "`max_length` must be an integer"),
        (None, {"max_length": 0}, "`max_length` must be an integer"),
        (None, {"pooling": ""}, "`pooling` must be one of 'mean', 'cls'"),
    ],
)
def test_options_that_do_not_suit(hugging_face, source, options, message):
    with pytest.raises(InputError, match=message):
        load_encoder(hugging_face if source is None else source, **options)


@pytest.mark.parametrize(
    "source",
    ["hf://nobody/nothing", "kaggle://no/body/keras/here", "bert_base_en"],
)
def test_a_hub_that_cannot_be_reached(monkeypatch, source):
    import huggingface_hub
    import kagglehub

    def unreachable(*arguments, **options):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.setattr(kagglehub, "model_download", unreachable)
    with pytest.raises(InputError, match=r"Name or service.*name the folder"):
        load_encoder(source)


def test_a_handle_becomes_a_folder(monkeypatch, hugging_face):
    import huggingface_hub

    asked = []
    files = [
        "model.weights.h5",
        "tf_model.h5",
        "vocab.txt",
        "pytorch_model.bin",
    ]

    def download(repository, allow_patterns):
        asked.append(repository)
        assert [*filter_repo_objects(files, allow_patterns=allow_patterns)] == [
            "model.weights.h5",
            "vocab.txt",
        ]
        return str(hugging_face)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    encoder = load_encoder("hf://someone/tiny-bert")
    assert asked == ["someone/tiny-bert"]
    assert encoder.settings == {"source": "hf://someone/tiny-bert"}
    np.testing.assert_array_equal(
        encode(encoder, TEXTS), encode(load_encoder(hugging_face), TEXTS)
    )


def test_a_backbone_uses_the_cache(hugging_face, tmp_path):
    first = encode(load_encoder(hugging_face), TEXTS, cache=tmp_path)
    again = load_encoder(hugging_face)
    again._encode = None  # would be called
    np.testing.assert_array_equal(encode(again, TEXTS, cache=tmp_path), first)
    other = load_encoder(hugging_face, pooling="cls")
    x = encode(other, TEXTS, cache=tmp_path)
    np.testing.assert_array_equal(x, encode(other, TEXTS))
    assert not np.allclose(x, first)
