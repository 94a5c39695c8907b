"""Japanese rows keep their characters where the vocabulary has them."""

import io
import unicodedata

import pytest
import sentencepiece
import tensorflow as tf
from keras_hub import models

from tfimportance import datasets
from tfimportance.encoding.tokens import Tokens, original_word_pieces


@pytest.fixture(scope="module")
def titles():
    esci = datasets.load("esci_sample")
    rows = esci[esci["query_locale"] == "jp"]
    return [*rows["query"].unique(), *rows["title"].unique()]


def normal(text):
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if is_text(c) and not c.isspace())


def words(text, tokens):
    """The ids as text, without the marks that stand for white space."""
    joined = "".join(tokens).replace("##", "").replace("▁", "")
    return "".join(joined.split()), "".join(text.split())


def test_sentence_pieces_lose_nothing_but_white_space(titles):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(titles),
        model_writer=model,
        vocab_size=4000,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokenizer = models.XLMRobertaTokenizer(model.getvalue())
    tokens = Tokens(tokenizer, causal=False, max_length=1000)
    names = tokenizer.get_vocabulary()
    for text, ids in zip(titles, tokens(tf.constant(titles)), strict=True):
        pieces = [names[i] for i in ids.numpy()[1:-1]]
        kept, expected = words(text, pieces)
        assert "<unk>" not in pieces
        # Its rules are NFKC but for the wide tilde.
        assert normal(kept) == normal(expected)


def characters(titles, normalise):
    """Every character, as a word of its own and inside of one."""
    each = sorted({c for t in titles for c in normalise(t) if not c.isspace()})
    return ["[UNK]", *each, *(f"##{c}" for c in each)]


def test_word_pieces_lose_nothing_where_case_counts(titles):
    vocabulary = characters(titles, str)
    tokenize = original_word_pieces(vocabulary, lowercase=False)
    runs = ["コンパクトワイヤレスキーボード" * 6, "がぎぐ" * 33]
    for text, ids in zip(
        [*titles, *runs], tokenize(tf.constant([*titles, *runs])), strict=True
    ):
        kept, expected = words(text, [vocabulary[i] for i in ids.numpy()])
        assert kept == "".join(c for c in expected if is_text(c))


def is_text(character):
    """Control characters, and marks without width, are dropped."""
    return not unicodedata.category(character).startswith("C")


def test_a_lowercase_vocabulary_takes_the_voice_from_kana():
    """What the README warns of."""
    vocabulary = ["[UNK]", "か", "が", "##か", "##が"]
    for lowercase, expected in ((True, [1, 3]), (False, [2, 4])):
        tokenize = original_word_pieces(vocabulary, lowercase=lowercase)
        assert tokenize(tf.constant(["がが"])).to_list() == [expected]
