"""Text to embeddings: encoders, pairs of fields, and a shipped static table."""

from tfimportance.encoding.batching import encode
from tfimportance.encoding.distillation import distill
from tfimportance.encoding.fields import combine_fields
from tfimportance.encoding.loading import Encoder, load_encoder

__all__ = ["Encoder", "combine_fields", "distill", "encode", "load_encoder"]
