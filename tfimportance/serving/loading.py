"""An exported model, to be asked in Python as a server would be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's operations
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tfimportance._checks import Array, check_choice, check_file, fail
from tfimportance.serving.card import JSON
from tfimportance.serving.checks import check_graph
from tfimportance.serving.publishing import versions
from tfimportance.serving.signatures import DEFAULT

_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class ServedModel:
    """A SavedModel and its signatures.

    Attributes:
        folder: The version that was loaded.
        signatures: Name to function of named tensors.
    """

    folder: Path
    signatures: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What `signature.json` says; empty where there is none."""
        path = self.folder / JSON
        if not path.exists():  # exported by another program
            return {}
        return dict(json.loads(path.read_text(encoding="utf-8")))

    @property
    def columns(self) -> dict[str, str]:
        """The column of the training data of each input, where it is known."""
        return dict(self.facts.get("columns", {}))

    @property
    def normalizes(self) -> bool:
        """Whether similarities are of vectors brought to length 1."""
        return bool((self.facts.get("target_set") or {}).get("normalize", True))

    def specs(self, signature: str = DEFAULT) -> dict[str, tf.TensorSpec]:
        """Returns what a signature takes, by the name of the input.

        Raises:
            InputError: The model has no such signature.
        """
        check_choice("signature", signature, self.signatures)
        _, specs = self.signatures[signature].structured_input_signature
        return dict(specs)

    def ask(self, signature: str = DEFAULT, **inputs: Any) -> dict[str, Array]:
        """Returns the answers by the name of the output.

        Args:
            signature: Name of the signature.
            **inputs: `(batch, ...)` values of each input, which are
                converted to its type.

        Raises:
            InputError: The model has no such signature, an input is missing,
                unknown or of another type, or TensorFlow refuses them.
        """
        specs = self._specs_for(signature, inputs)
        try:
            tensors = {
                name: tf.convert_to_tensor(inputs[name], spec.dtype)
                for name, spec in specs.items()
            }
            answers = self.signatures[signature](**tensors)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            reason = " ".join(str(error).split())
            raise fail(
                f"{signature!r} must get values of the right types and shapes.",
                f"{_shapes(inputs)} ({reason})",
            ) from error
        return {name: value.numpy() for name, value in answers.items()}

    def ask_many(
        self,
        inputs: Mapping[str, Array],
        signature: str = DEFAULT,
        batch_size: int = 64,
    ) -> dict[str, Array]:
        """Returns the answers to many rows, in their order.

        Batches hold rows of like length, so that little is padded.

        Args:
            inputs: `(num_rows,)` values by the name of the input: texts,
                numbers, or lists of numbers, which are padded with 0 in
                front. Lists of ids are cut there where the model takes fewer.
            signature: Name of the signature.
            batch_size: Rows asked at a time.
        """
        specs = self._specs_for(signature, inputs)
        order = np.argsort(_lengths(inputs), kind="stable")
        answers: dict[str, Array] = {}
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = {
                name: _as_batch(specs[name], values[rows])
                for name, values in inputs.items()
            }
            for name, value in self.ask(signature, **batch).items():
                if name not in answers:
                    shape = (len(order), *value.shape[1:])
                    answers[name] = np.empty(shape, value.dtype)
                answers[name][rows] = value
        return answers

    def _specs_for(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, tf.TensorSpec]:
        """Returns what the signature takes; raises for other inputs."""
        specs = self.specs(signature)
        if set(inputs) != set(specs):
            raise fail(
                f"{signature!r} must get the inputs {', '.join(specs)}.",
                f"{', '.join(inputs) or 'none'}",
            )
        return specs


def _lengths(inputs: Mapping[str, Array]) -> Array:
    """Returns int64 `(num_rows,)`, the characters or ids in each row."""
    sized = [each for each in inputs.values() if each.dtype == object]
    rows = len(next(iter(inputs.values())))
    return sum((np.array([*map(len, each)]) for each in sized), np.zeros(rows))


def _as_batch(spec: tf.TensorSpec, values: Array) -> Array:
    """Returns `(batch,)` or `(batch, 1)` values, or `(batch, length)` lists."""
    if spec.dtype == tf.string:
        # Half of a surrogate pair, which JSON may hold, is "?" as in `encode`.
        texts = [text.encode("utf-8", "replace") for text in values]
        values = np.array(texts, object)
    elif values.dtype == object and spec.shape.rank != 1:
        # Ids may be more or fewer; numbers that are too many are an error.
        length = spec.shape[1] if spec.dtype.is_integer else None
        return keras.utils.pad_sequences(
            values,
            length or max(1, *map(len, values)),
            spec.dtype.as_numpy_dtype,
        )
    is_column = values.ndim == 1 and spec.shape.rank != 1
    return values[:, None] if is_column else values


def load_served(model: str | Path) -> ServedModel:
    """Returns an exported model; of several versions the highest.

    No Python code is run: a SavedModel holds operations of TensorFlow.

    Args:
        model: A version folder that `export` wrote, or the folder of versions.

    Raises:
        FileNotFoundError: The folder does not exist.
        InputError: It holds no SavedModel that can be loaded.
    """
    folder = _version(Path(model))
    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString((folder / _MODEL).read_bytes())
    except (OSError, DecodeError) as error:
        raise _no_model(model, str(error)) from error
    for each in message.meta_graphs:
        check_graph("`model`", each.graph_def)
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise _no_model(model, str(error)) from error
    return ServedModel(folder, dict(loaded.signatures))


def _version(folder: Path) -> Path:
    check_file("model", folder)
    if (folder / _MODEL).exists():
        return folder
    found = versions(folder) if folder.is_dir() else []
    if not found:
        raise _no_model(folder, f"without {_MODEL} and without versions")
    return found[-1]


def _no_model(model: str | Path, what: str) -> Exception:
    reason = " ".join(what.split())
    return fail(
        "`model` must be a folder that `tfimportance export` wrote, or one "
        "version in it.",
        f"model={str(model)!r}, {reason}",
    )


def _shapes(inputs: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} of shape {np.shape(value)}" for name, value in inputs.items()
    )
