"""Encoders from where they come: shipped, a folder, a hub, or the user's."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tfimportance._checks import InputError, check_choice, check_file, fail
from tfimportance.encoding.checkpoints import load_checkpoint
from tfimportance.encoding.hubs import download, is_handle
from tfimportance.encoding.precomputed import load_embeddings
from tfimportance.encoding.static import (
    CONFIG,
    TABLE,
    VOCABULARY,
    load_static,
)
from tfimportance.encoding.whitening import STATISTICS, load_whitening

_STATIC = "static"
_SHIPPED = Path(__file__).parent / _STATIC
DTYPES = ("float32", "bfloat16")
_ARGUMENTS = (
    "source",
    "pooling",
    "max_length",
    "normalize",
    "dtype",
    "prefixes",
)


@runtime_checkable
class Encoder(Protocol):
    """What turns text into embeddings; `load_encoder` returns one.

    Attributes:
        dim: Length of an embedding.
        name: A short name for reports.
    """

    dim: int

    @property
    def name(self) -> str:
        """A short name for reports."""

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns float32 `(batch, dim)` of a string tensor `(batch,)`.

        To be exported it must be traceable into a graph, so it tokenises
        with TensorFlow operations.
        """


# A kind of folder: the key of its config.json that tells it from the others,
# and the files that it needs beside.
_KINDS = {
    "a static encoder": ("static_format", (TABLE, VOCABULARY)),
    "a whitened encoder": ("whitening_format", (STATISTICS,)),
    "a KerasHub preset": ("registered_name", ("tokenizer.json",)),
    "a Hugging Face checkpoint": ("model_type", ("tokenizer_config.json",)),
}


class CallableEncoder(tf.Module):
    """The user's own function or Keras model as an encoder."""

    def __init__(self, function: Callable[[tf.Tensor], Any]) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        super().__init__(name=_identifier(getattr(function, "name", name)))
        self._function = function
        values = np.asarray(function(tf.constant(["a", "b c"])))
        if values.ndim != 2 or len(values) != 2:
            raise fail(
                "`source` must map strings (batch,) to embeddings "
                "(batch, dim).",
                f"an output of shape {values.shape} for 2 texts",
            )
        self.dim = int(values.shape[1])

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns `(batch, dim)` float32 of `(batch,)` strings."""
        return tf.cast(self._function(texts), tf.float32)


def load_encoder(
    source: str
    | os.PathLike[str]
    | Callable[[tf.Tensor], Any]
    | Mapping[str, Any],
    *,
    pooling: str | None = None,
    max_length: int | None = None,
    normalize: bool | None = None,
    dtype: str | None = None,
    prefixes: Sequence[str] = (),
) -> Encoder:
    """Returns the encoder that `source` names.

    Nothing is downloaded unless `source` is the handle of a hub.

    Example:
        >>> encoder = load_encoder("static")
        >>> encoder.dim, encoder(tf.constant(["a red dress", ""])).shape
        (256, TensorShape([2, 256]))

    Args:
        source: One of

            - `"static"`: the shipped table for English, 256 dimensions;
            - a folder: a checkpoint in KerasHub or Hugging Face form, of any
              family of text models that KerasHub reads (BERT, DistilBERT,
              RoBERTa, XLM-R, DeBERTa, GPT-2, Gemma, Llama, ...); or what
              `distill` or `WhitenedEncoder.save` wrote;
            - a handle: `hf://ORGANISATION/MODEL`, `kaggle://...`, or the name
              of a KerasHub preset such as `bert_base_en`, which is
              downloaded once;
            - a Parquet file of embeddings, columns `text` and `embedding`;
            - a function or `keras.Model` from strings `(batch,)` to embeddings
              `(batch, dim)`; it is tried once on two texts;
            - an `Encoder`, which is returned as it is;
            - a mapping of these arguments, as a configuration file may hold.

        pooling: How a backbone's token states become one vector: `mean`,
            `cls` or `last`. None follows the files of sentence-transformers;
            without them, the mean for bidirectional backbones and the last
            token for causal ones.
        max_length: Longest text in tokens; None takes what the sentence model
            was trained with, or what the backbone bears, at most 512.
        normalize: Whether a backbone's embeddings have length 1; None follows
            the files of sentence-transformers, and else they have.
        dtype: Of a backbone's products: `float32`, the default, or `bfloat16`,
            faster on processors with AVX512-BF16 or AMX and on GPUs.
        prefixes: Texts in front of the texts, for models trained with them:
            one for all columns, or one for each, such as
            `["query: ", "passage: "]` for E5. A column beyond the last has
            the last.

    Raises:
        InputError: `source` is nothing of that kind, the folder lacks files,
            the hub cannot be reached, or an option does not suit.
        FileNotFoundError: The folder does not exist.
    """
    options = {
        "pooling": pooling,
        "max_length": max_length,
        "normalize": normalize,
        "dtype": dtype,
    }
    options = {key: each for key, each in options.items() if each is not None}
    if isinstance(source, Mapping):
        _check_mapping(source, *options, *(["prefixes"] if prefixes else []))
        return load_encoder(**source)
    if isinstance(prefixes, str):
        raise fail("`prefixes` must be a list.", f"prefixes={prefixes!r}")
    if "dtype" in options:
        check_choice("dtype", dtype, DTYPES)
    if not isinstance(source, (str, os.PathLike)):
        if options or prefixes:
            raise _no_options(source, *options, "prefixes")
        return _from_object(source)
    encoder: Any = load_path("source", locate("source", source), **options)
    if prefixes or not hasattr(encoder, "prefixes"):
        encoder.prefixes = tuple(prefixes)
    encoder.settings = {"source": _lasting(source), **options}
    if prefixes:
        encoder.settings["prefixes"] = list(prefixes)
    return encoder


def _check_mapping(source: Mapping[str, Any], *beside: str) -> None:
    """Raises unless `source` has known keys, and no option stands beside it."""
    for key in source:
        check_choice("key of source", key, _ARGUMENTS)
    if "source" not in source:
        raise fail("`source` must hold the key 'source'.", f"{dict(source)!r}")
    if beside:
        raise fail(
            f"`{beside[0]}` must stand inside the mapping `source`.",
            f"source={dict(source)!r}",
        )


def _from_object(source: Any) -> Encoder:
    if isinstance(source, Encoder):
        return source
    if callable(source):
        return CallableEncoder(source)
    raise _no_source("source", source)


def locate(argument: str, source: str | os.PathLike[str]) -> Path:
    """Returns the folder or file of a name, a path or a hub's handle."""
    name = str(source)
    if name == _STATIC:
        return _SHIPPED
    path = Path(source)
    if path.exists() or (os.sep in name and "://" not in name):
        check_file(argument, path)
        return path
    if is_handle(name):
        return download(name)
    raise _no_source(argument, source)


def _lasting(source: str | os.PathLike[str]) -> str:
    """Returns what names the source from any folder."""
    is_path = str(source) != _STATIC and Path(source).exists()
    return str(Path(source).resolve() if is_path else source)


def _no_source(argument: str, source: object) -> InputError:
    return fail(
        f"`{argument}` must be 'static', a checkpoint's folder or handle, or a "
        "function or Keras model from strings to embeddings.",
        f"{argument}={source!r}",
        "A folder must exist; a handle is hf://..., kaggle://... or the name "
        "of a KerasHub preset.",
    )


def _no_options(source: object, *options: str) -> InputError:
    return fail(
        f"`{options[0]}` must be left out: it is for the checkpoint of a "
        "backbone.",
        f"source={source!r}",
    )


def load_path(argument: str, path: Path, **options: Any) -> Encoder:
    """Returns the encoder in a folder or file; errors call it `argument`."""
    name = _identifier(path.resolve().name)
    if path.is_dir():
        config = _read_config(argument, path)
        kind = _kind(argument, path, config)
        if kind.startswith(("a KerasHub", "a Hugging Face")):
            return load_checkpoint(argument, path, name, **options)
    if options:
        raise _no_options(str(path), *options)
    if path.is_file():
        return load_embeddings(argument, path, name)
    if kind == "a whitened encoder":
        return load_whitening(path, load_encoder)
    return load_static(path, name)


def _kind(argument: str, folder: Path, config: dict[str, Any]) -> str:
    for kind, (key, needed) in _KINDS.items():
        if key in config:
            missing = [name for name in needed if not (folder / name).exists()]
            if not missing:
                return kind
            what = f"{kind} without {', '.join(missing)}"
            raise _no_checkpoint(argument, folder, what)
    raise _no_checkpoint(argument, folder, f"a {CONFIG} of no known kind")


def _read_config(argument: str, folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _no_checkpoint(argument, folder, f"without {CONFIG}") from None
    except ValueError as error:
        raise _no_checkpoint(argument, folder, f"{CONFIG}: {error}") from error
    return config if isinstance(config, dict) else {}


def _no_checkpoint(argument: str, folder: Path, what: str) -> InputError:
    kinds = "; or ".join(
        f"{', '.join(files)} ({kind})" for kind, (_, files) in _KINDS.items()
    )
    return fail(
        f"`{argument}` must be a folder with {CONFIG} and {kinds}.",
        f"{argument}={str(folder)!r}, {what}",
    )


def _identifier(name: str) -> str:
    """Returns `name` as a Python identifier, which tf.Module asks for."""
    return re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)
