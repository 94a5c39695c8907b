"""Text, sequences and columns to embeddings; a shipped static table.

batching.py      encode: samples to embeddings, no text twice
loading.py       load_encoder: shipped, a folder, a hub, or the user's own
static.py        the table of word-piece vectors
backbone.py      a pretrained model, tokenised inside the graph
checkpoints.py   KerasHub's and Hugging Face's folders
hubs.py          handles of hubs
post_norm.py     a lean forward pass of BERT and its kin
pooling.py       states of tokens to one vector
tokens.py        texts to token ids
texts.py         each different text once
fields.py        several text columns to one embedding
running.py       batches of texts of like length
cache.py         embeddings on disk
precomputed.py   embeddings made elsewhere
whitening.py     fit_whitening
distillation.py  distill: a checkpoint to a static table
sequences.py     encode_sequences, sequence_model, model_embeddings
attention.py     the sequence model's pooling
tabular.py       fit_columns, encode_columns
"""

from tfimportance.encoding.attention import AttentionPooling, SequenceEncoder
from tfimportance.encoding.batching import encode
from tfimportance.encoding.distillation import distill
from tfimportance.encoding.fields import combine_fields
from tfimportance.encoding.loading import Encoder, load_encoder
from tfimportance.encoding.precomputed import encode_distinct
from tfimportance.encoding.sequences import (
    encode_sequences,
    model_embeddings,
    sequence_model,
)
from tfimportance.encoding.tabular import (
    concat_embeddings,
    encode_columns,
    fit_columns,
)
from tfimportance.encoding.whitening import WhitenedEncoder, fit_whitening

__all__ = [
    "AttentionPooling",
    "Encoder",
    "SequenceEncoder",
    "WhitenedEncoder",
    "combine_fields",
    "concat_embeddings",
    "distill",
    "encode",
    "encode_columns",
    "encode_distinct",
    "encode_sequences",
    "fit_columns",
    "fit_whitening",
    "load_encoder",
    "model_embeddings",
    "sequence_model",
]
