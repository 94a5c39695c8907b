"""Encoders from where they come: shipped, a folder, or the user's own."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tfimportance._checks import InputError, check_file, fail
from tfimportance.encoding.backbone import load_backbone
from tfimportance.encoding.static import (
    CONFIG,
    TABLE,
    VOCABULARY,
    load_static,
)

_SHIPPED = Path(__file__).parent / "static"


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
# the files that it needs beside, and what reads it.
_KINDS: dict[
    str, tuple[str, tuple[str, ...], Callable[[Path, str], Encoder]]
] = {
    "a static encoder": ("static_format", (TABLE, VOCABULARY), load_static),
    "a KerasHub preset": (
        "registered_name",
        ("tokenizer.json",),
        load_backbone,
    ),
    "a Hugging Face BERT": (
        "model_type",
        ("model.safetensors", "tokenizer_config.json", "vocab.txt"),
        load_backbone,
    ),
}
_ARCHITECTURES = (None, "bert", "keras_hub>BertBackbone")


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
    source: str | os.PathLike[str] | Callable[[tf.Tensor], Any],
) -> Encoder:
    """Returns the encoder that `source` names. Nothing is ever downloaded.

    Example:
        >>> encoder = load_encoder("static")
        >>> encoder.dim, encoder(tf.constant(["a red dress", ""])).shape
        (256, TensorShape([2, 256]))

    Args:
        source: One of

            - `"static"`: the shipped table for English, 256 dimensions;
            - a folder: a static encoder that `distill` wrote, a KerasHub
              preset of a BERT backbone, or a BERT checkpoint in Hugging Face
              form (`config.json`, `model.safetensors`, `vocab.txt`,
              `tokenizer_config.json`). Backbones are pooled by the mean over
              the tokens, unit length;
            - a function or `keras.Model` from strings `(batch,)` to embeddings
              `(batch, dim)`; it is tried once on two texts;
            - an `Encoder`, which is returned as it is.

    Raises:
        InputError: `source` is nothing of that kind, or the folder lacks files.
        FileNotFoundError: The folder does not exist.
    """
    if isinstance(source, Encoder):
        return source
    if callable(source):
        return CallableEncoder(source)
    if source == "static":
        return load_folder("source", _SHIPPED)
    if not isinstance(source, (str, os.PathLike)):
        raise _no_source(source)
    if os.sep not in str(source) and not Path(source).exists():
        raise _no_source(source)
    return load_folder("source", Path(source))


def _no_source(source: object) -> InputError:
    return fail(
        "`source` must be 'static', the folder of a checkpoint, or a function "
        "or Keras model from strings to embeddings.",
        f"source={source!r}",
        "Nothing is downloaded: a folder must exist.",
    )


def load_folder(argument: str, folder: Path) -> Encoder:
    """Returns the encoder in `folder`; errors call it `argument`."""
    check_file(argument, folder)
    config = _read_config(argument, folder)
    kind = next((k for k, (key, *_) in _KINDS.items() if key in config), None)
    if kind is None:
        raise _no_checkpoint(argument, folder, f"a {CONFIG} of no known kind")
    _, needed, load = _KINDS[kind]
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        what = f"{kind} without {', '.join(missing)}"
        raise _no_checkpoint(argument, folder, what)
    family = config.get("model_type", config.get("registered_name"))
    if family not in _ARCHITECTURES:
        raise fail(
            f"`{argument}` must be a checkpoint of a BERT model.",
            f"{argument}={str(folder)!r}, a {family!r}",
            "Give a function from strings to embeddings for other models.",
        )
    return load(folder, _identifier(folder.resolve().name))


def _read_config(argument: str, folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _no_checkpoint(argument, folder, f"without {CONFIG}") from None
    except ValueError as error:
        raise _no_checkpoint(argument, folder, f"{CONFIG}: {error}") from error
    return config if isinstance(config, dict) else {}


def _no_checkpoint(argument: str, folder: Path, what: str) -> InputError:
    kinds = "; or ".join(
        f"{', '.join(files)} ({kind})" for kind, (_, files, _) in _KINDS.items()
    )
    return fail(
        f"`{argument}` must be a folder with {CONFIG} and {kinds}.",
        f"{argument}={str(folder)!r}, {what}",
    )


def _identifier(name: str) -> str:
    """Returns `name` as a Python identifier, which tf.Module asks for."""
    return re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)
