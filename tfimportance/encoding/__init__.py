"""Text, sequences and columns to embeddings; a shipped static table."""

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
