"""Tiny random backbones of every family: encode, reload, export."""

import io

import keras
import numpy as np
import pytest
import reference
import sentencepiece
import tensorflow as tf
from keras_hub import models

from tfimportance import encode, load_encoder

WORDS = [
    "the",
    "a",
    "red",
    "blue",
    "dress",
    "sofa",
    "bed",
    "of",
    "oak",
    "and",
    "with",
    "legs",
    "木",
    "の",
    "ベッド",
]
TEXTS = ["the red dress", "a sofa of oak with blue legs and a bed", "", "bed"]
SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8}
WIDE = {"intermediate_dim": 16}
DECODER = {
    "num_layers": 2,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}


def sentence_pieces(**special):
    """A SentencePiece vocabulary of the words above."""
    model = io.BytesIO()
    rng = np.random.default_rng(1)
    lines = [" ".join(rng.choice(WORDS, 6)) for _ in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **special,
    )
    return model.getvalue()


def byte_pairs(*special):
    """Vocabulary and merges: each word above that is ASCII is one token."""
    tokens, merges = list(special), []
    letters = [chr(i) for i in range(33, 127)] + ["Ġ"]
    tokens += letters
    for word in [w for w in WORDS if w.isascii()]:
        for start in (word, "Ġ" + word):
            for i in range(2, len(start) + 1):
                if start[:i] not in tokens:
                    tokens.append(start[:i])
                    merges.append(f"{start[: i - 1]} {start[i - 1]}")
    return {t: i for i, t in enumerate(tokens)}, merges


WORD_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def bert():
    return (
        models.BertBackbone(60, **SIZES, **WIDE, max_sequence_length=32),
        models.BertTokenizer(WORD_PIECES, lowercase=True),
    )


def distil_bert():
    return (
        models.DistilBertBackbone(60, **SIZES, **WIDE, max_sequence_length=32),
        models.DistilBertTokenizer(WORD_PIECES, lowercase=True),
    )


def electra():
    return (
        models.ElectraBackbone(
            60, **SIZES, **WIDE, embedding_dim=8, max_sequence_length=32
        ),
        models.ElectraTokenizer(WORD_PIECES, lowercase=True),
    )


def roberta():
    return (
        models.RobertaBackbone(300, **SIZES, **WIDE, max_sequence_length=32),
        models.RobertaTokenizer(
            *byte_pairs("<s>", "<pad>", "</s>", "<unk>", "<mask>")
        ),
    )


def xlm_roberta():
    return (
        models.XLMRobertaBackbone(90, **SIZES, **WIDE, max_sequence_length=32),
        models.XLMRobertaTokenizer(sentence_pieces()),
    )


def deberta_v3():
    proto = sentence_pieces(
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
        user_defined_symbols="[MASK]",
    )
    return (
        models.DebertaV3Backbone(
            90, **SIZES, **WIDE, max_sequence_length=32, bucket_size=8
        ),
        models.DebertaV3Tokenizer(proto),
    )


def gpt2():
    return (
        models.GPT2Backbone(300, **SIZES, **WIDE, max_sequence_length=32),
        models.GPT2Tokenizer(*byte_pairs("<|endoftext|>")),
    )


def gemma():
    proto = sentence_pieces(
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
    )
    return (
        models.GemmaBackbone(90, **DECODER, head_dim=4),
        models.GemmaTokenizer(proto),
    )


def llama():
    return (
        models.LlamaBackbone(90, **DECODER),
        models.LlamaTokenizer(sentence_pieces()),
    )


def llama3():
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    special += ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    vocabulary, merges = byte_pairs(*special)
    return (
        models.Llama3Backbone(300, **DECODER),
        models.Llama3Tokenizer(vocabulary, merges),
    )


def mistral():
    return (
        models.MistralBackbone(90, **DECODER),
        models.MistralTokenizer(sentence_pieces()),
    )


def qwen():
    return (
        models.QwenBackbone(300, **DECODER),
        models.QwenTokenizer(*byte_pairs("<|endoftext|>")),
    )


# Family, its pooling, and the ids that stand before and behind each text.
FAMILIES = {
    bert: ("mean", [2], [3]),
    distil_bert: ("mean", [2], [3]),
    electra: ("mean", [2], [3]),
    roberta: ("mean", [0], [2]),
    xlm_roberta: ("mean", [0], [2]),
    deberta_v3: ("mean", [1], [2]),
    gpt2: ("last", [0], []),
    gemma: ("last", [2], []),
    llama: ("last", [1], []),
    llama3: ("last", [0], []),
    mistral: ("last", [1], []),
    qwen: ("last", [], [0]),
}


SLOW = {electra, llama3, mistral, qwen, roberta}  # kin of others


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            family,
            id=family.__name__,
            marks=[pytest.mark.slow] if family in SLOW else [],
        )
        for family in FAMILIES
    ],
)
def family(request, tmp_path_factory):
    keras.utils.set_random_seed(5)
    backbone, tokenizer = request.param()
    rng = np.random.default_rng(5)
    for weight in backbone.weights:
        weight.assign(rng.normal(0.05, 0.4, weight.shape))
    folder = tmp_path_factory.mktemp(request.param.__name__)
    backbone.save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return folder, load_encoder(folder), (backbone, tokenizer)


def states(backbone, ids):
    """The states of one text, alone and without padding."""
    inputs = {
        "token_ids": np.array([ids]),
        "padding_mask": np.ones((1, len(ids))),
        "segment_ids": np.zeros((1, len(ids))),
    }
    output = backbone(
        {each.name: inputs[each.name] for each in backbone.inputs}
    )
    if isinstance(output, dict):
        output = output["sequence_output"]
    return np.asarray(output)[0].astype(np.float64)


def test_every_family_encodes_as_keras_hub_does(family, request):
    _, encoder, (backbone, tokenizer) = family
    by_name = {each.__name__: value for each, value in FAMILIES.items()}
    pooling, start, end = by_name[request.node.callspec.id]
    assert (encoder.dim, encoder.pooling) == (8, pooling)
    # KerasHub's tokenizer, outside of graphs, is other code than inside.
    ids = [[*start, *map(int, tokenizer(text)), *end] for text in TEXTS]
    assert list(encoder.token_counts(tf.constant(TEXTS))) == [*map(len, ids)]
    alone = [states(backbone, each) for each in ids]
    rows = [x.mean(0) if pooling == "mean" else x[-1] for x in alone]
    np.testing.assert_allclose(
        encode(encoder, TEXTS), reference.unit(rows), atol=2e-5
    )


def test_an_end_token_that_the_tokenizer_asks_for(tmp_path):
    backbone, tokenizer = gpt2()
    backbone.save_to_preset(tmp_path)
    tokenizer.save_to_preset(tmp_path)
    plain = load_encoder(tmp_path, max_length=5)
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"add_eos_token": true}')
    ended = load_encoder(tmp_path, max_length=5)
    ids = [*map(int, tokenizer(TEXTS[0]))]
    assert len(ids) > 3
    for encoder, expected in (
        (plain, [0, *ids[:4]]),
        (ended, [0, *ids[:3], 0]),
    ):
        assert encoder.tokens(tf.constant(TEXTS[:1])).to_list() == [expected]
    assert ended.fingerprint != plain.fingerprint


def test_every_family_is_reloaded_and_saved_in_a_graph(family, tmp_path):
    folder, encoder, _ = family
    assert load_encoder(folder).fingerprint == encoder.fingerprint
    module = tf.Module()
    module.encoder = encoder
    module.serve = tf.function(
        encoder, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "1"))
    texts = tf.constant(TEXTS)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    np.testing.assert_allclose(loaded.serve(texts), encoder(texts), atol=1e-6)
