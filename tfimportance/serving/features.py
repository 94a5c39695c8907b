"""From what a request holds to what the model takes."""

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from tfimportance._checks import fail
from tfimportance.encoding import Encoder, combine_fields

Tensors = Mapping[str, tf.Tensor]


class Features(Protocol):
    """How the inputs of a request become features and an embedding.

    Attributes:
        specs: Input name to what it holds.
        columns: Input name to the column of the training data.
        embed: From the inputs to float32 `(batch, embedding_dim)`; None
            where the model has no embedding.
    """

    specs: dict[str, tf.TensorSpec]
    columns: dict[str, str]
    embed: Callable[[Tensors], tf.Tensor] | None

    def __call__(self, inputs: Tensors) -> Any:
        """Returns what the model takes."""


class TextFeatures:
    """Text columns, encoded: the model takes their embedding."""

    def __init__(
        self, encoder: Encoder, text: Sequence[str], fields: str
    ) -> None:
        self.columns = input_names(text)
        self.specs = {
            name: tf.TensorSpec([None], tf.string, name=name)
            for name in self.columns
        }
        self._encoder, self._fields = encoder, fields
        self.embed: Callable[[Tensors], tf.Tensor] | None = self.__call__

    def __call__(self, inputs: Tensors) -> tf.Tensor:
        """Returns `(batch, embedding_dim)`."""
        texts = {column: inputs[name] for name, column in self.columns.items()}
        return combine_fields(self._encoder, texts, self._fields)


class ModelFeatures:
    """The inputs of a model that embeds them itself, such as item ids."""

    def __init__(self, model: keras.Model, layer: str = "embedding") -> None:
        try:
            is_plain = isinstance(model, keras.Sequential)
            self._structure = model.inputs[0] if is_plain else model.input
        except (AttributeError, ValueError) as error:
            raise fail(
                "`model` must be a functional or sequential model with "
                "inputs where there is no `encoder`.",
                f"model={model.name!r} of type {type(model).__name__}",
            ) from error
        self.columns = {each.name: each.name for each in model.inputs}
        check_names("model.inputs", list(self.columns))
        self.specs = {
            each.name: tf.TensorSpec(each.shape, each.dtype, name=each.name)
            for each in model.inputs
        }
        self.embed = None
        if layer in [each.name for each in model.layers]:
            part = keras.Model(
                self._structure, model.get_layer(layer).output, name="embed"
            )
            self.embed = lambda inputs: part(self(inputs), training=False)

    def __call__(self, inputs: Tensors) -> Any:
        """Returns the tensors in the structure of the model's inputs."""
        return keras.tree.map_structure(
            lambda each: inputs[each.name], self._structure
        )


def input_names(text: Sequence[str]) -> dict[str, str]:
    """Returns input name to column, in the order of `text`."""
    if isinstance(text, str) or not len(text):
        raise fail(
            "`text` must be a list with at least one column name.",
            f"text={text!r}",
        )
    names = [input_name(column) for column in text]
    check_names("text", names, list(text))
    return dict(zip(names, text, strict=True))


def input_name(column: str) -> str:
    """Returns the column's name with `_` for all but letters and digits."""
    return re.sub(r"\W", "_", column, flags=re.ASCII)


def check_names(
    argument: str, names: list[str], columns: list[str] | None = None
) -> None:
    """Raises unless TensorFlow can make parameters of the names."""
    # It tells parameters apart in lower case.
    differ = len({name.lower() for name in names}) == len(names)
    if differ and all(map(_is_parameter, names)):
        return
    raise fail(
        f"`{argument}` must hold names that start with a letter from a to z, "
        "are no Python keyword and not 'label', and differ in their letters "
        "and digits.",
        f"{argument}={columns or names!r}",
        "Rename the column." if columns else "Name the inputs.",
    )


def _is_parameter(name: str) -> bool:
    taken = name in ("self", "label") or keyword.iskeyword(name)
    return name[:1].isalpha() and not taken
