"""What is tried before anything is written."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance._checks import Array, fail

# Texts on which every model is tried once before it is written.
_TRIALS = ("", "a", "Très jolie robe, 38 €")
_MOST_ROWS = 1024  # of the target set on which it is tried, too
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def operations(graph: Any) -> set[str]:
    """Returns the names of all operations in a `GraphDef`."""
    functions = {each.signature.name for each in graph.library.function}
    bodies = [each.node_def for each in graph.library.function]
    nodes = [node for body in [graph.node, *bodies] for node in body]
    return {node.op for node in nodes} - functions


def graph_of(function: Any) -> Any:
    """Returns the `GraphDef` of a concrete function."""
    return function.graph.as_graph_def()


def trial_inputs(function: Any, rows: int = len(_TRIALS)) -> dict[str, Any]:
    """Returns inputs of the right types and shapes for a concrete function."""
    _, specs = function.structured_input_signature
    if not specs:
        (specs,), _ = function.structured_input_signature
    return {name: _trial(spec, rows) for name, spec in specs.items()}


def _trial(spec: tf.TensorSpec, rows: int) -> tf.Tensor:
    if spec.dtype == tf.string:
        texts = np.resize(np.array(_TRIALS, object), rows)
        inner = [1] * (spec.shape.rank - 1)
        return tf.constant(texts.reshape(rows, *inner))
    # Ids and labels of 1 are known to every model.
    shape = [rows, *(size or 2 for size in spec.shape[1:])]
    return tf.ones(shape, spec.dtype)


def check_graph(argument: str, graph: Any) -> None:
    """Raises if a `GraphDef` needs the Python process that made it."""
    if calls := operations(graph) & _PYTHON:
        raise fail(
            f"{argument} must consist of TensorFlow operations.",
            f"a graph that calls Python ({', '.join(sorted(calls))})",
            "A server has no Python: replace tf.py_function and "
            "tf.numpy_function.",
        )


def check_answers(functions: Mapping[str, Any]) -> None:
    """Raises unless trial inputs get probabilities and finite numbers."""
    for name, function in functions.items():
        try:
            answers = function(trial_inputs(function))
        except tf.errors.OpError as error:
            reason = " ".join(str(error).split())
            raise fail(
                f"`encoder` and `model` must answer the texts {list(_TRIALS)}.",
                f"an error of {name!r} ({reason})",
            ) from error
        for output, value in answers.items():
            _check_answer(name, output, value.numpy())


def check_model(model: Any, embeddings: Array | None) -> None:
    """Raises where the model gives logits.

    Args:
        model: The model; what it was trained with may say so.
        embeddings: `(rows, embedding_dim)` on which it is tried, or None.
    """
    expectation = "`model` must give probabilities in [0, 1]."
    if getattr(getattr(model, "loss", None), "from_logits", False):
        raise fail(
            expectation,
            "a model trained with from_logits=True",
            "End the model with a sigmoid.",
        )
    if embeddings is None:
        return
    value = np.asarray(model(embeddings[:_MOST_ROWS], training=False))
    if not ((value >= 0) & (value <= 1)).all():
        raise fail(
            expectation,
            f"{value.min():g} to {value.max():g} for the embeddings of "
            "`targets`",
            "End the model with a sigmoid.",
        )


def _check_answer(signature: str, output: str, value: Any) -> None:
    if output != "probability":
        if not np.isfinite(value).all():
            raise fail(
                "`encoder` and `targets` must give finite numbers.",
                f"NaN or infinity for {output!r} of {signature!r}",
                f"The texts were {list(_TRIALS)}.",
            )
        return
    if not ((value >= 0) & (value <= 1)).all():  # NaN is neither
        raise fail(
            "`model` must give probabilities in [0, 1].",
            f"{value.tolist()} for the texts {list(_TRIALS)}",
            "End the model with a sigmoid, and look for a training that "
            "diverged where these are NaN.",
        )
