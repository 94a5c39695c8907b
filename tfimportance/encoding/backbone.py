"""Sentence embeddings of a pretrained backbone, tokenised inside the graph."""

import warnings
from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfimportance._checks import check_choice, check_count, fail
from tfimportance.encoding.pooling import POOLINGS, pool
from tfimportance.encoding.post_norm import PostNormEncoder, is_post_norm
from tfimportance.encoding.tokens import Tokens

# Longer texts than this are cut unless `max_length` asks for them: attention
# grows with the square of the length.
_LONGEST = 512

# Linux says here what a processor can do.
_CPU = Path("/proc/cpuinfo")


class BackboneEncoder(tf.Module):
    """Embeds text with a KerasHub backbone: pooled token states.

    The backbone may be bidirectional (BERT, RoBERTa, DistilBERT, XLM-R,
    DeBERTa, ...) or causal (GPT-2, Gemma, Llama, ...). The post-norm families
    run through `PostNormEncoder`, the others through their Keras layers.

    Attributes:
        dim: Length of an embedding.
        name: A short name for reports.
        pooling: `mean`, `cls` or `last`.
        max_length: Longest sequence in tokens; longer texts are cut.
        tokens: Strings to token ids, and their vocabulary.
    """

    # The states of a batch should stay near the processor: the widest of
    # MiniLM takes 6 MB. Four times as many tokens measured a third slower.
    batch_tokens = 1024
    # While one batch is tokenised or copied the other one multiplies.
    threads = 2

    def __init__(
        self,
        backbone: Any,
        tokenizer: Any,
        *,
        pooling: str | None = None,
        max_length: int | None = None,
        normalize: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
        add_end: bool = False,
        name: str = "backbone",
    ) -> None:
        super().__init__(name=name)
        causal = _is_causal(backbone)
        longest = getattr(backbone, "max_sequence_length", None)
        self.dim = int(backbone.hidden_dim)
        if pooling is None:
            pooling = "last" if causal else "mean"
        if max_length is None:
            max_length = min(longest or _LONGEST, _LONGEST)
        self.pooling, self.max_length = pooling, max_length
        check_choice("pooling", self.pooling, POOLINGS)
        check_count("max_length", self.max_length, at_least=3)
        if longest is not None and self.max_length > longest:
            raise fail(
                f"`max_length` must be at most {longest} for this backbone.",
                f"max_length={max_length}",
            )
        self.normalize = normalize
        self._activation = activation
        self.tokens = Tokens(
            tokenizer,
            causal=causal,
            max_length=self.max_length,
            add_end=add_end,
        )
        if dtype == "bfloat16" and not _multiplies_bfloat16():
            warnings.warn(
                "bfloat16 is slower than float32 on this processor, which has "
                'no instructions for it; leave dtype="bfloat16" out.',
                stacklevel=2,
            )
        self._states = _states(backbone, activation, dtype)
        # A Keras model itself is kept from tracking, or a SavedModel would
        # hold every weight twice (keras#23553).
        if not isinstance(self._states, tf.Module):
            self._weights = [weight.value for weight in backbone.weights]
        strings = [tf.TensorSpec([None], tf.string)]
        self._encode = tf.function(
            lambda texts: self._embed(self.tokens(texts)),
            input_signature=strings,
        )
        self._count = tf.function(
            lambda texts: self.tokens(texts).row_lengths(),
            input_signature=strings,
        )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 of `(batch,)` strings."""
        return self._encode(texts)

    def token_counts(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns int64 `(batch,)`, start and end tokens included."""
        return self._count(texts)

    def embed_tokens(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Returns the pooled states of tokens between start and end.

        Args:
            tokens: Int32 ragged `(batch, None)` of token ids.

        Returns:
            Float32 `(batch, dim)`, not normalised.
        """
        return self._pool(self.tokens.frame(tokens))

    def _embed(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        pooled = self._pool(tokens)
        return (
            tf.math.l2_normalize(pooled, axis=1) if self.normalize else pooled
        )

    def _pool(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        ids, mask = self.tokens.pack(tokens)
        states = tf.cast(self._states(ids, mask), tf.float32)
        return pool(states, mask, self.pooling)

    @cached_property
    def fingerprint(self) -> str:
        """What changes the embeddings: weights, tokens, activation, form."""
        digest = blake2b(str(self._activation).encode(), digest_size=16)
        for part in self.tokens.identity():
            digest.update(part)
        for variable in self.variables:
            digest.update(variable.numpy().tobytes())
        return (
            f"backbone 1, {self.pooling}, {self.max_length} tokens, "
            f"normalize={self.normalize}, {digest.hexdigest()}"
        )


def _is_causal(backbone: Any) -> bool:
    """Whether KerasHub generates text with this backbone."""
    import keras_hub

    tasks = [keras_hub.models.CausalLM]
    for task in tasks:
        tasks += task.__subclasses__()
    return any(task.backbone_cls is type(backbone) for task in tasks)


def _multiplies_bfloat16() -> bool:
    """Whether a GPU is there, or this processor is not known to be without."""
    if tf.config.list_physical_devices("GPU") or not _CPU.exists():
        return True
    return "bf16" in _CPU.read_text(encoding="utf-8", errors="replace")


def _states(
    backbone: Any, activation: str | None, dtype: str
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns what maps ids and mask to the states `(batch, length, dim)`."""
    if is_post_norm(backbone):
        return PostNormEncoder(backbone, activation, dtype)
    inputs = {each.name for each in backbone.inputs}
    if not {"token_ids", "padding_mask"} <= inputs:
        raise fail(
            "`source` must be a backbone of one text.",
            f"a {type(backbone).__name__} with inputs {sorted(inputs)}",
        )

    def states(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        known = {
            "token_ids": ids,
            "padding_mask": mask,
            "segment_ids": tf.zeros_like(ids),
        }
        output = backbone({name: known[name] for name in inputs})
        return output["sequence_output"] if isinstance(output, dict) else output

    return states
